//! What the program prints, on its way to the host: by `plugin.GRPCStdio`, not by file descriptors 1 and 2, whose lines are the handshake and the log.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::Notify;

use crate::log::log_to;
use crate::server::lock;
use crate::wire::plugin::stdio_data::Channel;
use crate::wire::plugin::StdioData;

/// Kept until the host reads; beyond this the oldest goes, so that printing never blocks.
const RING_BYTES: usize = 1 << 20;
const CHUNK_BYTES: usize = 32 << 10;
/// A child of ours that has our stdout open may hold up its end for longer.
const LAST_OUTPUT: Duration = Duration::from_millis(300);

/// What was printed and the host has not read yet.
#[derive(Default)]
pub(super) struct Stdio {
    ring: Mutex<Ring>,
    changed: Notify,
}

#[derive(Default)]
struct Ring {
    chunks: VecDeque<StdioData>,
    size: usize,
    ended: bool,
}

impl Stdio {
    fn push(&self, channel: Channel, data: &[u8]) {
        let mut ring = lock(&self.ring);
        ring.size += data.len();
        ring.chunks.push_back(StdioData { channel: channel.into(), data: data.to_vec() });
        while ring.size > RING_BYTES {
            let Some(oldest) = ring.chunks.pop_front() else { break };
            ring.size -= oldest.data.len();
        }
        drop(ring);
        self.changed.notify_one();
    }

    /// Nothing more will be printed.
    pub(super) fn end(&self) {
        lock(&self.ring).ended = true;
        self.changed.notify_one();
    }

    /// The next chunk; none once all is read and nothing more will come. For one reader.
    pub(super) async fn next(&self) -> Option<StdioData> {
        loop {
            {
                let mut ring = lock(&self.ring);
                if let Some(chunk) = ring.chunks.pop_front() {
                    ring.size -= chunk.data.len();
                    return Some(chunk);
                }
                if ring.ended {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }
}

/// Our stdout and stderr, while they are pipes that we read ourselves.
pub(super) struct Redirected {
    stdout: OwnedFd,
    stderr: OwnedFd,
    pumps: Vec<JoinHandle<()>>,
}

impl Redirected {
    /// Prints the handshake line, the last on the real stdout, and takes what the program prints from then on. The log stays on the real stderr.
    pub(super) fn after_line(line: &str, stdio: Arc<Stdio>) -> io::Result<Self> {
        let (stdout, stderr) = (io::stdout().as_fd().try_clone_to_owned()?, io::stderr().as_fd().try_clone_to_owned()?);
        log_to(File::from(stderr.try_clone()?));
        File::from(stdout.try_clone()?).write_all(line.as_bytes())?;
        let pumps = vec![
            take_over(io::stdout().as_fd(), Channel::Stdout, stdio.clone())?,
            take_over(io::stderr().as_fd(), Channel::Stderr, stdio)?,
        ];
        Ok(Redirected { stdout, stderr, pumps })
    }

    /// Puts the real ones back, and waits for what was printed until now to be read.
    pub(super) async fn restore(self) {
        let Redirected { stdout, stderr, pumps } = self;
        let restored = tokio::task::spawn_blocking(move || {
            // A host that is gone takes nothing.
            let _ = io::stdout().flush();
            let put_back = replace(io::stdout().as_fd(), stdout.as_fd()).and(replace(io::stderr().as_fd(), stderr.as_fd()));
            if put_back.is_ok() {
                for pump in pumps {
                    // It cannot panic.
                    let _ = pump.join();
                }
            }
        });
        let _ = tokio::time::timeout(LAST_OUTPUT, restored).await;
    }
}

/// Makes a descriptor the end of a pipe whose other end a thread reads: printing works however it is done, and by children, too.
fn take_over(descriptor: BorrowedFd<'_>, channel: Channel, stdio: Arc<Stdio>) -> io::Result<JoinHandle<()>> {
    let (printed, pipe) = io::pipe()?;
    replace(descriptor, pipe.as_fd())?;
    std::thread::Builder::new().name("fn-stdio".into()).spawn(move || pump(printed, channel, &stdio))
}

fn pump(mut printed: PipeReader, channel: Channel, stdio: &Stdio) {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match printed.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => stdio.push(channel, &buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

fn replace(descriptor: BorrowedFd<'_>, by: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both are open, and the first stays so, as what the second is.
    match unsafe { libc::dup2(by.as_raw_fd(), descriptor.as_raw_fd()) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
