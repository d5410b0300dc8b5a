//! Functions in Rust: one CloudEvent in, none, one or many out.
//!
//! ```no_run
//! use fn_sdk::{Context, Event, Function, Result};
//!
//! async fn hello(event: Event, ctx: Context) -> Result<Event> {
//!     let name: String = event.json()?;
//!     ctx.log().with("name", &name).info("greeting");
//!     Event::with_data("greeted", &format!("hello {name}"))
//! }
//!
//! fn main() {
//!     Function::new("hello").emits(["greeted"]).serve(hello)
//! }
//! ```
//!
//! The program is a go-plugin plugin that serves `fn.plugin.v1.Function`; the platform starts it, or any other go-plugin host. What it prints
//! reaches the function's log.

#[cfg(not(unix))]
compile_error!("fn-sdk serves on unix sockets and redirects file descriptors: it needs a unix system");

mod call;
mod error;
mod event;
mod function;
mod init;
mod log;
mod output;
mod plain;
mod plugin;
mod run;
mod server;
mod stream;
#[rustfmt::skip]
#[allow(clippy::all, dead_code, unreachable_pub)]
mod wire;

pub use call::Context;
pub use error::{Code, Error, Result};
pub use event::{Attribute, Event};
pub use function::{Function, IntoEvents};
pub use init::{Identity, Init};
pub use log::{Level, Logger};
pub use output::Output;
pub use serde_json::{json, Value};

/// A future of a kind that does not matter.
type BoxFuture<T> = std::pin::Pin<Box<dyn std::future::Future<Output = T> + Send>>;
