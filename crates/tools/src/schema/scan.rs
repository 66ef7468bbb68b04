//! What can be said of JSON text before it is parsed into values: how deep, how many, and whether any key stands twice.

use std::{collections::HashSet, fmt};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use stead_core::code;

use super::{MAX_BYTES, MAX_DEPTH, Subject};

/// The shape of a JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Deepest nesting of arrays and objects.
    pub(super) depth: usize,
    /// At least the number of values in it.
    pub(super) nodes: usize,
}

/// Measures JSON text without parsing it; refuses text beyond the limits.
pub(super) fn shape(json: &str, subject: &Subject) -> Result<Shape, String> {
    let Subject { it, are, have, .. } = subject;
    if json.len() > MAX_BYTES {
        return Err(format!("{}: {it} {have} more than {MAX_BYTES} bytes", code::TOO_LARGE));
    }
    let (mut depth, mut deepest, mut nodes) = (0_usize, 0, 1);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                nodes += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => nodes += 1,
            _ => {}
        }
    }
    if deepest > MAX_DEPTH {
        return Err(format!("{}: {it} {are} nested deeper than {MAX_DEPTH}", code::TOO_DEEP));
    }
    Ok(Shape { depth: deepest, nodes })
}

/// The nesting of a value, if it is at most `limit`.
pub(super) fn depth_of(value: &Value, limit: usize) -> Option<usize> {
    let below = limit.checked_sub(1);
    match value {
        Value::Array(items) => {
            items.iter().try_fold(0, |d, v| Some(d.max(depth_of(v, below?)?))).and_then(|d| below.map(|_| d + 1))
        }
        Value::Object(map) => {
            map.values().try_fold(0, |d, v| Some(d.max(depth_of(v, below?)?))).and_then(|d| below.map(|_| d + 1))
        }
        _ => Some(0),
    }
}

/// Refuses an object with the same key twice: what was checked might not be what another reader dispatches.
pub(super) fn no_duplicate_keys(json: &str) -> Result<(), String> {
    serde_json::from_str::<Unique>(json).map(|_| ()).map_err(|e| e.to_string())
}

/// Any JSON value, read only for its keys.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Keys)
    }
}

struct Keys;

macro_rules! leaf {
    ($($name:ident: $t:ty),*) => {
        $(fn $name<E: serde::de::Error>(self, _: $t) -> Result<Unique, E> { Ok(Unique) })*
    };
}

impl<'de> Visitor<'de> for Keys {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    leaf!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E: serde::de::Error>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Unique, A::Error> {
        while seq.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            map.next_value::<Unique>()?;
            if seen.contains(&key) {
                let key = crate::text::ellipsis(&key, 60);
                return Err(serde::de::Error::custom(format_args!("the key `{key}` stands twice in one object")));
            }
            seen.insert(key);
        }
        Ok(Unique)
    }
}
