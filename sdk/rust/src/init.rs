//! What a function learns before its first event.

use std::collections::HashMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Code, Error, Result};
use crate::log::Logger;

/// Whom the process serves as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Of the function.
    pub namespace: String,
    /// The name it is deployed under.
    pub name: String,
    /// The version that was deployed.
    pub version: String,
    /// Unique per started process.
    pub instance: String,
}

/// What a setup gets, and every [`Context`](crate::Context) has.
#[derive(Clone)]
pub struct Init {
    /// Whom the process serves as.
    pub identity: Identity,
    /// By name; never log them.
    pub secrets: Arc<HashMap<String, String>>,
    pub(crate) config: Arc<Value>,
    pub(crate) log: Logger,
}

impl Init {
    /// Reads the configuration, a JSON object, into a type of yours. What does not fit keeps the function from starting.
    pub fn config<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(&*self.config)
            .map_err(|error| Error::new(Code::InvalidArgument, format!("invalid config: {error}")).with_reason("INVALID_CONFIG"))
    }

    /// The log of the process.
    pub fn log(&self) -> &Logger {
        &self.log
    }

    pub(crate) fn new(identity: Identity, secrets: HashMap<String, String>, config: Map<String, Value>) -> Self {
        Init { identity, secrets: Arc::new(secrets), config: Arc::new(Value::Object(config)), log: Logger::of_process() }
    }
}
