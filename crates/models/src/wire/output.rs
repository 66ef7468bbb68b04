//! How a model is held to a JSON Schema, where a provider can do it only for a part of JSON Schema or not at all.
//! Whether the answer does satisfy the schema is checked by whoever reads the reply.

use serde_json::{Map, Value, json};

/// Deepest schema that is looked into.
const MAX_DEPTH: usize = 32;
/// What Anthropic's grammar cannot hold a model to, and refuses in a schema.
const TOO_FINE: &[&str] = &[
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "uniqueItems",
];
/// What it takes.
const KNOWN: &[&str] = &[
    "$defs",
    "$id",
    "$ref",
    "$schema",
    "additionalProperties",
    "anyOf",
    "const",
    "default",
    "definitions",
    "description",
    "enum",
    "examples",
    "format",
    "items",
    "minItems",
    "properties",
    "required",
    "title",
    "type",
];
/// The formats it takes.
const FORMATS: &[&str] = &["date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"];

/// Instructions with the schema in words, for a provider that cannot be given one.
pub(crate) fn told(instructions: &str, schema: &Value) -> String {
    let gap = if instructions.is_empty() { "" } else { "\n\n" };
    format!(
        "{instructions}{gap}Your final answer is one JSON value that satisfies this JSON Schema. Write nothing before or \
         after it, and no code fence.\n{schema}"
    )
}

/// Whether OpenAI can hold a model to the whole schema (`strict`): every object names all its properties, requires each
/// of them and allows no other, and the top is an object.
pub(crate) fn is_strict(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("object") && objects_are_closed(schema, 0)
}

fn objects_are_closed(schema: &Value, depth: usize) -> bool {
    let Some(map) = schema.as_object().filter(|_| depth < MAX_DEPTH) else { return false };
    const WORDS: &[&str] = &["$defs", "$ref", "additionalProperties", "anyOf", "const", "definitions", "description"];
    const MORE: &[&str] = &["enum", "items", "properties", "required", "title", "type", "$schema"];
    if !map.keys().all(|k| WORDS.contains(&k.as_str()) || MORE.contains(&k.as_str())) {
        return false;
    }
    if map.get("type").and_then(Value::as_str) == Some("object") || map.contains_key("properties") {
        let empty = Map::new();
        let properties = map.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let required: Vec<&str> =
            map.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let closed = map.get("additionalProperties") == Some(&Value::Bool(false));
        if !closed || properties.keys().any(|k| !required.contains(&k.as_str())) {
            return false;
        }
    }
    parts(map).all(|part| objects_are_closed(part, depth + 1))
}

/// The schemas within a schema.
fn parts(map: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let named = ["properties", "$defs", "definitions"].into_iter().filter_map(|k| map.get(k)?.as_object());
    let listed = map.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    named.flat_map(Map::values).chain(listed).chain(map.get("items"))
}

/// A schema that Anthropic's grammar takes and that an answer to the whole schema satisfies as far as it can be said
/// there: bounds are left to the check of the reply, and objects that say nothing of other properties have none. `None`
/// when the schema uses what cannot be expressed.
pub(crate) fn for_anthropic(schema: &Value) -> Option<Value> {
    narrowed(schema, 0)
}

fn narrowed(schema: &Value, depth: usize) -> Option<Value> {
    let map = schema.as_object().filter(|_| depth < MAX_DEPTH)?;
    let mut out = Map::new();
    for (key, value) in map {
        let kept = match key.as_str() {
            k if TOO_FINE.contains(&k) => continue,
            k if !KNOWN.contains(&k) => return None,
            "format" if !value.as_str().is_some_and(|f| FORMATS.contains(&f)) => continue,
            "minItems" if value.as_u64().is_none_or(|n| n > 1) => continue,
            "additionalProperties" if *value != Value::Bool(false) => return None,
            "properties" | "$defs" | "definitions" => {
                let named = value.as_object()?;
                let inner: Option<Map<_, _>> =
                    named.iter().map(|(k, v)| Some((k.clone(), narrowed(v, depth + 1)?))).collect();
                Value::Object(inner?)
            }
            "anyOf" => value.as_array()?.iter().map(|v| narrowed(v, depth + 1)).collect::<Option<_>>()?,
            "items" => narrowed(value, depth + 1)?,
            _ => value.clone(),
        };
        out.insert(key.clone(), kept);
    }
    let is_object = map.get("type").and_then(Value::as_str) == Some("object") || map.contains_key("properties");
    if is_object {
        out.entry("additionalProperties").or_insert(json!(false));
    }
    Some(Value::Object(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_closed_schema_is_strict() {
        let closed = json!({ "type": "object", "additionalProperties": false, "required": ["a"],
            "properties": { "a": { "type": "array", "items": { "type": "string" } } } });
        assert!(is_strict(&closed));
        let mut open = closed.clone();
        open["properties"]["b"] = json!({ "type": "string" });
        assert!(!is_strict(&open));
        let mut inner = closed.clone();
        inner["properties"]["a"]["items"] = json!({ "type": "object", "properties": {} });
        assert!(!is_strict(&inner));
        let mut fine = closed;
        fine["properties"]["a"]["items"] = json!({ "oneOf": [] });
        assert!(!is_strict(&fine));
        assert!(!is_strict(&json!({ "type": "string" })) && !is_strict(&json!(true)));
    }

    #[test]
    fn a_schema_is_narrowed_to_what_the_grammar_takes() {
        let schema = json!({ "type": "object", "required": ["n"], "properties": {
            "n": { "type": "integer", "minimum": 1 },
            "when": { "type": "string", "format": "date" },
            "odd": { "type": "string", "format": "colour", "pattern": "x" } } });
        let expected = json!({ "type": "object", "required": ["n"], "additionalProperties": false, "properties": {
            "n": { "type": "integer" },
            "when": { "type": "string", "format": "date" },
            "odd": { "type": "string" } } });
        assert_eq!(for_anthropic(&schema), Some(expected));
        for open in [
            json!({ "type": "object", "additionalProperties": true }),
            json!({ "type": "object", "additionalProperties": { "type": "string" } }),
            json!({ "not": { "type": "string" } }),
            json!({ "type": "array", "items": { "oneOf": [] } }),
            json!(true),
        ] {
            assert_eq!(for_anthropic(&open), None, "{open}");
        }
        let deep = (0..40).fold(json!({ "type": "string" }), |s, _| json!({ "type": "array", "items": s }));
        assert!(for_anthropic(&deep).is_none() && !is_strict(&json!({ "type": "object", "anyOf": [deep] })));
    }

    #[test]
    fn a_schema_in_words_stands_after_the_instructions() {
        let text = told("Be brief.", &json!({ "type": "object" }));
        assert!(text.starts_with("Be brief.\n\n") && text.ends_with(r#"{"type":"object"}"#), "{text}");
        assert!(!told("", &json!({})).starts_with('\n'));
    }
}
