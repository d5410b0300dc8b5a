//! The services every go-plugin plugin has beside its own: health, controller, stdio and broker.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::asked_to_end;
use super::stdio::Stdio;
use crate::wire::grpc::health::v1::health_check_response::ServingStatus;
use crate::wire::grpc::health::v1::health_server::Health;
use crate::wire::grpc::health::v1::{HealthCheckRequest, HealthCheckResponse};
use crate::wire::plugin::grpc_broker_server::GrpcBroker;
use crate::wire::plugin::grpc_controller_server::GrpcController;
use crate::wire::plugin::grpc_stdio_server::GrpcStdio;
use crate::wire::plugin::{ConnInfo, Empty, StdioData};

const SERVED_NAMES: [&str; 2] = ["", "plugin"];

/// Messages that a task sends until it is done or the host has gone.
pub(super) struct Messages<T>(mpsc::Receiver<T>);

impl<T> Stream for Messages<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|message| message.map(Ok))
    }
}

pub(super) struct HealthService(pub(super) watch::Receiver<bool>);

#[tonic::async_trait]
impl Health for HealthService {
    type WatchStream = Messages<HealthCheckResponse>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let service = &request.get_ref().service;
        if !SERVED_NAMES.contains(&service.as_str()) {
            return Err(Status::not_found(format!("there is no service {service}")));
        }
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let status = self.check(request).await?.into_inner();
        let (sender, messages) = mpsc::channel(1);
        let ended = self.0.clone();
        tokio::spawn(async move {
            if sender.send(status).await.is_ok() {
                tokio::select! {
                    () = asked_to_end(ended) => {}
                    () = sender.closed() => {}
                }
            }
        });
        Ok(Response::new(Messages(messages)))
    }
}

pub(super) struct ControllerService(pub(super) Arc<watch::Sender<bool>>);

#[tonic::async_trait]
impl GrpcController for ControllerService {
    async fn shutdown(&self, _request: Request<Empty>) -> Result<Response<Empty>, Status> {
        self.0.send_replace(true);
        Ok(Response::new(Empty {}))
    }
}

pub(super) struct StdioService(pub(super) Arc<Stdio>);

#[tonic::async_trait]
impl GrpcStdio for StdioService {
    type StreamStdioStream = Messages<StdioData>;

    async fn stream_stdio(&self, _request: Request<()>) -> Result<Response<Self::StreamStdioStream>, Status> {
        let (sender, messages) = mpsc::channel(1);
        let stdio = self.0.clone();
        tokio::spawn(async move {
            loop {
                // Room first: what is taken out of the ring for a host that has gone would be lost.
                let Ok(room) = sender.reserve().await else { return };
                tokio::select! {
                    next = stdio.next() => match next {
                        Some(chunk) => room.send(chunk),
                        None => return,
                    },
                    () = sender.closed() => return,
                }
            }
        });
        Ok(Response::new(Messages(messages)))
    }
}

pub(super) struct BrokerService(pub(super) watch::Receiver<bool>);

#[tonic::async_trait]
impl GrpcBroker for BrokerService {
    type StartStreamStream = Messages<ConnInfo>;

    /// A function neither offers nor dials brokered connections; the host's stream stays open all the same.
    async fn start_stream(&self, request: Request<Streaming<ConnInfo>>) -> Result<Response<Self::StartStreamStream>, Status> {
        let (sender, messages) = mpsc::channel(1);
        let ended = self.0.clone();
        let mut announced = request.into_inner();
        tokio::spawn(async move {
            let read_all = async { while let Ok(Some(_)) = announced.message().await {} };
            tokio::select! {
                () = read_all => {}
                () = asked_to_end(ended) => {}
            }
            drop(sender);
        });
        Ok(Response::new(Messages(messages)))
    }
}
