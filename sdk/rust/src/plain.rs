//! JSON and times as protobuf has them.

use std::time::{Duration, SystemTime};

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Timestamp};
use serde_json::{Map, Number, Value};

/// Whole numbers up to here are the same in a double.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// An object as a Struct.
pub(crate) fn struct_to_proto(fields: &Map<String, Value>) -> Struct {
    Struct { fields: fields.iter().map(|(name, value)| (name.clone(), value_to_proto(value))).collect() }
}

/// A Struct as an object. Its numbers are doubles; whole ones become integers again, so that they fit into integer fields.
pub(crate) fn struct_from_proto(sent: Struct) -> Map<String, Value> {
    sent.fields.into_iter().map(|(name, value)| (name, value_from_proto(value))).collect()
}

pub(crate) fn duration_to_proto(duration: Duration) -> prost_types::Duration {
    prost_types::Duration { seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX), nanos: duration.subsec_nanos() as i32 }
}

/// A negative duration is none.
pub(crate) fn duration_from_proto(sent: prost_types::Duration) -> Duration {
    Duration::try_from(sent).unwrap_or(Duration::ZERO)
}

/// Now, in RFC 3339 with six digits of a second, as hclog's readers want it.
pub(crate) fn now_in_micros() -> String {
    let now = Timestamp::from(SystemTime::now());
    let seconds = Timestamp { nanos: 0, ..now }.to_string();
    format!("{}.{:06}Z", seconds.trim_end_matches('Z'), now.nanos / 1000)
}

fn value_to_proto(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(plain) => Kind::BoolValue(*plain),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(ListValue { values: items.iter().map(value_to_proto).collect() }),
        Value::Object(members) => Kind::StructValue(struct_to_proto(members)),
    };
    prost_types::Value { kind: Some(kind) }
}

fn value_from_proto(sent: prost_types::Value) -> Value {
    match sent.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(plain)) => plain.into(),
        Some(Kind::NumberValue(number)) if number.fract() == 0.0 && number.abs() <= MAX_SAFE_INTEGER => (number as i64).into(),
        Some(Kind::NumberValue(number)) => Number::from_f64(number).map_or(Value::Null, Value::Number),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(value_from_proto).collect(),
        Some(Kind::StructValue(content)) => Value::Object(struct_from_proto(content)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_comes_back_as_it_was() {
        let value = serde_json::json!({ "a": { "b": [1, "x", null, true, 1.5, -7] } });
        let object = value.as_object().unwrap();
        assert_eq!(&struct_from_proto(struct_to_proto(object)), object);
    }

    #[test]
    fn a_time_has_six_digits() {
        let now = now_in_micros();
        assert_eq!((now.len(), &now[19..20], &now[26..]), (27, ".", "Z"));
    }
}
