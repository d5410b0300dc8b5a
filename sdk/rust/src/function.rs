//! What a program serves, and how an author says so.

use std::future::Future;
use std::sync::{Arc, Mutex};

use crate::call::{Call, Context};
use crate::error::Result;
use crate::event::Event;
use crate::init::Init;
use crate::output::Output;
use crate::BoxFuture;

/// A function: what it is called, what it takes and gives, what it does at its start and end. Its last word is [`serve`](Self::serve) or
/// [`serve_stream`](Self::serve_stream), and that the last one in `main`.
///
/// `S` is what its setup makes for its handler.
pub struct Function<S = ()> {
    about: About,
    setup: Setup<S>,
    shutdown: Option<Shutdown<S>>,
}

type Setup<S> = Box<dyn FnOnce(Init) -> BoxFuture<Result<S>> + Send>;
type Shutdown<S> = Box<dyn FnOnce(Arc<S>) -> BoxFuture<Result<()>> + Send>;

/// What a host asks of a function.
#[derive(Clone, Default)]
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) description: String,
    pub(crate) accepts: Vec<String>,
    pub(crate) emits: Vec<String>,
    pub(crate) config_schema: String,
    pub(crate) max_concurrency: u32,
}

impl Function<()> {
    /// A function without a setup. The name is how it presents itself; the one it is deployed under counts.
    pub fn new(name: impl Into<String>) -> Self {
        Function::with_setup(name, |_| async { Ok(()) })
    }
}

impl<S: Send + Sync + 'static> Function<S> {
    /// A function whose setup runs once, before the first event. What it makes is its handler's [`Context::deps`]; an error keeps the function
    /// from starting, and its text is what a deploy shows.
    pub fn with_setup<F, Fut>(name: impl Into<String>, setup: F) -> Self
    where
        F: FnOnce(Init) -> Fut + Send + 'static,
        Fut: Future<Output = Result<S>> + Send + 'static,
    {
        let about = About { name: name.into(), ..About::default() };
        Function { about, setup: Box::new(|init| Box::pin(setup(init))), shutdown: None }
    }

    /// Runs once, when no call is left.
    pub fn shutdown<F, Fut>(mut self, shutdown: F) -> Self
    where
        F: FnOnce(Arc<S>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.shutdown = Some(Box::new(|deps| Box::pin(shutdown(deps))));
        self
    }

    /// Semantic, for hosts that ask.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.about.version = version.into();
        self
    }

    /// A sentence for people.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.about.description = description.into();
        self
    }

    /// The event types it takes; a type may end in `*`. Without: any.
    pub fn accepts<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.about.accepts = types.into_iter().map(Into::into).collect();
        self
    }

    /// The event types it may give. Without: any.
    pub fn emits<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.about.emits = types.into_iter().map(Into::into).collect();
        self
    }

    /// A JSON Schema of the configuration, for people and tools.
    pub fn config_schema(mut self, schema: &serde_json::Value) -> Self {
        self.about.config_schema = schema.to_string();
        self
    }

    /// Limits calls at once. Without: whatever the host likes.
    pub fn max_concurrency(mut self, calls: u32) -> Self {
        self.about.max_concurrency = calls;
        self
    }

    /// Serves until the host ends the process; then `main` should return. `handle` takes one event and gives none (`()`, `None`), one or many;
    /// each call is a task of its own. A panic fails its call, not the program.
    pub fn serve<H, Fut, O>(self, handle: H)
    where
        H: Fn(Event, Context<S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O>> + Send + 'static,
        O: IntoEvents,
    {
        self.start(move |event, context, output| {
            let handled = handle(event, context);
            Box::pin(async move {
                for event in handled.await?.into_events() {
                    output.keep(event).await?;
                }
                Ok(())
            })
        });
    }

    /// Like [`serve`](Self::serve), for functions whose events come one by one: each goes to [`Output::send`].
    pub fn serve_stream<H, Fut>(self, stream: H)
    where
        H: Fn(Event, Context<S>, Output) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.start(move |event, context, output| Box::pin(stream(event, context, output)));
    }

    fn start(self, handle: impl Fn(Event, Context<S>, Output) -> BoxFuture<Result<()>> + Send + Sync + 'static) {
        let Function { about, setup, shutdown } = self;
        let start: Start = Box::new(move |init| {
            let made = setup(init);
            Box::pin(async move {
                let deps = Arc::new(made.await?);
                let last = deps.clone();
                Ok(Started {
                    handle: Box::new(move |event, call, output| handle(event, Context::new(call, deps.clone()), output)),
                    shutdown: Mutex::new(shutdown.map(|shutdown| -> End { Box::new(move || shutdown(last)) })),
                })
            })
        });
        crate::plugin::serve(Program { about: Arc::new(about), start: Mutex::new(Some(start)) });
    }
}

/// A function whatever its `S` is.
pub(crate) struct Program {
    pub(crate) about: Arc<About>,
    /// Taken by the one setup.
    pub(crate) start: Mutex<Option<Start>>,
}

/// A function after its setup.
pub(crate) struct Started {
    pub(crate) handle: Handle,
    /// Taken by the one shutdown.
    pub(crate) shutdown: Mutex<Option<End>>,
}

pub(crate) type Start = Box<dyn FnOnce(Init) -> BoxFuture<Result<Started>> + Send>;
pub(crate) type Handle = Box<dyn Fn(Event, Arc<Call>, Output) -> BoxFuture<Result<()>> + Send + Sync>;
pub(crate) type End = Box<dyn FnOnce() -> BoxFuture<Result<()>> + Send>;

/// What a handler may give: nothing, an event, perhaps one, many.
pub trait IntoEvents: Send {
    /// As a list.
    fn into_events(self) -> Vec<Event>;
}

impl IntoEvents for () {
    fn into_events(self) -> Vec<Event> {
        Vec::new()
    }
}

impl IntoEvents for Event {
    fn into_events(self) -> Vec<Event> {
        vec![self]
    }
}

impl IntoEvents for Option<Event> {
    fn into_events(self) -> Vec<Event> {
        self.into_iter().collect()
    }
}

impl IntoEvents for Vec<Event> {
    fn into_events(self) -> Vec<Event> {
        self
    }
}

/// Whether a type is one of these; an empty list means any.
pub(crate) fn matches(patterns: &[String], event_type: &str) -> bool {
    patterns.is_empty()
        || patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => event_type.starts_with(start),
            None => pattern == event_type,
        })
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_pattern_may_end_in_anything() {
        let patterns = ["a.b".to_owned(), "c.*".to_owned()];
        assert!(matches(&patterns, "a.b") && matches(&patterns, "c.d") && matches(&[], "x"));
        assert!(!matches(&patterns, "a.b.c") && !matches(&patterns, "c"));
    }
}
