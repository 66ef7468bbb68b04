//! The input of a run: its check, and how an agent that has one is offered as a tool.
//!
//! An input is a text. One whose schema has the `type` `string` is that text itself; every other is read as JSON, strictly.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use stead_ports::{
    agent::Handed,
    input::{InputCheck, InputSchema, Misfit, Wrong},
};

use super::{Bad, Checker, MAX_BYTES, Subject, example};
use crate::{error::ToolSetupError, text};

const INPUT: Subject = Subject {
    it: "the input",
    are: "is",
    have: "has",
    do_not: "does not",
    schema: "the agent's JSON Schema",
    smaller: "give fewer or flatter values",
    object: false,
    whose: "input",
};

/// Longest place that is told, in bytes.
const MAX_AT: usize = 300;
/// The keys under which a schema keeps what it refers to.
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];
/// What `input` is, to a model.
const ABOUT: &str = "What the agent is asked, with everything it must know: it sees nothing else.";

/// Makes the check of a run's input. The draft is the one that `$schema` names, 2020-12 when silent.
///
/// # Errors
/// As [`super::compile`], but for the type.
pub fn compile_input(schema: Value) -> Result<InputSchema, ToolSetupError> {
    let checker = Checker::new(&schema, &INPUT)?;
    let is_text = is_text(&schema);
    let example = example::of(&schema).filter(|value| checker.value(value, 0).is_ok()).map(|value| match &value {
        Value::String(text) if is_text => Arc::from(text.as_str()),
        value => Arc::from(text::json(value)),
    });
    let check: InputCheck = Arc::new(move |text: &str| {
        let checked = if is_text { check_text(&checker, text) } else { checker.text(text) };
        checked.map_err(|bad| Misfit { wrong: told(bad), example: example.clone() })
    });
    Ok(InputSchema { schema: Arc::new(schema), check })
}

/// The arguments of a tool behind which stands an agent whose input has this schema, and what of them is the input: the schema
/// itself when it is of an object, else `{"input": …}`.
///
/// # Errors
/// A schema that is of no object and refers to something outside its `$defs`: it means another thing where it stands then.
pub fn offered_input(schema: &Value) -> Result<(Value, Handed), ToolSetupError> {
    let kind = schema.get("type");
    if kind.is_some_and(|t| t == "object") || (kind.is_none() && schema.get("properties").is_some()) {
        let mut whole = schema.clone();
        whole["type"] = "object".into();
        return Ok((whole, Handed::Arguments));
    }
    if refers_elsewhere(schema) {
        return Err(ToolSetupError::value(
            "the agent's input schema cannot be offered as a tool's arguments: it is of no object and has a `$ref` that does \
             not begin with `#/$defs/`; make its `type` `object`",
        ));
    }
    let Value::Object(mut inner) = schema.clone() else {
        return Err(ToolSetupError::value("the agent's input schema must be an object"));
    };
    let mut offered = Map::new();
    for key in ["$schema"].into_iter().chain(DEFINITIONS) {
        if let Some(value) = inner.remove(key) {
            offered.insert(key.to_owned(), value);
        }
    }
    inner.entry("description").or_insert_with(|| ABOUT.into());
    offered.insert("type".into(), "object".into());
    offered.insert("properties".into(), json!({ "input": inner }));
    offered.insert("required".into(), json!(["input"]));
    offered.insert("additionalProperties".into(), false.into());
    let handed = if is_text(schema) { Handed::Text } else { Handed::Value };
    Ok((Value::Object(offered), handed))
}

fn is_text(schema: &Value) -> bool {
    schema.get("type").is_some_and(|t| t == "string")
}

fn check_text(checker: &Checker, text: &str) -> Result<(), Bad> {
    if text.len() > MAX_BYTES {
        return Err(Bad::Text(format!("the input has more than {MAX_BYTES} bytes")));
    }
    if !checker.work.affordable(0, 1) {
        return Err(Bad::Text("the input cannot be checked: its schema asks for too much work".to_owned()));
    }
    checker.value(&Value::String(text.to_owned()), text.len())
}

fn told(bad: Bad) -> Vec<Wrong> {
    match bad {
        Bad::Text(why) => vec![Wrong { at: String::new(), why }],
        Bad::Places(mut places) => {
            places.sort();
            places.into_iter().map(|(at, why)| Wrong { at: text::ellipsis(&at, MAX_AT), why }).collect()
        }
    }
}

/// Whether anything in it refers to a place that is not in its definitions, or makes one under a name of its own.
fn refers_elsewhere(schema: &Value) -> bool {
    const NAMED: [&str; 5] = ["$id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveRef"];
    let own =
        |to: &str| DEFINITIONS.iter().any(|d| to.strip_prefix("#/").is_some_and(|r| r.starts_with(&format!("{d}/"))));
    match schema {
        Value::Object(map) => map.iter().any(|(key, value)| match (key.as_str(), value) {
            ("$ref", Value::String(to)) => !own(to),
            (key, _) if NAMED.contains(&key) => true,
            (_, value) => refers_elsewhere(value),
        }),
        Value::Array(items) => items.iter().any(refers_elsewhere),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
