//! One flat object of keywords from a schema: references followed, `allOf` merged, a branch of `anyOf`, `oneOf` and
//! `if` decided.

use serde_json::{Map, Value, json};

use super::Generator;

impl Generator<'_> {
    /// The keywords that a value must satisfy together; `None` when that is impossible or too deep.
    pub(super) fn flatten(&self, schema: &Value, depth: u32) -> Option<Map<String, Value>> {
        let mut flat = Map::new();
        self.flatten_into(schema, depth, &mut flat)?;
        Some(flat)
    }

    pub(super) fn flatten_into(&self, schema: &Value, depth: u32, flat: &mut Map<String, Value>) -> Option<()> {
        self.visit(depth)?;
        let object = match schema {
            Value::Bool(true) => return Some(()),
            Value::Object(o) => o,
            _ => return None,
        };
        for (key, value) in object {
            match (key.as_str(), value) {
                ("$ref" | "$dynamicRef", Value::String(at)) => {
                    self.flatten_into(resolve(self.root, at)?, depth + 1, flat)?;
                }
                ("allOf", Value::Array(all)) => {
                    all.iter().try_for_each(|s| self.flatten_into(s, depth + 1, flat))?;
                }
                ("anyOf" | "oneOf", Value::Array(some)) => {
                    self.flatten_into(some.get(self.decide(some.len()))?, depth + 1, flat)?;
                }
                ("if", condition) => self.flatten_if(object, condition, depth, flat)?,
                (
                    "then" | "else" | "not" | "$defs" | "definitions" | "$schema" | "$id" | "title" | "description",
                    _,
                ) => {}
                _ => merge(flat, key, value)?,
            }
        }
        Some(())
    }

    fn flatten_if(
        &self,
        schema: &Map<String, Value>,
        condition: &Value,
        depth: u32,
        flat: &mut Map<String, Value>,
    ) -> Option<()> {
        if self.decide(2) == 0 {
            self.flatten_into(condition, depth + 1, flat)?;
            schema.get("then").map_or(Some(()), |s| self.flatten_into(s, depth + 1, flat))
        } else {
            schema.get("else").map_or(Some(()), |s| self.flatten_into(s, depth + 1, flat))
        }
    }
}

/// Follows a reference within the document: a JSON pointer (RFC 6901) or an anchor.
fn resolve<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let fragment = reference.strip_prefix('#')?;
    if fragment.is_empty() || fragment.starts_with('/') {
        return root.pointer(&percent_decode(fragment)?);
    }
    let ids = [fragment, reference];
    let mut open = vec![root];
    let mut seen = 0;
    while let Some(value) = open.pop() {
        seen += 1;
        if seen > super::MAX_NODES {
            return None;
        }
        let named = |k: &str| value.get(k).and_then(Value::as_str).is_some_and(|v| ids.contains(&v));
        if ["$anchor", "$dynamicAnchor", "$id"].into_iter().any(named) {
            return Some(value);
        }
        match value {
            Value::Object(o) => open.extend(o.values()),
            Value::Array(a) => open.extend(a),
            _ => {}
        }
    }
    None
}

fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let hex = [bytes.next()?, bytes.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
        } else {
            out.push(b);
        }
    }
    String::from_utf8(out).ok()
}

/// Adds a keyword to those that must hold already; `None` when they exclude each other.
fn merge(flat: &mut Map<String, Value>, key: &str, value: &Value) -> Option<()> {
    let Some(old) = flat.get_mut(key) else {
        flat.insert(key.to_owned(), value.clone());
        return Some(());
    };
    if old == value {
        return Some(());
    }
    match key {
        "minimum" | "exclusiveMinimum" | "minLength" | "minItems" | "minProperties" | "minContains" => {
            if value.as_f64()? > old.as_f64()? {
                *old = value.clone();
            }
        }
        "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems" | "maxProperties" | "maxContains" => {
            if value.as_f64()? < old.as_f64()? {
                *old = value.clone();
            }
        }
        "required" => {
            let old = old.as_array_mut()?;
            for name in value.as_array()? {
                if !old.contains(name) {
                    old.push(name.clone());
                }
            }
        }
        "type" => *old = Value::Array(common_types(old, value)?),
        "enum" => {
            let new = value.as_array()?;
            let both: Vec<Value> = old.as_array()?.iter().filter(|v| new.contains(v)).cloned().collect();
            *old = (!both.is_empty()).then_some(Value::Array(both))?;
        }
        "properties" | "patternProperties" | "dependentSchemas" => {
            let old = old.as_object_mut()?;
            for (name, schema) in value.as_object()? {
                let joined = match old.get(name) {
                    Some(before) => json!({ "allOf": [before, schema] }),
                    None => schema.clone(),
                };
                old.insert(name.clone(), joined);
            }
        }
        "multipleOf" => {
            let (a, b) = (old.as_u64()?, value.as_u64()?);
            *old = json!(lcm(a, b)?);
        }
        "items" | "additionalProperties" | "contains" | "propertyNames" | "additionalItems" => {
            *old = json!({ "allOf": [old.take(), value] });
        }
        // The last one stands; the validator judges.
        _ => *old = value.clone(),
    }
    Some(())
}

fn types(value: &Value) -> Vec<&str> {
    match value {
        Value::String(s) => vec![s],
        Value::Array(a) => a.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn common_types(a: &Value, b: &Value) -> Option<Vec<Value>> {
    let (a, b) = (types(a), types(b));
    // An integer is a number, so the narrower name survives.
    let within = |t: &str, all: &[&str]| all.contains(&t) || (t == "integer" && all.contains(&"number"));
    let mut both: Vec<Value> = a.iter().filter(|t| within(t, &b)).map(|t| json!(t)).collect();
    both.extend(b.iter().filter(|t| within(t, &a) && !a.contains(t)).map(|t| json!(t)));
    (!both.is_empty()).then_some(both)
}

fn lcm(a: u64, b: u64) -> Option<u64> {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / (x > 0).then_some(x)?).checked_mul(b)
}
