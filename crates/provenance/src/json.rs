//! JSON as it is traced: one value, no key twice, paths that people can read. What is not that is text.

use std::fmt::{self, Write as _};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Bytes of JSON that are read as such; a longer text counts as prose.
pub const MAX_JSON: usize = 4 << 20;

/// Why a text is not JSON that can be traced.
#[derive(Debug, thiserror::Error)]
pub enum BadJson {
    /// It is no JSON, has a key twice, or is nested more than 127 levels deep.
    #[error("not JSON that can be traced: {0}")]
    Syntax(#[from] serde_json::Error),
    /// It is longer than [`MAX_JSON`].
    #[error("{0} bytes are more than the {MAX_JSON} that are traced")]
    Long(usize),
    /// Arguments of a call are one object.
    #[error("the arguments of a call must be one JSON object")]
    NoObject,
}

/// Reads one JSON value.
///
/// # Errors
/// [`BadJson`]; a key that stands twice in an object is one, for two readers may take different ones.
pub fn parse(text: &str) -> Result<Value, BadJson> {
    if text.len() > MAX_JSON {
        return Err(BadJson::Long(text.len()));
    }
    let mut d = serde_json::Deserializer::from_str(text);
    let value = Once.deserialize(&mut d)?;
    d.end()?;
    Ok(value)
}

/// Reads one JSON object, the arguments of a call.
///
/// # Errors
/// [`BadJson`].
pub fn arguments(text: &str) -> Result<Map<String, Value>, BadJson> {
    match parse(text)? {
        Value::Object(map) => Ok(map),
        _ => Err(BadJson::NoObject),
    }
}

/// A value whose objects have each key once.
struct Once;

impl<'de> DeserializeSeed<'de> for Once {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E: de::Error>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }
    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }
    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Value, E> {
        Number::from_f64(v).map(Value::Number).ok_or_else(|| E::custom("a number out of range"))
    }
    fn visit_str<E: de::Error>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }
    fn visit_string<E: de::Error>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(value) = seq.next_element_seed(Once)? {
            out.push(value);
        }
        Ok(Value::Array(out))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(key) = map.next_key_seed(std::marker::PhantomData::<String>)? {
            let value = map.next_value_seed(Once)?;
            if out.contains_key(&key) {
                return Err(de::Error::custom(format_args!("the key `{key}` stands twice")));
            }
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }
}

/// A place in a JSON value: `$.items[0].name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(String);

impl Default for Path {
    fn default() -> Self {
        Self("$".to_owned())
    }
}

impl Path {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Runs `f` at a member's place.
    pub fn member<T>(&mut self, key: &str, f: impl FnOnce(&mut Self) -> T) -> T {
        let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let part = if plain { format!(".{key}") } else { format!("[{}]", Value::from(key)) };
        self.within(&part, f)
    }

    /// Runs `f` at an element's place.
    pub fn element<T>(&mut self, index: usize, f: impl FnOnce(&mut Self) -> T) -> T {
        self.within(&format!("[{index}]"), f)
    }

    fn within<T>(&mut self, part: &str, f: impl FnOnce(&mut Self) -> T) -> T {
        let len = self.0.len();
        self.0.push_str(part);
        let out = f(self);
        self.0.truncate(len);
        out
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A value as people read it in a message: at most 64 characters.
pub fn short(text: &str) -> String {
    let mut out: String = text.chars().take(64).collect();
    if out.len() < text.len() {
        let _ = out.write_char('…');
    }
    out
}
