//! CloudEvents, and how they travel. docs/plugin-protocol.md#events

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::SystemTime;

use base64::prelude::{Engine, BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use prost_types::Timestamp;
use serde::de::DeserializeOwned;
use serde::Serialize;
use serde_json::json;

use crate::error::{Code, Error, Result};
use crate::wire::io::cloudevents::v1::cloud_event::cloud_event_attribute_value::Attr;
use crate::wire::io::cloudevents::v1::cloud_event::{CloudEventAttributeValue, Data};
use crate::wire::io::cloudevents::v1::CloudEvent;

const SPEC_VERSION: &str = "1.0";
const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";
/// Attributes that are no extensions.
const NAMED: [&str; 9] = ["id", "source", "type", "specversion", "time", "subject", "datacontenttype", "dataschema", "data"];

/// A CloudEvents 1.0 event. Of an event to send, `id`, `source`, `time` and `data_content_type` are filled in where they are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Unique within its source.
    pub id: String,
    /// Whose event it is.
    pub source: String,
    /// What it is about; the attribute `type`.
    pub event_type: String,
    /// What it is about within its source.
    pub subject: Option<String>,
    /// RFC 3339.
    pub time: Option<String>,
    /// What the data is.
    pub data_content_type: Option<String>,
    /// A URI of what the data looks like.
    pub data_schema: Option<String>,
    /// The other attributes: names of lower-case letters and digits.
    pub extensions: BTreeMap<String, Attribute>,
    /// The payload as it was sent; `None` is absent, and not the same as empty.
    pub data: Option<Vec<u8>>,
}

/// The value of an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// Text, and whatever is sent as text.
    Text(String),
    /// True or false.
    Boolean(bool),
    /// 32 bits, as CloudEvents have it.
    Integer(i32),
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Attribute::Text(text.to_owned())
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Attribute::Text(text)
    }
}

impl From<bool> for Attribute {
    fn from(plain: bool) -> Self {
        Attribute::Boolean(plain)
    }
}

impl From<i32> for Attribute {
    fn from(number: i32) -> Self {
        Attribute::Integer(number)
    }
}

impl Event {
    /// An event without data.
    pub fn new(event_type: impl Into<String>) -> Self {
        Event { event_type: event_type.into(), ..Event::default() }
    }

    /// An event whose data is the JSON of `data`. Fails only for what JSON cannot say, such as a map whose keys are no text.
    pub fn with_data(event_type: impl Into<String>, data: &(impl Serialize + ?Sized)) -> Result<Self> {
        let encoded = serde_json::to_vec(data)?;
        Ok(Event { data_content_type: Some(JSON.into()), data: Some(encoded), ..Event::new(event_type) })
    }

    /// Says what it is about within its source.
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Reads JSON data. Data that does not fit is the sender's mistake: return the error, and the call is not repeated.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(self.data.as_deref().unwrap_or_default()).map_err(|error| {
            let message = format!("invalid event: {}, checked by the receiver: data: {error}", self.event_type);
            let details = json!({ "side": "receiver", "type": self.event_type, "attribute": "data" });
            Error::new(Code::InvalidArgument, message).with_reason("INVALID_EVENT").with_details(details)
        })
    }

    pub(crate) fn from_proto(sent: CloudEvent) -> Result<Self> {
        if sent.id.is_empty() || sent.source.is_empty() || sent.r#type.is_empty() || sent.spec_version != SPEC_VERSION {
            return Err(Error::invalid_event("id, source, type and specversion 1.0 are required"));
        }
        let data = match sent.data {
            None => None,
            Some(Data::BinaryData(bytes)) => Some(bytes),
            Some(Data::TextData(text)) => Some(text.into_bytes()),
            Some(Data::ProtoData(_)) => return Err(Error::invalid_event("proto_data is not supported; send binary_data")),
        };
        let mut event = Event { id: sent.id, source: sent.source, event_type: sent.r#type, data, ..Event::default() };
        for (name, value) in sent.attributes {
            if let Some(attribute) = value.attr.map(attribute_from_proto) {
                event.set(name, attribute)?;
            }
        }
        Ok(event)
    }

    fn set(&mut self, name: String, attribute: Attribute) -> Result<()> {
        let place = match name.as_str() {
            "subject" => &mut self.subject,
            "time" => &mut self.time,
            "datacontenttype" => &mut self.data_content_type,
            "dataschema" => &mut self.data_schema,
            _ => {
                self.extensions.insert(name, attribute);
                return Ok(());
            }
        };
        let Attribute::Text(text) = attribute else {
            return Err(Error::invalid_event(format!("{name}: it must be text")));
        };
        *place = Some(text);
        Ok(())
    }

    pub(crate) fn into_proto(self, source: &str) -> Result<CloudEvent> {
        if self.event_type.is_empty() {
            return Err(Error::bad_output("type: it is missing"));
        }
        let mut attributes = std::collections::HashMap::new();
        let mut add = |name: &str, attr: Attr| attributes.insert(name.to_owned(), CloudEventAttributeValue { attr: Some(attr) });
        add("time", time_to_proto(self.time)?);
        let content_type = self.data_content_type.or_else(|| self.data.as_deref().map(|data| guess_content_type(data).to_owned()));
        for (name, text) in [("subject", self.subject), ("datacontenttype", content_type), ("dataschema", self.data_schema)] {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                add(name, Attr::CeString(text));
            }
        }
        for (name, value) in self.extensions {
            check_extension(&name)?;
            add(&name, attribute_to_proto(value));
        }
        Ok(CloudEvent {
            id: if self.id.is_empty() { new_id() } else { self.id },
            source: if self.source.is_empty() { source.to_owned() } else { self.source },
            spec_version: SPEC_VERSION.into(),
            r#type: self.event_type,
            attributes,
            data: self.data.map(Data::BinaryData),
        })
    }
}

fn attribute_from_proto(value: Attr) -> Attribute {
    match value {
        Attr::CeBoolean(plain) => Attribute::Boolean(plain),
        Attr::CeInteger(number) => Attribute::Integer(number),
        Attr::CeString(text) | Attr::CeUri(text) | Attr::CeUriRef(text) => Attribute::Text(text),
        Attr::CeBytes(bytes) => Attribute::Text(BASE64_STANDARD.encode(bytes)),
        Attr::CeTimestamp(at) => Attribute::Text(at.to_string()),
    }
}

fn attribute_to_proto(value: Attribute) -> Attr {
    match value {
        Attribute::Text(text) => Attr::CeString(text),
        Attribute::Boolean(plain) => Attr::CeBoolean(plain),
        Attribute::Integer(number) => Attr::CeInteger(number),
    }
}

/// A timestamp where that brings the text back letter by letter, else the text.
fn time_to_proto(time: Option<String>) -> Result<Attr> {
    let Some(text) = time.filter(|text| !text.is_empty()) else {
        return Ok(Attr::CeTimestamp(SystemTime::now().into()));
    };
    let at = Timestamp::from_str(&text).map_err(|error| Error::bad_output(format!("time: {error}")))?;
    Ok(if at.to_string() == text { Attr::CeTimestamp(at) } else { Attr::CeString(text) })
}

fn check_extension(name: &str) -> Result<()> {
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
        return Err(Error::bad_output(format!("extension {name:?}: a name has only lower-case letters and digits")));
    }
    if NAMED.contains(&name) {
        return Err(Error::bad_output(format!("extension {name:?}: it is an attribute of its own")));
    }
    Ok(())
}

fn guess_content_type(data: &[u8]) -> &'static str {
    if serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok() {
        JSON
    } else {
        BYTES
    }
}

fn new_id() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(crate::plugin::random_bytes::<16>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_comes_back_as_it_was() {
        let mut event = Event::with_data("t", &json!({ "a": 1 })).unwrap().with_subject("s");
        event.id = "1".into();
        event.source = "/x".into();
        event.data_schema = Some("https://example.com/schema".into());
        event.extensions = BTreeMap::from([("one".into(), 1.into()), ("yes".into(), true.into()), ("text".into(), "t".into())]);
        for time in ["2026-11-20T00:00:00.123Z", "2026-11-20T00:00:00.120Z", "2026-11-20T01:00:00+01:00"] {
            event.time = Some(time.into());
            let sent = event.clone().into_proto("/other").unwrap();
            assert_eq!(Event::from_proto(sent).unwrap(), event);
        }
    }

    #[test]
    fn what_is_missing_is_filled_in() {
        let event = Event { data: Some(vec![0xff]), ..Event::new("t") };
        let sent = Event::from_proto(event.into_proto("/functions/a/b").unwrap()).unwrap();
        assert_eq!((sent.source.as_str(), sent.id.len()), ("/functions/a/b", 22));
        assert_eq!(sent.data_content_type.as_deref(), Some(BYTES));
        assert!(sent.time.is_some());
    }

    #[test]
    fn no_data_and_empty_data_are_different() {
        let round = |data: Option<Vec<u8>>| {
            let event = Event { data, ..Event::new("t") };
            Event::from_proto(event.into_proto("/x").unwrap()).unwrap().data
        };
        assert_eq!((round(None), round(Some(vec![]))), (None, Some(vec![])));
    }

    #[test]
    fn what_is_no_event_is_refused() {
        let named = |name: &str| Event { extensions: BTreeMap::from([(name.to_owned(), 1.into())]), ..Event::new("t") };
        let noon = Event { time: Some("noon".into()), ..Event::new("t") };
        for event in [Event::new(""), named("Not-A-Name"), named("subject"), noon] {
            assert_eq!(event.into_proto("/x").unwrap_err().reason(), Some("BAD_OUTPUT"));
        }
        assert_eq!(Event::from_proto(CloudEvent::default()).unwrap_err().reason(), Some("INVALID_EVENT"));
    }

    #[test]
    fn data_that_does_not_fit_is_the_senders_mistake() {
        let event = Event { data: Some(b"{".to_vec()), ..Event::new("t") };
        assert_eq!(event.json::<serde_json::Value>().unwrap_err().reason(), Some("INVALID_EVENT"));
    }
}
