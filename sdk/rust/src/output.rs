//! The events of a call, on their way to the host: as they come where it streams, else together at its end.

use std::sync::Arc;

use prost::Message;
use tokio::sync::{Mutex, Semaphore};

use crate::call::Cancelled;
use crate::error::{Code, Error, Result};
use crate::event::Event;
use crate::function::{matches, About};
use crate::server::MAX_MESSAGE_BYTES;
use crate::wire::io::cloudevents::v1::CloudEvent;

/// How many events an answer has at most. A function that yields without end is one to be streamed.
const MAX_KEPT: usize = 100_000;

/// What fits into a message with all that is around it.
const MAX_OUTPUT_BYTES: usize = MAX_MESSAGE_BYTES - (4 << 20);

/// Takes the events of a function that gives them one by one. Clones are of the same call.
#[derive(Clone)]
pub struct Output(Arc<Inner>);

struct Inner {
    about: Arc<About>,
    source: Arc<str>,
    cancelled: Cancelled,
    streamed: Option<Streamed>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: Vec<CloudEvent>,
    kept_bytes: usize,
    /// Why an event was refused first; the call fails with it whatever the handler returns.
    failure: Option<Error>,
}

/// Where the events of a call that streams go, and how many may.
#[derive(Clone)]
pub(crate) struct Streamed {
    pub(crate) sender: Arc<dyn Fn(CloudEvent) + Send + Sync>,
    pub(crate) credit: Arc<Semaphore>,
}

impl Output {
    pub(crate) fn new(about: Arc<About>, source: Arc<str>, cancelled: Cancelled, streamed: Option<Streamed>) -> Self {
        Output(Arc::new(Inner { about, source, cancelled, streamed, state: Mutex::default() }))
    }

    /// Sends an event. A caller that takes events as they come has it at once, and this resolves when the next one is wanted; any other caller
    /// has all at the end. An error means that no further event is wanted, or that this is none: return it.
    pub async fn send(&self, event: Event) -> Result<()> {
        let mut state = self.0.state.lock().await;
        if let Some(reason) = self.0.cancelled.reason() {
            return Err(reason);
        }
        let encoded = self.encode(event).inspect_err(|error| {
            state.failure.get_or_insert_with(|| error.clone());
        })?;
        let Some(streamed) = &self.0.streamed else {
            return state.keep(encoded);
        };
        let mut cancelled = self.0.cancelled.clone();
        tokio::select! {
            sent = streamed.send(encoded) => sent,
            reason = cancelled.fired() => Err(reason),
        }
    }

    /// Keeps what a handler returned, for the end of its call.
    pub(crate) async fn keep(&self, event: Event) -> Result<()> {
        let encoded = self.encode(event)?;
        self.0.state.lock().await.keep(encoded)
    }

    /// What is left to be sent, or why an event of it could not be. Nothing is taken any more: the call is cancelled by now.
    pub(crate) async fn end(&self) -> Result<Vec<CloudEvent>> {
        let mut state = self.0.state.lock().await;
        match state.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(std::mem::take(&mut state.kept)),
        }
    }

    fn encode(&self, event: Event) -> Result<CloudEvent> {
        let about = &self.0.about;
        if !matches(&about.emits, &event.event_type) {
            let message = format!("function {} emitted {}, which it does not declare", about.name, event.event_type);
            let details = serde_json::json!({ "type": event.event_type, "emits": about.emits });
            return Err(Error::new(Code::FailedPrecondition, message).with_reason("TYPE_NOT_EMITTED").with_details(details));
        }
        let encoded = event.into_proto(&self.0.source)?;
        check_size(encoded.encoded_len())?;
        Ok(encoded)
    }
}

/// What goes beyond a message would break the stream, and with it the calls of others.
fn check_size(size: usize) -> Result<()> {
    if size <= MAX_OUTPUT_BYTES {
        return Ok(());
    }
    let message = format!("the function's events are {size} bytes long, and an answer is {MAX_OUTPUT_BYTES} at most");
    Err(Error::new(Code::ResourceExhausted, message).with_reason("PAYLOAD_TOO_LARGE").with_retryable(false))
}

impl State {
    fn keep(&mut self, event: CloudEvent) -> Result<()> {
        if self.kept.len() == MAX_KEPT {
            let error = Error::new(Code::ResourceExhausted, "the function yields too many events for one answer: take them as a stream")
                .with_reason("OUTPUT_LIMIT")
                .with_retryable(false);
            self.failure.get_or_insert_with(|| error.clone());
            return Err(error);
        }
        self.kept_bytes += event.encoded_len();
        if let Err(error) = check_size(self.kept_bytes) {
            self.failure.get_or_insert_with(|| error.clone());
            return Err(error);
        }
        self.kept.push(event);
        Ok(())
    }
}

impl Streamed {
    /// Sends an event, and returns when the next one may be sent.
    async fn send(&self, event: CloudEvent) -> Result<()> {
        self.spend().await.forget();
        (self.sender)(event);
        drop(self.spend().await);
        Ok(())
    }

    async fn spend(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.credit.acquire().await.expect("nobody closes it")
    }
}
