//! The JSON Schema of `agent.yaml` (draft 2020-12), made from the table of keys.

use serde_json::{Map, Value, json};

use crate::{
    keys::MANIFEST,
    scalar,
    shape::{Key, Section, Shape},
};

/// The JSON Schema of `agent.yaml`, for editors and for `stead schema agent`. What only the parser knows (rules between
/// keys, bounds of times and sizes) is not in it: whatever the parser takes, the schema takes.
pub fn schema() -> Value {
    of(&MANIFEST, "Stead agent manifest (agent.yaml)")
}

/// The JSON Schema of a file whose table of keys that is.
pub(crate) fn of(table: &'static Section, title: &str) -> Value {
    let mut defs = Map::new();
    let mut root = section(table, &mut defs);
    root.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    root.insert("title".into(), title.into());
    root.insert("$defs".into(), defs.into());
    root.into()
}

fn section(section: &'static Section, defs: &mut Map<String, Value>) -> Map<String, Value> {
    let properties: Map<String, Value> =
        section.live().map(|(key, shape)| (key.name.to_owned(), property(key, shape, defs))).collect();
    let required: Vec<&str> = section.live().filter(|(k, _)| k.required).map(|(k, _)| k.name).collect();
    let mut out = Map::new();
    out.insert("type".into(), "object".into());
    out.insert("properties".into(), properties.into());
    out.insert("additionalProperties".into(), false.into());
    if !required.is_empty() {
        out.insert("required".into(), required.into());
    }
    if !section.one_of.is_empty() {
        let choices: Vec<Value> = section.one_of.iter().map(|k| json!({ "required": [k] })).collect();
        out.insert("oneOf".into(), choices.into());
    }
    out
}

fn property(key: &Key, value: &'static Shape, defs: &mut Map<String, Value>) -> Value {
    let mut out = shape(value, defs);
    if let Value::Object(map) = &mut out {
        map.insert("description".into(), key.doc.into());
    }
    out
}

fn shape(value: &'static Shape, defs: &mut Map<String, Value>) -> Value {
    match value {
        Shape::Const(word) => json!({ "const": word }),
        Shape::Text(most) => json!({ "type": "string", "minLength": 1, "maxLength": most }),
        Shape::Pattern(pattern) | Shape::Model(pattern, _) => json!({ "type": "string", "pattern": pattern.regex }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Count(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Duration(..) => json!({ "type": "string", "pattern": scalar::DURATION }),
        Shape::Size(..) => json!({
            "anyOf": [{ "type": "string", "pattern": scalar::SIZE }, { "type": "integer", "minimum": 0 }]
        }),
        Shape::Usd => json!({ "type": "number", "minimum": 0 }),
        Shape::Decimal(max) => json!({ "type": "number", "minimum": 0, "maximum": max }),
        Shape::OneOf(words) => json!({ "enum": words }),
        Shape::List(item, most) => {
            json!({ "type": "array", "items": shape(item, defs), "minItems": 1, "maxItems": most })
        }
        Shape::OrNone(item, most) => json!({ "type": "array", "items": shape(item, defs), "maxItems": most }),
        Shape::Map(names, value, most) => json!({
            "type": "object",
            "propertyNames": { "pattern": names.regex },
            "additionalProperties": shape(value, defs),
            "maxProperties": most
        }),
        Shape::Section(section) => reference(section, defs),
        Shape::Short(section, key) => {
            let scalar = section.live().find(|(k, _)| k.name == *key).map(|(_, s)| shape(s, defs));
            json!({ "anyOf": [scalar, reference(section, defs)] })
        }
        Shape::Json(true) => json!({ "type": "object" }),
        Shape::Json(false) => json!({}),
    }
}

fn reference(of: &'static Section, defs: &mut Map<String, Value>) -> Value {
    if !defs.contains_key(of.name) {
        // Taken before it is filled, so that a section inside of itself would end.
        defs.insert(of.name.to_owned(), Value::Null);
        let filled = section(of, defs);
        defs.insert(of.name.to_owned(), filled.into());
    }
    json!({ "$ref": format!("#/$defs/{}", of.name) })
}

#[cfg(test)]
mod tests;
