//! Findings, and how they are told.
use crate::rules::{entropy, Rule, PEM, RULES};

/// Below this a token is an example somebody typed.
const MIN_ENTROPY: f64 = 2.8;

/// A secret in a text. The secret itself never leaves: only its first characters do.
#[derive(Debug, PartialEq)]
pub struct Finding {
    pub rule: &'static str,
    pub line: usize,
    pub column: usize,
    pub masked: String,
}

/// Every finding, in the order of the text.
pub fn all_in(text: &str) -> Vec<Finding> {
    text.lines()
        .enumerate()
        .flat_map(|(at, line)| in_line(line, at + 1))
        .collect()
}

fn in_line(line: &str, number: usize) -> Vec<Finding> {
    let mut found: Vec<Finding> = RULES
        .iter()
        .flat_map(|rule| tokens(line, rule, number))
        .collect();
    if let Some(at) = line.find(PEM.0).filter(|&at| line[at..].contains(PEM.1)) {
        found.push(Finding {
            rule: "private-key",
            line: number,
            column: column(line, at),
            masked: "-----BEGIN…".into(),
        });
    }
    found.sort_by_key(|finding| finding.column);
    found
}

fn tokens(line: &str, rule: &'static Rule, number: usize) -> Vec<Finding> {
    line.match_indices(rule.prefix)
        .filter_map(|(at, _)| token_at(line, at, rule, number))
        .collect()
}

fn token_at(line: &str, at: usize, rule: &'static Rule, number: usize) -> Option<Finding> {
    // A prefix in the middle of a word is part of something else.
    if line[..at]
        .chars()
        .next_back()
        .is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
    {
        return None;
    }
    let rest = &line[at + rule.prefix.len()..];
    let length = rest.find(|c| !(rule.alphabet)(c)).unwrap_or(rest.len());
    if length < rule.min || length > rule.max || entropy(&rest[..length]) < MIN_ENTROPY {
        return None;
    }
    let masked = format!("{}{}…", rule.prefix, &rest[..2]);
    Some(Finding {
        rule: rule.name,
        line: number,
        column: column(line, at),
        masked,
    })
}

fn column(line: &str, at: usize) -> usize {
    line[..at].chars().count() + 1
}

impl Finding {
    /// A CloudEvent as JSON. Nothing in it needs escaping: names are ours, and of the secret only letters, digits, - and _ are shown.
    pub fn to_event(&self) -> String {
        let Finding {
            rule,
            line,
            column,
            masked,
        } = self;
        format!(
            r#"{{"type":"com.example.secret.found","subject":"{rule}","data":{{"rule":"{rule}","line":{line},"column":{column},"secret":"{masked}"}}}}"#
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In two pieces, so that a scanner of these sources finds nothing.
    const KEY: &str = concat!("AKI", "AQ3EGRIZ2UYX7P5NM");

    fn rules_in(text: &str) -> Vec<&'static str> {
        all_in(text).iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_token_is_found_where_it_stands_and_masked() {
        let text = format!("a\nü token={KEY} end");
        let expected = Finding {
            rule: "aws-access-key",
            line: 2,
            column: 9,
            masked: "AKIAQ3…".into(),
        };
        assert_eq!(all_in(&text), [expected]);
    }

    #[test]
    fn what_only_looks_like_one_is_left_alone() {
        let repeated = format!("AKIA{}", "A".repeat(16));
        for text in [
            "AKIA",
            &repeated,
            &format!("x{KEY}"),
            &format!("{KEY}Q"),
            "ghp_short",
            "-----BEGIN PUBLIC KEY-----",
        ] {
            assert_eq!(rules_in(text), Vec::<&str>::new(), "{text}");
        }
    }

    #[test]
    fn several_in_a_line_come_in_order() {
        let text = format!("-----BEGIN EC PRIVATE {}----- {KEY}", "KEY");
        assert_eq!(rules_in(&text), ["private-key", "aws-access-key"]);
    }
}
