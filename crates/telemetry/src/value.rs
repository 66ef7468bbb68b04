//! Values of attributes, bounded.

use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value};

/// Bytes of the text of an attribute that is no content.
pub const TEXT_MAX: usize = 1_024;
/// Members of a list.
pub const LIST_MAX: usize = 32;

/// A text, cut at a character.
pub fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

fn of(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// A text.
pub fn text(key: &str, value: &str) -> KeyValue {
    of(key, Value::StringValue(cut(value, TEXT_MAX).to_owned()))
}

/// A text of any length.
pub fn whole(key: &str, value: String) -> KeyValue {
    of(key, Value::StringValue(value))
}

/// A number.
pub fn int(key: &str, value: u64) -> KeyValue {
    of(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

/// A number with places.
pub fn float(key: &str, value: f64) -> KeyValue {
    of(key, Value::DoubleValue(value))
}

/// Yes or no.
pub fn yes(key: &str, value: bool) -> KeyValue {
    of(key, Value::BoolValue(value))
}

/// Texts.
pub fn list<'a>(key: &str, values: impl Iterator<Item = &'a str>) -> KeyValue {
    let value = |text: &str| AnyValue { value: Some(Value::StringValue(cut(text, TEXT_MAX).to_owned())) };
    of(key, Value::ArrayValue(ArrayValue { values: values.take(LIST_MAX).map(value).collect() }))
}
