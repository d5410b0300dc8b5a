//! What a call fails with, and how that travels. docs/plugin-protocol.md#errors

use std::fmt;
use std::time::Duration;

use prost::Message;
use serde_json::{Map, Value};

use crate::plain::{duration_to_proto, struct_to_proto};
use crate::wire::r#fn::plugin::v1;

/// What handlers return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

const STRUCT_URL: &str = "type.googleapis.com/google.protobuf.Struct";

/// The kind of an error: one of gRPC's sixteen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Code {
    /// The caller gave up.
    Cancelled = 1,
    /// Any error of the function's own; the queue repeats it.
    Unknown = 2,
    /// The sender's mistake: it will stay one.
    InvalidArgument = 3,
    /// The time is over; it may have run.
    DeadlineExceeded = 4,
    /// There is no such thing.
    NotFound = 5,
    /// There is one already.
    AlreadyExists = 6,
    /// The caller may not.
    PermissionDenied = 7,
    /// A limit is reached; later it may not be.
    ResourceExhausted = 8,
    /// Not in this state, and not by trying again.
    FailedPrecondition = 9,
    /// Somebody else was first: read again.
    Aborted = 10,
    /// Past the end.
    OutOfRange = 11,
    /// Not offered.
    Unimplemented = 12,
    /// A mistake of the program.
    Internal = 13,
    /// Not now; later it may be.
    Unavailable = 14,
    /// Something is lost for good.
    DataLoss = 15,
    /// Nobody knows who the caller is.
    Unauthenticated = 16,
}

impl Code {
    fn is_retryable(self) -> bool {
        matches!(self, Code::Unavailable | Code::ResourceExhausted | Code::Aborted)
    }
}

/// A failure with all that its caller may know.
///
/// Any `std::error::Error` becomes one by `?`: code [`Code::Unknown`], reason `FUNCTION_THREW`, its text as the message. For that this type is
/// itself no `std::error::Error`.
#[derive(Clone)]
pub struct Error(Box<Content>);

#[derive(Clone, Debug)]
struct Content {
    code: Code,
    reason: Option<String>,
    message: String,
    details: Map<String, Value>,
    retryable: bool,
    retry_after: Option<Duration>,
}

impl Error {
    /// A failure of a kind. Whether repeating the same call may help follows from the kind.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error(Box::new(Content {
            code,
            reason: None,
            message: message.into(),
            details: Map::new(),
            retryable: code.is_retryable(),
            retry_after: None,
        }))
    }

    /// A plain failure, which the queue repeats; for errors that `?` does not take: `.map_err(Error::threw)?`.
    pub fn threw(why: impl fmt::Display) -> Self {
        Error::new(Code::Unknown, why.to_string()).with_reason("FUNCTION_THREW")
    }

    /// A failure that no retry can mend.
    pub fn terminal(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Error::new(Code::FailedPrecondition, message).with_reason(reason)
    }

    /// A failure that is worth repeating after `wait`.
    pub fn retry_after(wait: Duration, message: impl Into<String>) -> Self {
        let mut error = Error::new(Code::Unavailable, message).with_reason("RETRY_AFTER");
        error.0.retry_after = Some(wait);
        error
    }

    /// Gives it a reason: a stable UPPER_SNAKE constant that callers may branch on.
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.0.reason = Some(reason.into());
        self
    }

    /// Gives it details that travel to the caller as JSON; anything but an object is kept under `value`.
    pub fn with_details(mut self, details: Value) -> Self {
        self.0.details = match details {
            Value::Object(members) => members,
            other => Map::from_iter([("value".to_owned(), other)]),
        };
        self
    }

    /// Says whether repeating the same call may help.
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = retryable;
        self
    }

    /// The kind.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The constant that callers may branch on.
    pub fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub(crate) fn invalid_event(why: impl fmt::Display) -> Self {
        Error::new(Code::InvalidArgument, format!("invalid event: {why}")).with_reason("INVALID_EVENT")
    }

    pub(crate) fn bad_output(why: impl fmt::Display) -> Self {
        let message = format!("the function must return CloudEvents or nothing, but an event of it is invalid: {why}");
        Error::new(Code::FailedPrecondition, message).with_reason("BAD_OUTPUT")
    }

    pub(crate) fn timed_out() -> Self {
        Error::new(Code::DeadlineExceeded, "the time of this execution is over").with_reason("FUNCTION_TIMEOUT")
    }

    pub(crate) fn cancelled(why: &str) -> Self {
        Error::new(Code::Cancelled, why).with_reason("CANCELLED")
    }

    pub(crate) fn draining() -> Self {
        Error::new(Code::Unavailable, "this plugin is shutting down").with_reason("HOST_DRAINING")
    }

    pub(crate) fn not_initialized() -> Self {
        Error::new(Code::FailedPrecondition, "this plugin is not initialized: Initialize comes first")
    }

    /// The error as a frame of a stream has it.
    pub(crate) fn to_proto(&self) -> v1::Status {
        v1::Status {
            code: self.0.code as i32,
            message: self.0.message.clone(),
            details: vec![self.detail()],
            retryable: self.0.retryable,
            retry_after: self.0.retry_after.map(duration_to_proto),
        }
    }

    /// The error of a unary call: its details are in gRPC's standard trailer, whose message begins with the same three fields.
    pub(crate) fn to_grpc(&self) -> tonic::Status {
        let details = v1::Status { retryable: false, retry_after: None, ..self.to_proto() };
        tonic::Status::with_details(tonic::Code::from_i32(self.0.code as i32), self.0.message.clone(), details.encode_to_vec().into())
    }

    /// What a gRPC status has no field for.
    fn detail(&self) -> prost_types::Any {
        let mut fields = Map::new();
        fields.insert("retryable".into(), self.0.retryable.into());
        if let Some(reason) = &self.0.reason {
            fields.insert("reason".into(), reason.as_str().into());
        }
        if let Some(wait) = self.0.retry_after {
            fields.insert("retryAfterMs".into(), (wait.as_secs_f64() * 1000.0).into());
        }
        if !self.0.details.is_empty() {
            fields.insert("details".into(), Value::Object(self.0.details.clone()));
        }
        prost_types::Any { type_url: STRUCT_URL.into(), value: struct_to_proto(&fields).encode_to_vec() }
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        Error::threw(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_error_becomes_one_that_is_repeated() {
        let parse = || -> Result<i32> { Ok("x".parse::<i32>()?) };
        let error = parse().unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::Unknown, Some("FUNCTION_THREW")));
        assert_eq!(error.message(), "invalid digit found in string");
    }

    #[test]
    fn details_travel_as_a_struct() {
        let error = Error::retry_after(Duration::from_millis(1500), "busy").with_details(serde_json::json!({ "order": 7 }));
        let sent = error.to_proto();
        assert_eq!((sent.code, sent.retryable), (14, true));
        let content = prost_types::Struct::decode(sent.details[0].value.as_slice()).unwrap();
        assert_eq!(
            Value::Object(crate::plain::struct_from_proto(content)),
            serde_json::json!({ "reason": "RETRY_AFTER", "retryable": true, "retryAfterMs": 1500, "details": { "order": 7 } })
        );
    }
}
