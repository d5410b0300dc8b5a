//! The process as a go-plugin plugin: handshake, listener, go-plugin's services, the end.

mod connection;
mod handshake;
mod routes;
mod services;
mod stdio;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{signal, SignalKind};
use tokio::sync::watch;

use crate::function::Program;
use crate::log::Logger;
use crate::run::install_panic_hook;
use crate::server::Server;
use connection::Listener;
use handshake::Handshake;
use stdio::{Redirected, Stdio};

pub(crate) use tls::random_bytes;

/// For a host that did not ask for fn.plugin.v1's own Shutdown, and is about to kill us.
const LAST_GRACE: Duration = Duration::from_millis(500);
/// For what the host still reads when it has asked us to end.
const CLOSE_GRACE: Duration = Duration::from_millis(300);
/// How often we look whether our host is still there.
const HOST_CHECK: Duration = Duration::from_secs(1);

/// Serves a function until the host ends the process.
pub(crate) fn serve(program: Program) {
    // Before there are threads: it changes the environment.
    let handshake = Handshake::read();
    install_panic_hook();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("fn").build();
    let served = match runtime {
        Ok(runtime) => {
            let served = runtime.block_on(serve_until_the_end(program, handshake));
            // A handler that blocks must not keep the process.
            runtime.shutdown_background();
            served
        }
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        Logger::of_process().error(&format!("the plugin cannot serve: {error}"));
        std::process::exit(1);
    }
}

async fn serve_until_the_end(program: Program, handshake: Handshake) -> std::io::Result<()> {
    let (end, ended) = watch::channel(false);
    let end = Arc::new(end);
    let tls = handshake.client_certificate().map(tls::accept_only).transpose()?;
    let listener = Listener::bind(&handshake)?;
    let line = handshake.line(listener.path(), tls.as_ref().map_or("", |tls| &tls.field));
    let stdio = Arc::new(Stdio::default());
    watch_signals(end.clone())?;
    // The line is printed when we listen already, and is the last thing on the real stdout.
    let printed = Redirected::after_line(&line, stdio.clone())?;
    let server = Arc::new(Server::new(program));

    let routes = routes::Routes::new(server.clone(), stdio.clone(), end, ended.clone());
    let (incoming, socket) = listener.accept(tls.map(|tls| tls.acceptor));
    let serving = tonic::transport::Server::builder()
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .serve_with_incoming_shutdown(routes, incoming, asked_to_end(ended.clone()));
    let mut serving = tokio::spawn(serving);
    tokio::select! {
        biased;
        () = asked_to_end(ended) => {}
        served = &mut serving => return served?.map_err(std::io::Error::other),
    }
    if let Err(error) = server.end(LAST_GRACE).await {
        Logger::of_process().with("error", error.message()).error("shutdown failed");
    }
    // What was printed reaches the host while that still reads.
    printed.restore().await;
    stdio.end();
    // Streams that the host leaves open do not hold us up.
    let _ = tokio::time::timeout(CLOSE_GRACE, serving).await;
    drop(socket);
    Ok(())
}

/// Ends the process as it should when it is told to, or when its host is gone. Ctrl-C is for the host, which then ends us.
fn watch_signals(end: Arc<watch::Sender<bool>>) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let host = std::os::unix::process::parent_id();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => {}
                () = tokio::time::sleep(HOST_CHECK) => if std::os::unix::process::parent_id() != host { break },
            }
        }
        end.send_replace(true);
    });
    Ok(())
}

async fn asked_to_end(mut ended: watch::Receiver<bool>) {
    // Who could ask is gone: the same.
    let _ = ended.wait_for(|ended| *ended).await;
}
