//! Log lines: those of a call go with it, the others to the process's stderr, as hclog's JSON.

use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::plain::now_in_micros;
use crate::wire::r#fn::plugin::v1::LogLevel;

/// A host reads lines of up to 64 KiB.
const MAX_LINE_BYTES: usize = 60 << 10;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// For whoever looks for a mistake.
    Debug,
    /// What happened.
    Info,
    /// What should not last.
    Warn,
    /// What went wrong.
    Error,
}

impl Level {
    pub(crate) fn to_proto(self) -> LogLevel {
        match self {
            Level::Trace => LogLevel::Trace,
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

/// Where lines go.
pub(crate) trait Sink: Send + Sync {
    fn write(&self, level: Level, message: &str, fields: &Map<String, Value>);
}

/// Writes lines with the fields it was given: `log.with("order", 7).info("charged")`.
#[derive(Clone)]
pub struct Logger {
    sink: Arc<dyn Sink>,
    fields: Map<String, Value>,
}

impl Logger {
    pub(crate) fn new(sink: Arc<dyn Sink>) -> Self {
        Logger { sink, fields: Map::new() }
    }

    pub(crate) fn of_process() -> Self {
        Logger::new(Arc::new(HostLog))
    }

    /// One more field on all lines of the logger it gives. What JSON cannot say is left out.
    pub fn with(&self, name: impl Into<String>, value: impl Serialize) -> Self {
        let mut fields = self.fields.clone();
        if let Ok(value) = serde_json::to_value(value) {
            fields.insert(name.into(), value);
        }
        Logger { sink: self.sink.clone(), fields }
    }

    /// Every step.
    pub fn trace(&self, message: &str) {
        self.write(Level::Trace, message);
    }

    /// For whoever looks for a mistake.
    pub fn debug(&self, message: &str) {
        self.write(Level::Debug, message);
    }

    /// What happened.
    pub fn info(&self, message: &str) {
        self.write(Level::Info, message);
    }

    /// What should not last.
    pub fn warn(&self, message: &str) {
        self.write(Level::Warn, message);
    }

    /// What went wrong.
    pub fn error(&self, message: &str) {
        self.write(Level::Error, message);
    }

    /// A line of a level that is known only now.
    pub fn write(&self, level: Level, message: &str) {
        self.sink.write(level, message, &self.fields);
    }
}

/// The real stderr, once what the program prints goes elsewhere.
static HOST_STDERR: OnceLock<File> = OnceLock::new();
static ONE_LINE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// From now on the process's log goes there.
pub(crate) fn log_to(stderr: File) {
    // Only the first counts: a process serves once.
    let _ = HOST_STDERR.set(stderr);
}

/// Writes to where a host reads logs from. A host that is gone hears nothing, and needs not.
pub(crate) fn write_to_host(line: &str) {
    let _one = ONE_LINE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let _ = match HOST_STDERR.get() {
        Some(mut file) => file.write_all(line.as_bytes()),
        None => std::io::stderr().write_all(line.as_bytes()),
    };
}

struct HostLog;

impl Sink for HostLog {
    fn write(&self, level: Level, message: &str, fields: &Map<String, Value>) {
        write_to_host(&hclog_line(level, message, fields));
    }
}

fn hclog_line(level: Level, message: &str, fields: &Map<String, Value>) -> String {
    let mut line = Map::new();
    for (name, value) in fields {
        // Members that begin so are hclog's own; a host may break over a wrong one.
        line.insert(name.trim_start_matches('@').to_owned(), value.clone());
    }
    line.insert("@level".into(), level.name().into());
    line.insert("@message".into(), message.into());
    line.insert("@timestamp".into(), now_in_micros().into());
    let text = Value::Object(line).to_string();
    if text.len() < MAX_LINE_BYTES {
        return text + "\n";
    }
    let start: String = message.chars().take(MAX_LINE_BYTES / 8).collect();
    hclog_line(level, &format!("{start} … (too long)"), &Map::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_hclogs() {
        let fields = Map::from_iter([("n".to_owned(), 1.into()), ("@level".to_owned(), 7.into())]);
        let line: Value = serde_json::from_str(&hclog_line(Level::Warn, "a\nb", &fields)).unwrap();
        assert_eq!((&line["@level"], &line["@message"], &line["n"]), (&"warn".into(), &"a\nb".into(), &1.into()));
    }

    #[test]
    fn a_line_is_never_longer_than_a_host_reads() {
        let long = "\u{1f40e}".repeat(100_000);
        for fields in [Map::new(), Map::from_iter([("text".to_owned(), long.clone().into())])] {
            for message in ["short", long.as_str()] {
                assert!(hclog_line(Level::Info, message, &fields).len() <= 64 << 10);
            }
        }
    }
}
