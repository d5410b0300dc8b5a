//! Where the host connects to, and what comes of it.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::handshake::Handshake;
use crate::log::Logger;

/// A peer that says nothing is not waited for.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);
const PENDING_CONNECTIONS: usize = 16;

/// A unix socket, not accepting yet.
pub(super) struct Listener {
    listener: UnixListener,
    socket: SocketFile,
}

/// Removes the socket's file in the end.
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // The host may have removed it first.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    pub(super) fn bind(handshake: &Handshake) -> io::Result<Self> {
        let path = handshake.socket_path()?;
        let listener = UnixListener::bind(&path)?;
        let socket = SocketFile(path);
        handshake.open_to_group(&socket.0)?;
        Ok(Listener { listener, socket })
    }

    pub(super) fn path(&self) -> &Path {
        &self.socket.0
    }

    /// Connections of the host. One that does not get through TLS holds up no other.
    pub(super) fn accept(self, tls: Option<TlsAcceptor>) -> (ReceiverStream<io::Result<Connection>>, SocketFile) {
        let Listener { listener, socket } = self;
        let (ready, connections) = mpsc::channel(PENDING_CONNECTIONS);
        tokio::spawn(async move {
            loop {
                let stream = match listener.accept().await {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Too many open files, most likely: some will be closed.
                        Logger::of_process().with("error", error.to_string()).warn("a connection was not accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                };
                let (ready, tls) = (ready.clone(), tls.clone());
                tokio::spawn(async move {
                    if let Some(connection) = connect(stream, tls).await {
                        // Nobody takes it when we are about to end.
                        let _ = ready.send(Ok(connection)).await;
                    }
                });
            }
        });
        (ReceiverStream::new(connections), socket)
    }
}

async fn connect(stream: UnixStream, tls: Option<TlsAcceptor>) -> Option<Connection> {
    let Some(tls) = tls else {
        return Some(Connection::Plain(stream));
    };
    match tokio::time::timeout(TLS_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(encrypted)) => Some(Connection::Encrypted(Box::new(encrypted))),
        Ok(Err(error)) => {
            Logger::of_process().with("error", error.to_string()).warn("a connection was refused");
            None
        }
        Err(_) => None,
    }
}

/// One connection, with TLS or without.
pub(super) enum Connection {
    Plain(UnixStream),
    Encrypted(Box<TlsStream<UnixStream>>),
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Connection::Encrypted(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Connection::Encrypted(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_flush(context),
            Connection::Encrypted(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Connection::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Connection::Encrypted(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
