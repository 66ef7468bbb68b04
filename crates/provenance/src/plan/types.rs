//! Types of values as JSON Schemas tell them. What a schema does not tell is [`Type::Any`], and is looked at when it is there.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Levels of a schema, references counted, that are looked at.
const MAX_LEVELS: usize = 16;

/// A type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Type {
    Any,
    Null,
    Bool,
    Number,
    Text,
    List(Box<Type>),
    /// Fields by name, and what all others are; `None` when there are no others.
    Record(BTreeMap<String, Type>, Option<Box<Type>>),
}

impl Type {
    /// The word that errors use.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Null => "nothing",
            Self::Bool => "a truth value",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::List(_) => "a list",
            Self::Record(..) => "an object",
        }
    }

    /// Whether a value of one could be one of the other. Numbers stand as texts in many tools.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any | Self::Null, _) | (_, Self::Any | Self::Null) => true,
            (Self::Number | Self::Text, Self::Number | Self::Text) | (Self::Bool, Self::Bool) => true,
            (Self::List(a), Self::List(b)) => a.meets(b),
            (Self::Record(..), Self::Record(..)) => true,
            _ => false,
        }
    }

    /// The type of what is one of both.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Null, t) | (t, Self::Null) => t,
            (Self::List(a), Self::List(b)) => Self::List(Box::new(a.or(*b))),
            _ => Self::Any,
        }
    }

    /// The type of a schema's values.
    pub(crate) fn of_schema(schema: &Value) -> Self {
        read(schema, schema, 0)
    }

    /// The type of one argument of a schema of arguments; `None` when there is no such argument.
    pub(crate) fn of_argument(schema: &Value, name: &str) -> Option<Self> {
        match schema.get("properties") {
            Some(Value::Object(known)) => known.get(name).map(|s| read(schema, s, 0)),
            // Of a tool without a schema nothing is known.
            _ => Some(Self::Any),
        }
    }
}

fn read(root: &Value, schema: &Value, level: usize) -> Type {
    let Some(map) = schema.as_object().filter(|_| level < MAX_LEVELS) else { return Type::Any };
    if let Some(Value::String(to)) = map.get("$ref") {
        let target = to.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return target.map_or(Type::Any, |s| read(root, s, level + 1));
    }
    for word in ["anyOf", "oneOf"] {
        if let Some(Value::Array(list)) = map.get(word) {
            let types = list.iter().map(|s| read(root, s, level + 1));
            return types.reduce(Type::or).unwrap_or(Type::Any);
        }
    }
    match map.get("type") {
        Some(Value::String(word)) => one(root, map, word, level),
        Some(Value::Array(words)) => {
            let types = words.iter().filter_map(Value::as_str).map(|w| one(root, map, w, level));
            types.reduce(Type::or).unwrap_or(Type::Any)
        }
        _ if map.contains_key("properties") => one(root, map, "object", level),
        _ => map.get("const").map_or(Type::Any, of_constant),
    }
}

fn one(root: &Value, map: &Map<String, Value>, word: &str, level: usize) -> Type {
    match word {
        "null" => Type::Null,
        "boolean" => Type::Bool,
        "integer" | "number" => Type::Number,
        "string" => Type::Text,
        "array" => Type::List(Box::new(map.get("items").map_or(Type::Any, |s| read(root, s, level + 1)))),
        "object" => {
            let fields = map.get("properties").and_then(Value::as_object).into_iter().flatten();
            let fields: BTreeMap<_, _> = fields.map(|(k, s)| (k.clone(), read(root, s, level + 1))).collect();
            let rest = match map.get("additionalProperties") {
                Some(Value::Bool(false)) => None,
                Some(Value::Object(_)) => Some(read(root, &map["additionalProperties"], level + 1)),
                // A schema that lists fields means these; one that lists none means any.
                None if !fields.is_empty() => None,
                _ => Some(Type::Any),
            };
            Type::Record(fields, rest.map(Box::new))
        }
        _ => Type::Any,
    }
}

fn of_constant(value: &Value) -> Type {
    match value {
        Value::Bool(_) => Type::Bool,
        Value::Number(_) => Type::Number,
        Value::String(_) => Type::Text,
        _ => Type::Any,
    }
}
