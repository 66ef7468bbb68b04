//! Schemas of a document to JSON Schema 2020-12, as the check of arguments takes it: what a `$ref` names goes into `$defs`
//! once, however often it is named, so that cycles end and nothing multiplies.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::document::{Dialect, Document, Failed, text};
use crate::yaml::{Node, Value};

/// Most values of the schemas of one operation.
const MAX_NODES: usize = 20_000;
/// Most schemas that one operation names.
const MAX_DEFS: usize = 500;

/// Keywords that are taken as they are.
const PLAIN: &[&str] = &[
    "type",
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxContains",
    "minContains",
    "maxProperties",
    "minProperties",
    "required",
    "dependentRequired",
    "title",
    "description",
    "default",
    "deprecated",
    "format",
    "contentEncoding",
    "contentMediaType",
    "examples",
];
/// Keywords whose value is a schema.
const ONE: &[&str] = &[
    "not",
    "if",
    "then",
    "else",
    "items",
    "additionalProperties",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];
/// Keywords whose value is a list of schemas.
const LIST: &[&str] = &["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value is a mapping to schemas.
const MAP: &[&str] = &["properties", "patternProperties", "dependentSchemas", "$defs"];
/// Keywords that change what other keywords mean, and are not read.
const REFUSED: &[&str] = &["$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"];

/// Turns schemas of one operation.
pub(super) struct Schemas<'d> {
    document: &'d Document<'d>,
    /// Names of the schemas under `$defs`, by pointer.
    names: BTreeMap<String, String>,
    pending: Vec<(String, &'d Node)>,
    defs: Map<String, Json>,
    nodes: usize,
}

impl<'d> Schemas<'d> {
    pub(super) fn new(document: &'d Document<'d>) -> Self {
        Self { document, names: BTreeMap::new(), pending: Vec::new(), defs: Map::new(), nodes: 0 }
    }

    /// One schema.
    pub(super) fn convert(&mut self, node: &'d Node) -> Result<Json, Failed> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let message = format!("the schemas of this operation have more than {MAX_NODES} values");
            return Err(self.document.error(&node.at, message, None));
        }
        if let Value::Scalar { .. } = node.value
            && let Some(flag @ Json::Bool(_)) = node.json()
        {
            return Ok(flag);
        }
        let Value::Map(entries) = &node.value else {
            let message = format!("a schema must be a mapping, found {}", node.kind());
            return Err(self.document.error(&node.at, message, None));
        };
        let mut out = Map::new();
        if let Some(reference) = node.get("$ref") {
            out.insert("$ref".into(), self.reference(reference)?.into());
            // Siblings of a reference are ignored in 3.0 (section 4.7.23).
            if self.document.dialect == Dialect::V30 {
                return Ok(out.into());
            }
        }
        for entry in entries {
            let (key, value) = (entry.key.as_str(), &entry.node);
            let converted = match key {
                _ if PLAIN.contains(&key) => self.plain(value)?,
                _ if ONE.contains(&key) => self.convert(value)?,
                _ if LIST.contains(&key) => self.list(key, value)?,
                _ if MAP.contains(&key) => self.map(key, value)?,
                _ if REFUSED.contains(&key) => {
                    return Err(self.document.error(&entry.at, format!("`{key}` in a schema is not supported"), None));
                }
                "example" => json!([self.plain(value)?]),
                // Annotations of other tools.
                _ => continue,
            };
            let key = if key == "example" { "examples" } else { key };
            out.entry(key).or_insert(converted);
        }
        drop_read_only(node, &mut out);
        if self.document.dialect == Dialect::V30 {
            older(node, &mut out);
        }
        Ok(out.into())
    }

    /// What the references named, for `$defs`.
    pub(super) fn defs(&mut self) -> Result<Map<String, Json>, Failed> {
        while let Some((name, node)) = self.pending.pop() {
            let schema = self.convert(node)?;
            self.defs.insert(name, schema);
        }
        Ok(std::mem::take(&mut self.defs))
    }

    fn reference(&mut self, reference: &'d crate::yaml::Entry) -> Result<String, Failed> {
        let (target, pointer) = self.document.target(reference)?;
        if let Some(name) = self.names.get(pointer) {
            return Ok(format!("#/$defs/{name}"));
        }
        if self.names.len() >= MAX_DEFS {
            let message = format!("this operation names more than {MAX_DEFS} schemas");
            return Err(self.document.error(&reference.at, message, None));
        }
        let last = pointer.rsplit('/').next().unwrap_or_default();
        let plain = |c: char| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '_' };
        let stem: String = last.chars().take(60).map(plain).collect();
        let mut name = stem.clone();
        let mut n = 2;
        while name.is_empty() || self.names.values().any(|taken| *taken == name) {
            name = format!("{stem}_{n}");
            n += 1;
        }
        self.names.insert(pointer.to_owned(), name.clone());
        self.pending.push((name.clone(), target));
        Ok(format!("#/$defs/{name}"))
    }

    fn plain(&mut self, node: &Node) -> Result<Json, Failed> {
        self.nodes += size(node);
        node.json().ok_or_else(|| self.document.error(&node.at, "a number here cannot be written in JSON", None))
    }

    fn list(&mut self, key: &str, node: &'d Node) -> Result<Json, Failed> {
        let Value::List(items) = &node.value else {
            return Err(self.document.error(&node.at, format!("`{key}` must be a list of schemas"), None));
        };
        Ok(items.iter().map(|item| self.convert(item)).collect::<Result<Vec<_>, _>>()?.into())
    }

    fn map(&mut self, key: &str, node: &'d Node) -> Result<Json, Failed> {
        let Value::Map(entries) = &node.value else {
            return Err(self.document.error(&node.at, format!("`{key}` must be a mapping to schemas"), None));
        };
        let mut out = Map::new();
        for entry in entries {
            out.insert(entry.key.clone(), self.convert(&entry.node)?);
        }
        Ok(out.into())
    }
}

/// Values in a subtree.
fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar { .. } => 0,
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|e| size(&e.node)).sum(),
    }
}

/// What only the service sets is not sent (3.0 section 4.7.24.2, 3.1 section 4.8.24).
fn drop_read_only(node: &Node, out: &mut Map<String, Json>) {
    let Some(properties) = node.get("properties") else { return };
    let read_only = |n: &Node| n.get("readOnly").and_then(|e| text(&e.node)) == Some("true");
    let gone: Vec<&str> =
        properties.node.entries().iter().filter(|e| read_only(&e.node)).map(|e| e.key.as_str()).collect();
    if gone.is_empty() {
        return;
    }
    if let Some(Json::Object(kept)) = out.get_mut("properties") {
        kept.retain(|name, _| !gone.contains(&name.as_str()));
    }
    if let Some(Json::Array(required)) = out.get_mut("required") {
        required.retain(|name| !name.as_str().is_some_and(|n| gone.contains(&n)));
    }
}

/// What 3.0 says otherwise than JSON Schema 2020-12 (3.0 section 4.7.24).
fn older(node: &Node, out: &mut Map<String, Json>) {
    for (exclusive, limit) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        match out.get(exclusive) {
            Some(Json::Bool(true)) => {
                out.remove(exclusive);
                if let Some(limit) = out.remove(limit) {
                    out.insert(exclusive.into(), limit);
                }
            }
            Some(Json::Bool(false)) => {
                out.remove(exclusive);
            }
            _ => {}
        }
    }
    let nullable = node.get("nullable").and_then(|e| text(&e.node)) == Some("true");
    // Without a type beside it, `nullable` has no effect (3.0.3 section 4.7.24.1).
    if nullable && let Some(Json::String(kind)) = out.get("type") {
        let kinds = json!([kind, "null"]);
        out.insert("type".into(), kinds);
    }
}

/// The properties of an object that can be taken apart into arguments.
pub(super) struct Plain<'d> {
    /// Each with its schema.
    pub(super) properties: Vec<(&'d str, &'d Node)>,
    /// Those that must be there.
    pub(super) required: Vec<&'d str>,
}

/// The schema as such an object: `properties`, `required`, `allOf` of the like, and words about it, nothing else.
pub(super) fn plain<'d>(document: &'d Document<'d>, node: &'d Node, levels: usize) -> Option<Plain<'d>> {
    let node = document.follow(node).ok()?;
    let mut out = Plain { properties: Vec::new(), required: Vec::new() };
    let mut is_object = false;
    for entry in node.entries() {
        match entry.key.as_str() {
            "type" if text(&entry.node) == Some("object") => is_object = true,
            "properties" => {
                is_object = true;
                for property in entry.node.entries() {
                    let read_only = property.node.get("readOnly").and_then(|e| text(&e.node)) == Some("true");
                    if !read_only {
                        out.properties.push((&property.key, &property.node));
                    }
                }
            }
            "required" => match &entry.node.value {
                Value::List(items) => out.required.extend(items.iter().filter_map(text)),
                _ => return None,
            },
            "allOf" => {
                let Value::List(items) = &entry.node.value else { return None };
                for item in items {
                    let part = plain(document, item, levels.checked_sub(1)?)?;
                    is_object = true;
                    out.properties.extend(part.properties);
                    out.required.extend(part.required);
                }
            }
            "additionalProperties" if text(&entry.node) == Some("false") => {}
            "title" | "description" | "example" | "examples" | "externalDocs" | "xml" | "deprecated" | "default" => {}
            key if key.starts_with("x-") => {}
            _ => return None,
        }
    }
    let mut names: Vec<&str> = out.properties.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    let twice = names.windows(2).any(|pair| pair[0] == pair[1]);
    (is_object && !twice && !names.is_empty()).then_some(out)
}

/// The words of a schema that has none of its own: those beside it.
pub(super) fn describe(schema: &mut Json, words: Option<&str>) {
    if let (Json::Object(map), Some(words)) = (schema, words.filter(|w| !w.trim().is_empty())) {
        map.entry("description").or_insert_with(|| clip_words(words).into());
    }
}

/// Words for a model, of bounded length.
pub(super) fn clip_words(words: &str) -> String {
    words.trim().chars().take(1_000).collect()
}
