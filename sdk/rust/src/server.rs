//! `fn.plugin.v1.Function` over one function. Unary calls and streams share the count of running calls, so one drain waits for both.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use tokio::sync::{Notify, OnceCell};
use tonic::{Response, Status, Streaming};

use crate::call::Cancel;
use crate::error::{Code, Error, Result};
use crate::function::Program;
use crate::init::{Identity, Init};
use crate::log::Logger;
use crate::plain::{duration_from_proto, struct_from_proto};
use crate::run::{guarded, run, Ready, Request};
use crate::stream::{self, Envelopes};
use crate::wire::r#fn::plugin::v1;

/// The largest event of the platform is 64 MiB.
pub(crate) const MAX_MESSAGE_BYTES: usize = 80 << 20;
/// Bounds the open calls of a function that names no limit.
const DEFAULT_CALL_CREDIT: u32 = 1024;
/// For a host that names none.
const DEFAULT_GRACE: Duration = Duration::from_secs(1);

/// The service and what it knows of its calls.
pub(crate) struct Server {
    program: Program,
    ready: OnceLock<Arc<Ready>>,
    running: Mutex<Running>,
    idle: Notify,
    ended: OnceCell<Result<u64>>,
}

#[derive(Default)]
struct Running {
    calls: u64,
    draining: bool,
}

/// Counts a call as running as long as it lives.
pub(crate) struct Admission(Arc<Server>);

impl Drop for Admission {
    fn drop(&mut self) {
        let mut running = self.0.running();
        running.calls -= 1;
        if running.calls == 0 {
            self.0.idle.notify_waiters();
        }
    }
}

impl Server {
    pub(crate) fn new(program: Program) -> Self {
        Server { program, ready: OnceLock::new(), running: Mutex::default(), idle: Notify::new(), ended: OnceCell::new() }
    }

    pub(crate) fn ready(&self) -> Result<Arc<Ready>> {
        self.ready.get().cloned().ok_or_else(Error::not_initialized)
    }

    /// How many calls of a stream may be open.
    pub(crate) fn call_credit(&self) -> u32 {
        match self.program.about.max_concurrency {
            0 => DEFAULT_CALL_CREDIT,
            limit => limit,
        }
    }

    /// Counts a call in, unless none may run.
    pub(crate) fn admit(self: &Arc<Self>) -> Result<Admission> {
        let mut running = self.running();
        if running.draining {
            return Err(Error::draining());
        }
        running.calls += 1;
        Ok(Admission(self.clone()))
    }

    /// Refuses calls, waits for the running ones and runs the function's shutdown; once, however often it is asked. Gives the number of calls
    /// left behind.
    pub(crate) async fn end(&self, grace: Duration) -> Result<u64> {
        let end = async {
            self.running().draining = true;
            // Too late is no failure: the calls left behind are counted.
            let _ = tokio::time::timeout(grace, self.drained()).await;
            let abandoned = self.running().calls;
            let shutdown = self.ready.get().and_then(|ready| lock(&ready.started.shutdown).take());
            if let Some(shutdown) = shutdown {
                let log = Logger::of_process();
                let ended = guarded(&log, async { shutdown().await });
                tokio::time::timeout(grace, ended)
                    .await
                    .map_err(|_| Error::new(Code::DeadlineExceeded, "the function's shutdown took too long"))??;
            }
            Ok(abandoned)
        };
        self.ended.get_or_init(|| end).await.clone()
    }

    async fn drained(&self) {
        loop {
            let idle = self.idle.notified();
            if self.running().calls == 0 {
                return;
            }
            idle.await;
        }
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        lock(&self.running)
    }

    async fn set_up(&self, request: v1::InitializeRequest) -> Result<()> {
        let Some(start) = lock(&self.program.start).take() else {
            return Err(Error::new(Code::FailedPrecondition, "this plugin is initialized already"));
        };
        let init = self.init(request);
        let started = guarded(init.log(), async { start(init.clone()).await }).await?;
        let source = format!("/functions/{}/{}", init.identity.namespace, init.identity.name);
        let ready = Ready { about: self.program.about.clone(), started, init, source: source.into() };
        // Nobody was here before: there is one start.
        let _ = self.ready.set(Arc::new(ready));
        Ok(())
    }

    /// The identity a host of ours sends; another host knows neither namespace nor version.
    fn init(&self, request: v1::InitializeRequest) -> Init {
        let sent = |name: &str, default: &str| request.host_metadata.get(name).map_or(default, String::as_str).to_owned();
        let identity = Identity {
            namespace: sent("fn.namespace", "default"),
            name: sent("fn.name", &self.program.about.name),
            version: sent("fn.version", &self.program.about.version),
            instance: request.instance_id,
        };
        Init::new(identity, request.secrets, request.config.map(struct_from_proto).unwrap_or_default())
    }
}

/// What gRPC calls.
pub(crate) struct Service(pub(crate) Arc<Server>);

#[tonic::async_trait]
impl v1::function_server::Function for Service {
    type ExecuteStreamStream = Envelopes;

    async fn describe(&self, _request: tonic::Request<v1::DescribeRequest>) -> Result<Response<v1::DescribeResponse>, Status> {
        let about = (*self.0.program.about).clone();
        Ok(Response::new(v1::DescribeResponse {
            name: about.name,
            version: about.version,
            r#type: v1::FunctionType::Stateless.into(),
            capabilities: [v1::Capability::ExecuteStream, v1::Capability::Cancel, v1::Capability::PartialOutput].map(i32::from).into(),
            description: about.description,
            accepts: about.accepts,
            emits: about.emits,
            config_schema_json: about.config_schema,
            max_concurrency: about.max_concurrency,
            max_receive_bytes: MAX_MESSAGE_BYTES as u64,
            sdk_name: env!("CARGO_PKG_NAME").into(),
            sdk_version: env!("CARGO_PKG_VERSION").into(),
            ..v1::DescribeResponse::default()
        }))
    }

    async fn initialize(&self, request: tonic::Request<v1::InitializeRequest>) -> Result<Response<v1::InitializeResponse>, Status> {
        let already = lock(&self.0.program.start).is_none();
        match self.0.set_up(request.into_inner()).await {
            Ok(()) => Ok(Response::new(v1::InitializeResponse::default())),
            Err(error) if already => Err(error.to_grpc()),
            Err(error) => Ok(Response::new(v1::InitializeResponse { diagnostics: vec![diagnostic(&error)] })),
        }
    }

    async fn execute(&self, request: tonic::Request<v1::ExecuteRequest>) -> Result<Response<v1::ExecuteResponse>, Status> {
        let timeout = request.metadata().get("grpc-timeout").and_then(|value| parse_timeout(value.to_str().ok()?));
        let v1::ExecuteRequest { event, context } = request.into_inner();
        let invocation_id = context.as_ref().map_or("", |context| context.invocation_id.as_str());
        let log = Logger::of_process().with("invocationId", invocation_id);
        let executed = async {
            let ready = self.0.ready()?;
            let _running = self.0.admit()?;
            run(&ready, Request { event, context, timeout, log, streamed: None }, &Cancel::new()).await
        };
        // A caller that gives up drops this, and the handler with it.
        match executed.await {
            Ok(events) => Ok(Response::new(v1::ExecuteResponse { events, usage: None })),
            Err(error) => Err(error.to_grpc()),
        }
    }

    async fn execute_stream(&self, request: tonic::Request<Streaming<v1::HostEnvelope>>) -> Result<Response<Envelopes>, Status> {
        let ready = self.0.ready().map_err(|error| error.to_grpc())?;
        Ok(Response::new(stream::open(self.0.clone(), ready, request.into_inner()).await?))
    }

    async fn shutdown(&self, request: tonic::Request<v1::ShutdownRequest>) -> Result<Response<v1::ShutdownResponse>, Status> {
        let grace = request.into_inner().grace.map_or(DEFAULT_GRACE, duration_from_proto);
        match self.0.end(grace).await {
            Ok(calls_abandoned) => Ok(Response::new(v1::ShutdownResponse { calls_abandoned })),
            Err(error) => Err(error.to_grpc()),
        }
    }
}

fn diagnostic(error: &Error) -> v1::Diagnostic {
    // A setup that just failed has the reason of any failure, which says nothing of a start.
    let reason = error.reason().filter(|reason| *reason != "FUNCTION_THREW").unwrap_or("INIT_FAILED");
    v1::Diagnostic {
        severity: v1::diagnostic::Severity::Error.into(),
        summary: error.message().into(),
        detail: reason.into(),
        config_path: String::new(),
    }
}

/// gRPC's own: up to eight digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// What a panic left behind is still whole: nothing is changed halfway under these locks.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        let parsed = ["5S", "250m", "1H", "", "S", "5x"].map(parse_timeout);
        let expected = [Some(Duration::from_secs(5)), Some(Duration::from_millis(250)), Some(Duration::from_secs(3600)), None, None, None];
        assert_eq!(parsed, expected);
    }
}
