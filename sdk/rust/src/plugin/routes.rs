//! Which service a request is for.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::Service as TowerService;
use tonic::server::NamedService;

use super::services::{BrokerService, ControllerService, HealthService, StdioService};
use super::stdio::Stdio;
use crate::server::{Server, Service, MAX_MESSAGE_BYTES};
use crate::wire::grpc::health::v1::health_server::HealthServer;
use crate::wire::plugin::grpc_broker_server::GrpcBrokerServer;
use crate::wire::plugin::grpc_controller_server::GrpcControllerServer;
use crate::wire::plugin::grpc_stdio_server::GrpcStdioServer;
use crate::wire::r#fn::plugin::v1::function_server::FunctionServer;
use crate::BoxFuture;

/// All that the process serves.
#[derive(Clone)]
pub(super) struct Routes {
    function: FunctionServer<Service>,
    health: HealthServer<HealthService>,
    controller: GrpcControllerServer<ControllerService>,
    stdio: GrpcStdioServer<StdioService>,
    broker: GrpcBrokerServer<BrokerService>,
}

impl Routes {
    pub(super) fn new(server: Arc<Server>, stdio: Arc<Stdio>, end: Arc<watch::Sender<bool>>, ended: watch::Receiver<bool>) -> Self {
        Routes {
            function: FunctionServer::new(Service(server))
                .max_decoding_message_size(MAX_MESSAGE_BYTES)
                .max_encoding_message_size(MAX_MESSAGE_BYTES),
            health: HealthServer::new(HealthService(ended.clone())),
            controller: GrpcControllerServer::new(ControllerService(end)),
            stdio: GrpcStdioServer::new(StdioService(stdio)),
            broker: GrpcBrokerServer::new(BrokerService(ended)),
        }
    }
}

impl TowerService<Request<Body>> for Routes {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match request.uri().path().split('/').nth(1) {
            Some(FunctionServer::<Service>::NAME) => self.function.call(request),
            Some(HealthServer::<HealthService>::NAME) => self.health.call(request),
            Some(GrpcControllerServer::<ControllerService>::NAME) => self.controller.call(request),
            Some(GrpcStdioServer::<StdioService>::NAME) => self.stdio.call(request),
            Some(GrpcBrokerServer::<BrokerService>::NAME) => self.broker.call(request),
            _ => Box::pin(async { Ok(tonic::Status::unimplemented("there is no such service").into_http()) }),
        }
    }
}
