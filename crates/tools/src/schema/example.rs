//! A small value that a schema may take, for people to see what is meant. It is a guess: whoever shows one checks it first.

use serde_json::{Map, Value};

/// Deepest nesting of an example, references included.
const MAX_DEPTH: usize = 12;
/// Most values in one.
const MAX_NODES: usize = 40;
/// Most bytes of one as JSON.
const MAX_BYTES: usize = 400;

/// An example, when one can be made that is small enough.
pub(super) fn of(schema: &Value) -> Option<Value> {
    let mut maker = Maker { root: schema, nodes: MAX_NODES };
    maker.value(schema, MAX_DEPTH).filter(|value| crate::text::json(value).len() <= MAX_BYTES)
}

struct Maker<'s> {
    root: &'s Value,
    nodes: usize,
}

impl Maker<'_> {
    fn value(&mut self, schema: &Value, depth: usize) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        self.nodes = self.nodes.checked_sub(1)?;
        let first = |key: &str| schema.get(key).and_then(Value::as_array).and_then(|all| all.first());
        let said = first("examples").or_else(|| schema.get("const")).or_else(|| schema.get("default"));
        if let Some(value) = said.or_else(|| first("enum")) {
            return Some(value.clone());
        }
        if let Some(to) = schema.get("$ref").and_then(Value::as_str) {
            let root = self.root;
            return self.value(root.pointer(to.strip_prefix('#')?)?, depth);
        }
        if let Some(one) = first("anyOf").or_else(|| first("oneOf")) {
            return self.value(one, depth);
        }
        match kind(schema) {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, depth),
            "string" => text(schema).map(Value::String),
            "integer" | "number" => Some(number(schema)),
            "boolean" => Some(true.into()),
            "null" => Some(Value::Null),
            _ => None,
        }
    }

    /// What is required, and nothing else; when nothing is, the first property.
    fn object(&mut self, schema: &Value, depth: usize) -> Option<Value> {
        let nothing = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&nothing);
        let required = schema.get("required").and_then(Value::as_array);
        let mut names: Vec<&str> = required.into_iter().flatten().filter_map(Value::as_str).collect();
        if names.is_empty() {
            names.extend(properties.keys().next().map(String::as_str));
        }
        let mut made = Map::new();
        for name in names {
            let value = match properties.get(name) {
                Some(schema) => self.value(schema, depth)?,
                None => "text".into(),
            };
            made.insert(name.to_owned(), value);
        }
        Some(Value::Object(made))
    }

    fn array(&mut self, schema: &Value, depth: usize) -> Option<Value> {
        let few = usize::try_from(count(schema, "minItems").unwrap_or(1)).ok().filter(|n| *n <= MAX_NODES)?;
        let Some(items) = schema.get("items").filter(|items| items.is_object()) else {
            return Some(vec![Value::from("text"); few].into());
        };
        (0..few).map(|_| self.value(items, depth)).collect::<Option<Vec<_>>>().map(Value::Array)
    }
}

/// The type that is said first and is not null, or the one that the other keywords are about.
fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(one)) => one,
        Some(Value::Array(several)) => {
            several.iter().filter_map(Value::as_str).find(|t| *t != "null").unwrap_or("null")
        }
        _ if schema.get("properties").is_some() => "object",
        _ if schema.get("items").is_some() => "array",
        _ => "string",
    }
}

fn text(schema: &Value) -> Option<String> {
    let said = match schema.get("format").and_then(Value::as_str) {
        Some("date") => "2026-01-31",
        Some("date-time") => "2026-01-31T12:00:00Z",
        Some("email") => "ada@example.com",
        Some("uri") => "https://example.com/",
        Some("uuid") => "7f0c1f0e-3c59-4c0b-9f55-0d6a3a2b7a10",
        _ => "text",
    };
    let least = usize::try_from(count(schema, "minLength").unwrap_or(0)).ok().filter(|n| *n <= MAX_BYTES)?;
    let most = count(schema, "maxLength").map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let whole = said.chars().chain(std::iter::repeat('x'));
    Some(whole.take(said.len().max(least).min(most)).collect())
}

fn number(schema: &Value) -> Value {
    let of = |key: &str| schema.get(key).filter(|v| v.is_number()).cloned();
    let above =
        || schema.get("exclusiveMinimum").and_then(Value::as_i64).and_then(|n| n.checked_add(1)).map(Value::from);
    of("minimum").or_else(above).or_else(|| of("multipleOf")).or_else(|| of("maximum")).unwrap_or_else(|| 1.into())
}

fn count(schema: &Value, key: &str) -> Option<u64> {
    schema.get(key).and_then(Value::as_u64)
}
