//! One call, as its handler sees it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::init::Init;
use crate::log::Logger;

/// What a handler knows of its call, beside the event. Clones are cheap and about the same call.
pub struct Context<S = ()> {
    call: Arc<Call>,
    deps: Arc<S>,
}

impl<S> Context<S> {
    pub(crate) fn new(call: Arc<Call>, deps: Arc<S>) -> Self {
        Context { call, deps }
    }

    /// The same for all attempts of one call.
    pub fn invocation_id(&self) -> &str {
        &self.call.invocation_id
    }

    /// 1 for the first execution of the invocation.
    pub fn attempt(&self) -> u32 {
        self.call.attempt
    }

    /// What the host says of the call.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.call.metadata
    }

    /// When the call ends whether it is done or not, if ever.
    pub fn deadline(&self) -> Option<Instant> {
        self.call.deadline
    }

    /// What is left until then.
    pub fn time_left(&self) -> Option<Duration> {
        self.call.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// What the setup made.
    pub fn deps(&self) -> &S {
        &self.deps
    }

    /// The function itself: its identity, configuration and secrets.
    pub fn init(&self) -> &Init {
        &self.call.init
    }

    /// A log whose lines carry the invocation.
    pub fn log(&self) -> &Logger {
        &self.call.log
    }

    /// Resolves when the call is over, however it ends. A handler needs it only for what it started on other tasks or threads: its own future
    /// is dropped when the time is over or the caller gives up.
    pub async fn cancelled(&self) {
        self.call.cancelled.clone().fired().await;
    }

    /// Fails once nobody waits for the call any more: for loops that do not await, and for threads.
    pub fn check(&self) -> Result<()> {
        self.call.cancelled.reason().map_or(Ok(()), Err)
    }
}

impl<S> Clone for Context<S> {
    fn clone(&self) -> Self {
        Context { call: self.call.clone(), deps: self.deps.clone() }
    }
}

/// What a context is about, whatever its function's dependencies are.
pub(crate) struct Call {
    pub(crate) invocation_id: String,
    pub(crate) attempt: u32,
    pub(crate) metadata: HashMap<String, String>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) log: Logger,
    pub(crate) init: Init,
    pub(crate) cancelled: Cancelled,
}

/// Ends a call, once; the first reason stays.
#[derive(Clone)]
pub(crate) struct Cancel(watch::Sender<Option<Error>>);

impl Cancel {
    pub(crate) fn new() -> Self {
        Cancel(watch::Sender::new(None))
    }

    pub(crate) fn fire(&self, reason: Error) {
        self.0.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(reason);
            }
            first
        });
    }

    pub(crate) fn listen(&self) -> Cancelled {
        Cancelled(self.0.subscribe())
    }
}

/// Whether and why a call is over.
#[derive(Clone)]
pub(crate) struct Cancelled(watch::Receiver<Option<Error>>);

impl Cancelled {
    pub(crate) fn reason(&self) -> Option<Error> {
        self.0.borrow().clone()
    }

    pub(crate) async fn fired(&mut self) -> Error {
        match self.0.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_else(gone),
            Err(_) => gone(), // who could cancel it is gone, and so is the call
        }
    }
}

fn gone() -> Error {
    Error::cancelled("the call is over")
}
