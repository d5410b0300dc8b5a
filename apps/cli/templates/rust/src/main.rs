//! An event comes in, a greeting goes out. What an Event and a Context are: the README of the SDK.

use fn_sdk::{Context, Event, Function, Result};
use serde::{Deserialize, Serialize};

/// What fn.yaml says under config.
#[derive(Deserialize)]
struct Config {
    greeting: String,
}

/// What callers send as the event's data.
#[derive(Default, Deserialize)]
struct Visitor {
    name: Option<String>,
}

/// The data of the event that goes out.
#[derive(Debug, PartialEq, Serialize)]
struct Greeting {
    text: String,
}

fn main() {
    Function::with_setup("__NAME__", |init| async move { init.config::<Config>() })
        .emits(["com.example.greeted"])
        .serve(handle)
}

async fn handle(event: Event, ctx: Context<Config>) -> Result<Event> {
    let visitor = match event.data {
        Some(_) => event.json()?,
        None => Visitor::default(),
    };
    ctx.log().with("name", &visitor.name).info("greeting");
    Event::with_data("com.example.greeted", &greet(ctx.deps(), &visitor))
}

fn greet(config: &Config, visitor: &Visitor) -> Greeting {
    let name = visitor.name.as_deref().unwrap_or("world");
    Greeting {
        text: format!("{}, {name}!", config.greeting),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting_of(name: Option<&str>) -> String {
        let config = Config {
            greeting: "Hello".into(),
        };
        let visitor = Visitor {
            name: name.map(str::to_owned),
        };
        greet(&config, &visitor).text
    }

    #[test]
    fn greets_by_name() {
        assert_eq!(greeting_of(Some("Ada")), "Hello, Ada!");
    }

    #[test]
    fn greets_the_world() {
        assert_eq!(greeting_of(None), "Hello, world!");
    }
}
