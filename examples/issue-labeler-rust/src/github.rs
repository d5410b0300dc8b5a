//! The parts of GitHub's `issues` and `pull_request` payloads that labels depend on.
//! https://docs.github.com/webhooks/webhook-events-and-payloads

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Issue,
    PullRequest,
}

/// An issue or a pull request, whichever the webhook was about.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    pub kind: Kind,
    pub repository: String,
    pub number: u64,
    pub title: String,
    pub body: String,
    pub url: String,
    pub author: String,
    /// Labels it has already.
    pub labels: Vec<String>,
    pub draft: bool,
    /// Lines a pull request adds and removes.
    pub changed_lines: Option<u64>,
}

/// Data of the event that goes out.
#[derive(Serialize)]
pub struct Labelled {
    pub repository: String,
    pub kind: Kind,
    pub number: u64,
    pub title: String,
    pub url: String,
    /// Every label it should have.
    pub labels: Vec<&'static str>,
    /// Those it does not have yet.
    pub added: Vec<&'static str>,
}

#[derive(Deserialize)]
pub struct Payload {
    issue: Option<Item>,
    pull_request: Option<Item>,
    repository: Option<Repository>,
}

#[derive(Deserialize)]
struct Item {
    number: u64,
    title: String,
    body: Option<String>,
    html_url: String,
    user: Option<User>,
    labels: Option<Vec<Label>>,
    draft: Option<bool>,
    additions: Option<u64>,
    deletions: Option<u64>,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

#[derive(Deserialize)]
struct User {
    login: String,
}

#[derive(Deserialize)]
struct Label {
    name: String,
}

impl Payload {
    /// What the payload is about; `None` when it is about neither an issue nor a pull request.
    pub fn into_subject(self) -> Option<Subject> {
        let repository = self.repository?.full_name;
        let (kind, item) = match self.pull_request {
            Some(item) => (Kind::PullRequest, item),
            None => (Kind::Issue, self.issue?),
        };
        let additions = item.additions.filter(|_| kind == Kind::PullRequest);
        Some(Subject {
            kind,
            repository,
            number: item.number,
            title: item.title,
            body: item.body.unwrap_or_default(),
            url: item.html_url,
            author: item.user.map_or("ghost".into(), |user| user.login),
            labels: item.labels.unwrap_or_default().into_iter().map(|label| label.name).collect(),
            draft: item.draft.unwrap_or(false),
            changed_lines: additions.map(|additions| additions + item.deletions.unwrap_or(0)),
        })
    }
}
