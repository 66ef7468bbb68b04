//! Judging an answer.

use std::path::Path;

use regex::Regex;
use serde_json::Value;
use stead_manifest::cases::AnswerExpected;

use super::{
    judge::Finding,
    suite::{inside, read_text},
    values::differences,
};
use crate::ui::term::{clean, short};

/// What is not as expected about an answer; `path` is the key of the expectation.
pub(super) fn judge(dir: &Path, path: &str, expected: &AnswerExpected, answer: &str) -> Vec<Finding> {
    let mut out = Vec::new();
    let shown = || format!("\nanswer: {}", short(answer, 600));
    let mut wrong = |key: &str, what: String| out.push(Finding { path: format!("{path}.{key}"), what });
    if let Some(text) = &expected.equals
        && text.trim() != answer.trim()
    {
        wrong("equals", format!("the answer is another\n- {}\n+ {}", clean(text.trim()), clean(answer.trim())));
    }
    for (n, text) in expected.contains.iter().enumerate().filter(|(_, text)| !answer.contains(*text)) {
        wrong(&format!("contains[{n}]"), format!("the answer does not contain \"{}\"{}", clean(text), shown()));
    }
    for (n, text) in expected.lacks.iter().enumerate().filter(|(_, text)| answer.contains(*text)) {
        wrong(&format!("lacks[{n}]"), format!("the answer contains \"{}\"{}", clean(text), shown()));
    }
    if let Some(expression) = &expected.matches
        && !Regex::new(expression).is_ok_and(|r| r.is_match(answer))
    {
        wrong("matches", format!("the answer does not match /{expression}/{}", shown()));
    }
    if expected.json.is_none() && expected.schema.is_none() {
        return out;
    }
    let key = if expected.json.is_some() { "json" } else { "schema" };
    let found: Value = match serde_json::from_str(answer) {
        Ok(found) => found,
        Err(e) => {
            wrong(key, format!("the answer is not JSON: {e}{}", shown()));
            return out;
        }
    };
    if let Some(json) = &expected.json {
        let told = differences("$", json, &found, false);
        if !told.is_empty() {
            wrong("json", format!("the answer is another\n{}", told.join("\n")));
        }
    }
    if let Some(file) = &expected.schema
        && let Err(why) = satisfies(dir, file, &found)
    {
        wrong("schema", why);
    }
    out
}

fn satisfies(dir: &Path, file: &str, found: &Value) -> Result<(), String> {
    let text = inside(dir, file).and_then(|path| read_text(&path))?;
    let schema: Value = serde_json::from_str(&text).map_err(|e| format!("`{file}` is not JSON: {e}"))?;
    let validator = jsonschema::validator_for(&schema).map_err(|e| format!("`{file}` is no JSON Schema: {e}"))?;
    let told: Vec<String> =
        validator.iter_errors(found).take(8).map(|e| format!("{}: {e}", e.instance_path())).collect();
    if told.is_empty() { Ok(()) } else { Err(format!("the answer does not satisfy `{file}`\n{}", told.join("\n"))) }
}
