//! Reads data such as `{"name":"Ada"}` from stdin and writes `{"text":"Hello, Ada!"}`: what is no event is the data of one, of the type that
//! fn.yaml emits.
use std::io::Read;

fn main() {
    let mut data = String::new();
    if std::io::stdin().read_to_string(&mut data).is_err() {
        eprintln!("the data is no text");
        std::process::exit(65); // the event is wrong, and will stay so
    }
    let greeting = std::env::var("GREETING").unwrap_or_else(|_| "Hello".into());
    eprintln!(
        "greeting, for {}",
        std::env::var("CE_SOURCE").unwrap_or_default()
    );
    println!("{}", greet(&greeting, &data));
}

fn greet(greeting: &str, data: &str) -> String {
    format!(
        "{{\"text\":\"{greeting}, {}!\"}}",
        member(data, "name").unwrap_or("world")
    )
}

/// The text of a member as it stands in the JSON, escapes and all.
fn member<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let after = json
        .split_once(&format!("\"{name}\""))?
        .1
        .trim_start()
        .strip_prefix(':')?;
    let text = after.trim_start().strip_prefix('"')?;
    let mut escaped = false;
    let end = text.find(|c| {
        let is_end = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        is_end
    })?;
    Some(&text[..end])
}

#[cfg(test)]
mod tests {
    use super::greet;

    #[test]
    fn greets_by_name() {
        assert_eq!(
            greet("Hello", r#"{"name": "Ada"}"#),
            r#"{"text":"Hello, Ada!"}"#
        );
        assert_eq!(
            greet("Hello", r#"{"name":"\"A\""}"#),
            r#"{"text":"Hello, \"A\"!"}"#
        );
    }

    #[test]
    fn greets_the_world() {
        assert_eq!(greet("Hello", ""), r#"{"text":"Hello, world!"}"#);
        assert_eq!(
            greet("Hello", r#"{"name":7}"#),
            r#"{"text":"Hello, world!"}"#
        );
    }
}
