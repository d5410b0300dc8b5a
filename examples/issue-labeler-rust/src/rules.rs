//! One label and when it applies, in this order; all that apply are given.

use regex_lite::{Error, Regex, RegexBuilder};

use crate::github::Subject;

/// A pull request is this size as long as it changes no more lines.
const SIZES: [(&str, u64); 4] = [("size/XS", 9), ("size/S", 49), ("size/M", 249), ("size/L", 999)];
const ENOUGH_CHARACTERS: usize = 20;

/// The words that rules look for.
pub struct Rules {
    security: Regex,
    bug: Regex,
    documentation: Regex,
    enhancement: Regex,
    asks: Regex,
    question_word: Regex,
    bot: Regex,
    bump: Regex,
    wip: Regex,
}

impl Rules {
    pub fn new() -> Result<Self, Error> {
        let words = |pattern: &str| RegexBuilder::new(pattern).case_insensitive(true).build();
        Ok(Rules {
            security: words(r"\b(security|vulnerabilit(y|ies)|CVE-\d{4}-\d+|XSS|injection)\b")?,
            bug: words(r"\b(bug|crash(es|ed)?|error|broken|fails?|regression|stack ?trace)\b")?,
            documentation: words(r"\b(readme|docs?|documentation|typo|spelling|spelled)\b")?,
            enhancement: words(r"\b(feature request|please add|would be (nice|great)|support for)\b")?,
            asks: words(r"\?\s*$")?,
            question_word: words(r"^(how|why|what|where|can)\b")?,
            bot: words(r"^(dependabot|renovate)")?,
            bump: words(r"^bump\s")?,
            wip: words(r"^\[?wip\b")?,
        })
    }

    /// The labels it should have; `needs-triage` when no rule says anything.
    pub fn labels_for(&self, subject: &Subject) -> Vec<&'static str> {
        let Subject { title, body, author, .. } = subject;
        let says = |words: &Regex| words.is_match(title) || words.is_match(body);
        let rules = [
            ("security", says(&self.security)),
            ("bug", says(&self.bug)),
            ("documentation", says(&self.documentation)),
            ("enhancement", says(&self.enhancement)),
            ("question", self.asks.is_match(title) || self.question_word.is_match(title)),
            ("dependencies", self.bot.is_match(author) || self.bump.is_match(title)),
            ("needs-description", body.trim().encode_utf16().count() < ENOUGH_CHARACTERS),
            ("work-in-progress", subject.draft || self.wip.is_match(title)),
        ];
        let mut labels: Vec<_> = rules.into_iter().filter(|(_, applies)| *applies).map(|(label, _)| label).collect();
        labels.extend(subject.changed_lines.map(size_of));
        if labels.is_empty() {
            labels.push("needs-triage");
        }
        labels
    }
}

fn size_of(changed_lines: u64) -> &'static str {
    SIZES.iter().find(|(_, up_to)| changed_lines <= *up_to).map_or("size/XL", |(label, _)| label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::Kind;

    fn labels(change: impl FnOnce(&mut Subject)) -> Vec<&'static str> {
        let mut subject = Subject {
            kind: Kind::Issue,
            repository: "o/r".into(),
            number: 1,
            title: "Something".into(),
            body: "A description that is long enough.".into(),
            url: "https://github.com/o/r/issues/1".into(),
            author: "ada".into(),
            labels: vec![],
            draft: false,
            changed_lines: None,
        };
        change(&mut subject);
        Rules::new().unwrap().labels_for(&subject)
    }

    #[test]
    fn each_rule_has_its_say() {
        assert_eq!(labels(|_| ()), ["needs-triage"]);
        assert_eq!(labels(|subject| subject.title = "It crashes on start".into()), ["bug"]);
        assert_eq!(labels(|subject| subject.body = "This is CVE-2026-12345, please mend.".into()), ["security"]);
        assert_eq!(labels(|subject| subject.body = "Please add support for dark mode.".into()), ["enhancement"]);
        assert_eq!(labels(|subject| subject.title = "How do I install this?".into()), ["question"]);
        assert_eq!(labels(|subject| subject.author = "dependabot[bot]".into()), ["dependencies"]);
        assert_eq!(labels(|subject| subject.body = " ".into()), ["needs-description"]);
        assert_eq!(labels(|subject| subject.draft = true), ["work-in-progress"]);
    }

    #[test]
    fn a_pull_request_has_a_size() {
        let sizes = [9, 10, 249, 999, 1000].map(|lines| labels(|subject| subject.changed_lines = Some(lines)));
        assert_eq!(sizes.concat(), ["size/XS", "size/S", "size/M", "size/L", "size/XL"]);
    }
}
