//! A GitHub issue or pull request comes in; out goes one event with the labels it should have.

mod github;
mod rules;

use fn_sdk::{Context, Error, Event, Function, Result};
use github::{Labelled, Payload, Subject};
use rules::Rules;
use serde::Deserialize;

/// What fn.yaml says under config.
#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    without: Vec<String>,
}

struct Labeler {
    config: Config,
    rules: Rules,
}

fn main() {
    Function::with_setup("issue-labeler-rust", |init| async move { Ok(Labeler { config: init.config()?, rules: Rules::new()? }) })
        .version("1.0.0")
        .accepts(["com.github.issues.*", "com.github.pull_request.*"])
        .emits(["com.example.issue.labelled"])
        .serve(label)
}

async fn label(event: Event, ctx: Context<Labeler>) -> Result<Event> {
    let Some(subject) = event.json::<Payload>().ok().and_then(Payload::into_subject) else {
        let message = format!("{} {} carries neither an issue nor a pull request", event.event_type, event.id);
        return Err(Error::terminal("NOT_AN_ISSUE", message));
    };
    let about = format!("{}#{}", subject.repository, subject.number);
    let labelled = ctx.deps().label(subject);
    Ok(Event::with_data("com.example.issue.labelled", &labelled)?.with_subject(about))
}

impl Labeler {
    fn label(&self, subject: Subject) -> Labelled {
        let mut labels = self.rules.labels_for(&subject);
        labels.retain(|label| !self.config.without.iter().any(|unwanted| unwanted == label));
        let added = labels.iter().copied().filter(|label| !subject.labels.iter().any(|present| present == label)).collect();
        let Subject { repository, kind, number, title, url, .. } = subject;
        Labelled { repository, kind, number, title, url, labels, added }
    }
}
