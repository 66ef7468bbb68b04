//! Schemas of arguments and answers: the check that every tool call passes before anything else happens to it, the one
//! that an agent's answer passes before it counts, the one that a run's input passes at the door ([`input`]), and the
//! digest by which a schema is pinned.
//!
//! Schemas may come from a foreign server and arguments come from a model, so both are hostile input: no reference
//! leaves the schema, patterns run on a linear-time engine, and the work of one check is bounded before it starts
//! (see [`cost`]).

use std::sync::Arc;

use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;
use sha2::{Digest, Sha256};
use stead_core::code;
use stead_ports::agent::ArgumentCheck;

use crate::{error::ToolSetupError, text};

mod cost;
mod example;
mod input;
mod scan;

pub use input::{compile_input, offered_input};

/// Deepest nesting of arguments, and of an answer.
pub const MAX_DEPTH: usize = 64;
/// Most bytes of arguments, and of an answer.
pub const MAX_BYTES: usize = 1 << 20;
/// Most bytes of a schema's canonical JSON.
pub const MAX_SCHEMA_BYTES: usize = 256 * 1024;
/// Most problems named in one message.
const MAX_PROBLEMS: usize = 5;
/// Arguments above this size are checked up to their first problem only.
const ALL_PROBLEMS_BELOW: usize = 64 * 1024;

/// Makes the check of a tool's arguments. The draft is the one that `$schema` names, 2020-12 when silent.
///
/// The check's error is written for a model to mend its call: each line gives a JSON path and what was expected.
///
/// # Errors
/// A schema that is not valid, not of an object, refers outside itself, calls itself without consuming input, or is
/// larger than [`MAX_SCHEMA_BYTES`].
pub fn compile(schema: &Value) -> Result<ArgumentCheck, ToolSetupError> {
    if schema.get("type").and_then(Value::as_str).is_some_and(|t| t != "object") || !schema.is_object() {
        let why = "the argument schema cannot be used: arguments are always an object, so its `type` must be `object`";
        return Err(ToolSetupError::value(why));
    }
    checker(schema, &ARGUMENTS)
}

/// Makes the check of an agent's answer, which may be any JSON value. The draft is the one that `$schema` names, 2020-12
/// when silent. The check's error is written for a model to mend its answer.
///
/// # Errors
/// As [`compile`], but for the type.
pub fn compile_answer(schema: &Value) -> Result<ArgumentCheck, ToolSetupError> {
    checker(schema, &ANSWER)
}

/// What is checked, in the words of the errors.
#[derive(Debug)]
struct Subject {
    /// The text, with its verbs.
    it: &'static str,
    are: &'static str,
    have: &'static str,
    do_not: &'static str,
    /// Its schema.
    schema: &'static str,
    /// What to do about a value that costs too much to check.
    smaller: &'static str,
    /// Whether it must be an object.
    object: bool,
    /// The word for it in an error about the schema.
    whose: &'static str,
}

const ARGUMENTS: Subject = Subject {
    it: "the arguments",
    are: "are",
    have: "have",
    do_not: "do not",
    schema: "the tool's schema",
    smaller: "send fewer or flatter values",
    object: true,
    whose: "argument",
};

const ANSWER: Subject = Subject {
    it: "the answer",
    are: "is",
    have: "has",
    do_not: "does not",
    schema: "the output's JSON Schema",
    smaller: "give fewer or flatter values",
    object: false,
    whose: "output",
};

fn checker(schema: &Value, subject: &'static Subject) -> Result<ArgumentCheck, ToolSetupError> {
    let checker = Checker::new(schema, subject)?;
    Ok(Arc::new(move |text: &str| checker.check(text)))
}

/// A schema that is ready to be checked against, within bounds.
struct Checker {
    validator: Validator,
    work: cost::Work,
    subject: &'static Subject,
}

/// What is wrong with a text.
enum Bad {
    /// With the whole of it.
    Text(String),
    /// Places of its value: each a JSON Pointer, and what was expected there.
    Places(Vec<(String, String)>),
}

impl Checker {
    fn new(schema: &Value, subject: &'static Subject) -> Result<Self, ToolSetupError> {
        let bad = |why: &dyn std::fmt::Display| {
            ToolSetupError::value(format!("the {} schema cannot be used: {why}", subject.whose))
        };
        scan::depth_of(schema, MAX_DEPTH).ok_or_else(|| bad(&format_args!("it is nested deeper than {MAX_DEPTH}")))?;
        let size = text::json(schema).len();
        if size > MAX_SCHEMA_BYTES {
            return Err(bad(&format_args!("it has {size} bytes, more than {MAX_SCHEMA_BYTES}")));
        }
        let work = cost::Work::of(schema).map_err(|e| bad(&e))?;
        let validator = jsonschema::options()
            .offline()
            .with_pattern_options(PatternOptions::regex().size_limit(1 << 20).dfa_size_limit(1 << 20))
            .build(schema)
            .map_err(|e| bad(&text::ellipsis(&e.masked().to_string(), 400)))?;
        Ok(Self { validator, work, subject })
    }

    /// The check, told to a model.
    fn check(&self, text: &str) -> Result<(), String> {
        let Subject { it, do_not, schema, .. } = self.subject;
        self.text(text).map_err(|bad| match bad {
            Bad::Text(why) => why,
            Bad::Places(places) => {
                let lines: Vec<_> = places.iter().map(|(at, why)| format!("- {}: {why}", path(at))).collect();
                format!("{it} {do_not} fit {schema}:\n{}", lines.join("\n"))
            }
        })
    }

    /// The check of JSON text.
    fn text(&self, text: &str) -> Result<(), Bad> {
        let Subject { it, are, schema, smaller, object, .. } = self.subject;
        let shape = scan::shape(text, self.subject).map_err(Bad::Text)?;
        if !self.work.affordable(shape.depth, shape.nodes) {
            let why = format!("{it} {are} too large and too deeply nested for {schema}");
            return Err(Bad::Text(format!("{}: {why}; {smaller}", code::TOO_DEEP)));
        }
        let value: Value =
            serde_json::from_str(text).map_err(|e| Bad::Text(format!("{it} {are} not valid JSON: {e}")))?;
        if *object && !value.is_object() {
            return Err(Bad::Text(format!("{it} must be a JSON object")));
        }
        scan::no_duplicate_keys(text).map_err(|e| Bad::Text(format!("{it} {are} not usable: {e}")))?;
        self.value(&value, text.len())
    }

    /// The check of a value whose JSON text has about that many bytes.
    fn value(&self, value: &Value, bytes: usize) -> Result<(), Bad> {
        if self.validator.is_valid(value) {
            return Ok(());
        }
        Err(Bad::Places(if bytes < ALL_PROBLEMS_BELOW {
            self.validator.iter_errors(value).take(MAX_PROBLEMS).map(|e| problem(&e)).collect()
        } else {
            self.validator.validate(value).err().iter().map(problem).collect()
        }))
    }
}

/// First 16 bytes of the SHA-256 of the schema's canonical JSON: no white space, keys sorted by their UTF-8 bytes.
pub fn digest(schema: &Value) -> [u8; 16] {
    let mut hash = Sha256::new();
    canonical(schema, &mut hash);
    let mut out = [0; 16];
    out.copy_from_slice(&hash.finalize()[..16]);
    out
}

fn canonical(value: &Value, hash: &mut Sha256) {
    match value {
        Value::Object(map) => {
            // A map keeps the order of its text when some crate asks for that; the digest must not.
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            hash.update("{");
            for (i, (key, value)) in entries.into_iter().enumerate() {
                hash.update(if i == 0 { "" } else { "," });
                hash.update(text::json(key));
                hash.update(":");
                canonical(value, hash);
            }
            hash.update("}");
        }
        Value::Array(items) => {
            hash.update("[");
            for (i, item) in items.iter().enumerate() {
                hash.update(if i == 0 { "" } else { "," });
                canonical(item, hash);
            }
            hash.update("]");
        }
        leaf => hash.update(text::json(leaf)),
    }
}

/// One problem: where, what was expected, and what stands there.
fn problem(error: &ValidationError<'_>) -> (String, String) {
    let found = match &**error.instance() {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        leaf => text::ellipsis(&text::json(leaf), 60),
    };
    let expected = error.masked_with("the value").to_string();
    (error.instance_path().to_string(), format!("{} (found {found})", text::ellipsis(&expected, 300)))
}

/// A JSON pointer as a path that models know: `/items/0/name` becomes `$.items[0].name`.
fn path(pointer: &str) -> String {
    let mut out = String::from("$");
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        if !step.is_empty() && step.bytes().all(|b| b.is_ascii_digit()) {
            out.push_str(&format!("[{step}]"));
        } else {
            out.push('.');
            out.push_str(text::clip(&step, 100));
        }
    }
    text::ellipsis(&out, 300)
}

#[cfg(test)]
mod tests;
