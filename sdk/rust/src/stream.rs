//! One `ExecuteStream`: many calls on one HTTP/2 stream, the frames that are ready in one message. docs/plugin-protocol.md#executestream
//!
//! One task reads, the connection's own takes what is to be sent, and each call has a task of its own. Exactly one result ends each call. Frames
//! about calls that are over are ignored, as are frames of a newer protocol.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{ready, Context, Poll};
use std::time::SystemTime;

use prost::Message;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, Notify, Semaphore};
use tonic::{Status, Streaming};

use crate::call::Cancel;
use crate::error::{Code, Error, Result};
use crate::log::{Level, Logger, Sink};
use crate::output::Streamed;
use crate::plain::{duration_from_proto, struct_to_proto};
use crate::run::{run, Ready, Request};
use crate::server::{lock, Admission, Server};
use crate::wire::io::cloudevents::v1::CloudEvent;
use crate::wire::r#fn::plugin::v1::call_cancel::Reason;
use crate::wire::r#fn::plugin::v1::host_frame::Frame as FromHost;
use crate::wire::r#fn::plugin::v1::plugin_frame::Frame as ToHost;
use crate::wire::r#fn::plugin::v1::{
    CallOutput, CallResult, CallStart, HostEnvelope, HostFrame, LogLevel, LogRecord, PluginEnvelope, PluginFrame, StreamAccepted,
    StreamDrained,
};

const MAX_BATCH_FRAMES: usize = 64;
const MAX_BATCH_BYTES: usize = 64 << 10;

struct Stream {
    server: Arc<Server>,
    ready: Arc<Ready>,
    log_floor: LogLevel,
    /// `None` ends it.
    out: mpsc::UnboundedSender<Option<PluginFrame>>,
    state: Mutex<State>,
    idle: Notify,
}

#[derive(Default)]
struct State {
    open: HashMap<u64, OpenCall>,
    draining: bool,
    completed: u64,
}

/// A call without a result yet. Its credit is there if it streams.
struct OpenCall {
    cancel: Cancel,
    credit: Option<Arc<Semaphore>>,
}

/// Opens a stream with the host's first frame, and serves it until the host has ended it.
pub(crate) async fn open(
    server: Arc<Server>,
    ready: Arc<Ready>,
    mut from_host: Streaming<HostEnvelope>,
) -> std::result::Result<Envelopes, Status> {
    let mut first = from_host.message().await?.unwrap_or_default().frames.into_iter();
    let Some(HostFrame { frame: Some(FromHost::Open(open)), .. }) = first.next() else {
        return Err(Error::new(Code::FailedPrecondition, "the first frame of an ExecuteStream must be open").to_grpc());
    };
    let (out, queue) = mpsc::unbounded_channel();
    let call_credit = server.call_credit();
    let stream = Arc::new(Stream { server, ready, log_floor: open.log_level(), out, state: Mutex::default(), idle: Notify::new() });
    stream.send(0, ToHost::Accepted(StreamAccepted { call_credit, max_batch_frames: 0 }));
    for frame in first {
        stream.receive(frame);
    }
    tokio::spawn(stream.serve(from_host));
    Ok(Envelopes { queue, held: None })
}

impl Stream {
    async fn serve(self: Arc<Self>, mut from_host: Streaming<HostEnvelope>) {
        loop {
            match from_host.message().await {
                Ok(Some(envelope)) => envelope.frames.into_iter().for_each(|frame| self.receive(frame)),
                // Half-closed: the host sends no more, and waits for what runs.
                Ok(None) => break,
                Err(_) => {
                    lock(&self.state).open.values().for_each(|call| call.cancel.fire(Error::cancelled("the host is gone")));
                    break;
                }
            }
        }
        self.drained().await;
        // Who takes the frames may be gone before.
        let _ = self.out.send(None);
    }

    async fn drained(&self) {
        loop {
            let idle = self.idle.notified();
            if lock(&self.state).open.is_empty() {
                return;
            }
            idle.await;
        }
    }

    fn receive(self: &Arc<Self>, HostFrame { call_id, frame }: HostFrame) {
        match frame {
            Some(FromHost::Start(start)) => self.start(call_id, start),
            Some(FromHost::Cancel(cancel)) => {
                if let Some(call) = lock(&self.state).open.get(&call_id) {
                    call.cancel.fire(reason_of(cancel.reason()));
                }
            }
            Some(FromHost::Credit(credit)) => {
                // That of the whole stream is for plugins that send output unasked.
                if let Some(window) = lock(&self.state).open.get(&call_id).and_then(|call| call.credit.as_ref()) {
                    window.add_permits(credit.output_events as usize);
                }
            }
            Some(FromHost::Drain(_)) => {
                let mut state = lock(&self.state);
                state.draining = true;
                self.settle(&state);
            }
            Some(FromHost::Open(_)) | None => {}
        }
    }

    fn start(self: &Arc<Self>, call_id: u64, start: CallStart) {
        let cancel = Cancel::new();
        let credit = (start.output_window > 0).then(|| Arc::new(Semaphore::new(start.output_window as usize)));
        let admission = {
            let mut state = lock(&self.state);
            if call_id == 0 || state.open.contains_key(&call_id) {
                return;
            }
            let admitted = self.admit(&state);
            if admitted.is_ok() {
                state.open.insert(call_id, OpenCall { cancel: cancel.clone(), credit: credit.clone() });
            }
            admitted
        };
        let admission = match admission {
            Ok(admission) => admission,
            Err(error) => return self.send_result(call_id, Err(error)),
        };
        let invocation_id = start.context.as_ref().map_or("", |context| context.invocation_id.as_str());
        let request = Request {
            log: Logger::new(Arc::new(CallLog { stream: self.clone(), call_id, invocation_id: invocation_id.to_owned() })),
            event: start.event,
            context: start.context,
            timeout: start.timeout.map(duration_from_proto),
            streamed: credit.map(|credit| self.streamed(call_id, credit)),
        };
        let stream = self.clone();
        tokio::spawn(async move {
            let result = run(&stream.ready, request, &cancel).await;
            drop(admission);
            stream.end(call_id, result);
        });
    }

    fn admit(&self, state: &State) -> Result<Admission> {
        if state.draining {
            return Err(Error::draining());
        }
        if state.open.len() >= self.server.call_credit() as usize {
            let error = Error::new(Code::ResourceExhausted, "more calls at once than credit was given for");
            return Err(error.with_reason("QUEUE_FULL"));
        }
        self.server.admit()
    }

    fn streamed(self: &Arc<Self>, call_id: u64, credit: Arc<Semaphore>) -> Streamed {
        let stream = self.clone();
        Streamed { credit, sender: Arc::new(move |event| stream.send(call_id, ToHost::Output(CallOutput { events: vec![event] }))) }
    }

    /// Ends a call. The lock is held while it sends, so that no line of the log comes after its call's result.
    fn end(&self, call_id: u64, result: Result<Vec<CloudEvent>>) {
        let mut state = lock(&self.state);
        state.open.remove(&call_id);
        state.completed += 1;
        self.send_result(call_id, result);
        self.settle(&state);
    }

    fn settle(&self, state: &State) {
        if !state.open.is_empty() {
            return;
        }
        if state.draining {
            self.send(0, ToHost::Drained(StreamDrained { calls_completed: state.completed }));
        }
        self.idle.notify_waiters();
    }

    fn send_result(&self, call_id: u64, result: Result<Vec<CloudEvent>>) {
        let result = match result {
            Ok(events) => CallResult { events, ..CallResult::default() },
            Err(error) => CallResult { status: Some(error.to_proto()), ..CallResult::default() },
        };
        self.send(call_id, ToHost::Result(result));
    }

    fn send(&self, call_id: u64, frame: ToHost) {
        // A stream that nobody takes frames from has lost its host, and cancels its calls.
        let _ = self.out.send(Some(PluginFrame { call_id, frame: Some(frame) }));
    }
}

/// The lines of a call go with it; those that come after its end, to the log of the process.
struct CallLog {
    stream: Arc<Stream>,
    call_id: u64,
    invocation_id: String,
}

impl Sink for CallLog {
    fn write(&self, level: Level, message: &str, fields: &Map<String, Value>) {
        let state = lock(&self.stream.state);
        if !state.open.contains_key(&self.call_id) {
            drop(state);
            let mut late = Logger::of_process().with("invocationId", &self.invocation_id);
            for (name, value) in fields {
                late = late.with(name, value);
            }
            return late.write(level, message);
        }
        let (level, floor) = (level.to_proto(), self.stream.log_floor);
        if floor == LogLevel::Off || level < floor {
            return;
        }
        let record = LogRecord {
            level: level.into(),
            time: Some(SystemTime::now().into()),
            message: message.to_owned(),
            logger: String::new(),
            attributes: (!fields.is_empty()).then(|| struct_to_proto(fields)),
        };
        self.stream.send(self.call_id, ToHost::Log(record));
    }
}

fn reason_of(reason: Reason) -> Error {
    match reason {
        Reason::Deadline => Error::timed_out(),
        Reason::HostShutdown => Error::cancelled("the host is shutting down"),
        Reason::Requested | Reason::Unspecified => Error::cancelled("the caller cancelled"),
    }
}

/// What goes to the host: as many frames in a message as are ready and fit. The throughput comes from this.
pub(crate) struct Envelopes {
    queue: mpsc::UnboundedReceiver<Option<PluginFrame>>,
    /// A frame that did not fit into the message before.
    held: Option<PluginFrame>,
}

impl tokio_stream::Stream for Envelopes {
    type Item = std::result::Result<PluginEnvelope, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let first = match self.held.take() {
            Some(frame) => frame,
            None => match ready!(self.queue.poll_recv(context)).flatten() {
                Some(frame) => frame,
                None => return Poll::Ready(None),
            },
        };
        let mut size = first.encoded_len();
        let mut frames = vec![first];
        while frames.len() < MAX_BATCH_FRAMES {
            let frame = match self.queue.try_recv() {
                Ok(Some(frame)) => frame,
                Ok(None) => {
                    // The end is for the next time.
                    self.queue.close();
                    break;
                }
                Err(_) => break,
            };
            size += frame.encoded_len();
            if size > MAX_BATCH_BYTES {
                self.held = Some(frame);
                break;
            }
            frames.push(frame);
        }
        Poll::Ready(Some(Ok(PluginEnvelope { frames })))
    }
}
