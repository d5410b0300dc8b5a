//! Runs a handler for one event. It is dropped when its time is over or nobody waits for it any more; a panic fails its call alone.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::{poll_fn, Future};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::call::{Call, Cancel};
use crate::error::{Code, Error, Result};
use crate::event::Event;
use crate::function::{matches, About, Started};
use crate::init::Init;
use crate::log::{write_to_host, Logger};
use crate::output::{Output, Streamed};
use crate::wire::io::cloudevents::v1::CloudEvent;
use crate::wire::r#fn::plugin::v1::CallContext;

/// A function that is ready for events.
pub(crate) struct Ready {
    pub(crate) about: Arc<About>,
    pub(crate) started: Started,
    pub(crate) init: Init,
    pub(crate) source: Arc<str>,
}

/// A call that a host asks for.
pub(crate) struct Request {
    pub(crate) event: Option<CloudEvent>,
    pub(crate) context: Option<CallContext>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) log: Logger,
    pub(crate) streamed: Option<Streamed>,
}

/// Runs it. Gives the events that were not sent yet.
pub(crate) async fn run(ready: &Ready, request: Request, cancel: &Cancel) -> Result<Vec<CloudEvent>> {
    let log = request.log.clone();
    let output = Output::new(ready.about.clone(), ready.source.clone(), cancel.listen(), request.streamed.clone());
    let deadline = request.timeout.map(|timeout| Instant::now() + timeout);
    let result = tokio::select! {
        biased;
        result = guarded(&log, handle(ready, request, deadline, cancel, output.clone())) => result,
        reason = ended(cancel, deadline) => Err(reason),
    };
    let reason = cancel.listen().reason();
    // What it started elsewhere must not outlive it, nor wait to send.
    cancel.fire(Error::cancelled("the call is over"));
    match (result, reason) {
        (Ok(()), _) => output.end().await,
        // What a handler makes of being cancelled, whichever way it says so.
        (Err(_), Some(reason)) => Err(reason),
        (Err(error), None) => Err(error),
    }
}

async fn handle(ready: &Ready, request: Request, deadline: Option<Instant>, cancel: &Cancel, output: Output) -> Result<()> {
    let event = Event::from_proto(request.event.ok_or_else(|| Error::invalid_event("the call carries none"))?)?;
    let about = &ready.about;
    if !matches(&about.accepts, &event.event_type) {
        let message = format!("function {} does not take {}", about.name, event.event_type);
        let details = serde_json::json!({ "type": event.event_type, "accepts": about.accepts });
        return Err(Error::new(Code::InvalidArgument, message).with_reason("TYPE_NOT_ACCEPTED").with_details(details));
    }
    let context = request.context.unwrap_or_default();
    let call = Call {
        invocation_id: context.invocation_id,
        attempt: context.attempt.max(1),
        metadata: context.metadata,
        deadline,
        log: request.log,
        init: ready.init.clone(),
        cancelled: cancel.listen(),
    };
    (ready.started.handle)(event, Arc::new(call), output).await
}

/// Resolves with why the call must end before it is done.
async fn ended(cancel: &Cancel, deadline: Option<Instant>) -> Error {
    let mut cancelled = cancel.listen();
    let Some(deadline) = deadline else {
        return cancelled.fired().await;
    };
    tokio::select! {
        biased;
        reason = cancelled.fired() => reason,
        () = tokio::time::sleep_until(deadline.into()) => {
            cancel.fire(Error::timed_out());
            Error::timed_out()
        }
    }
}

thread_local! {
    /// Whether an author's future is being polled on this thread, so that what panics is caught.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    /// The words of a panic on its way to where it is caught.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Tells panics that nobody catches on the process's real stderr, where a host looks for why a plugin died.
pub(crate) fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        let name = std::thread::current().name().unwrap_or("<unnamed>").to_owned();
        let backtrace = std::backtrace::Backtrace::capture();
        let told = format!("thread '{name}' {info}");
        let told = if backtrace.status() == std::backtrace::BacktraceStatus::Captured { format!("{told}\n{backtrace}") } else { told };
        if GUARDED.get() {
            PANIC.set(Some(told));
        } else {
            write_to_host(&format!("panic: {told}\n"));
        }
    }));
}

/// Makes an error of a panic, with its place in the log.
pub(crate) async fn guarded<T>(log: &Logger, work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut work = pin!(work);
    let caught = poll_fn(|context| {
        GUARDED.set(true);
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        GUARDED.set(false);
        match polled {
            Ok(pending_or_done) => pending_or_done.map(Ok),
            Err(payload) => std::task::Poll::Ready(Err(payload)),
        }
    });
    caught.await.unwrap_or_else(|payload| {
        let message = format!("panic: {}", words_of(&*payload));
        log.with("panic", PANIC.take().unwrap_or_else(|| message.clone())).error("the function panicked");
        Err(Error::threw(message))
    })
}

fn words_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("of an unknown kind")
}
