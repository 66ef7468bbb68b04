//! Text of a case to a checked [`Case`].

use std::collections::HashMap;

use regex::Regex;
use serde_json::Value;
use stead_core::code;

use super::{case::Case, keys::CASE};
use crate::{
    error::ManifestError,
    read::Reader,
    schema,
    source::Source,
    yaml::{self, Node, Value as Tree},
};

/// Parses and checks a case without looking at the files it names. `file` is what errors call it.
///
/// # Errors
/// Everything that is wrong, in order of the text, up to a bound; a syntax error stands alone.
pub fn parse_case(text: &str, file: &str) -> Result<Case, Vec<ManifestError>> {
    let source = Source { file: file.to_owned(), text: text.into() };
    let root = yaml::parse(text)
        .map_err(|e| vec![source.error(code::MANIFEST_SYNTAX, &e.at, "", e.message, e.hint.map(str::to_owned))])?;
    let json = Reader::read(&source, &root, &CASE)?;
    // The reader has checked all that the types ask for; a difference between the two is a bug that must not panic.
    let mut case: Case = serde_json::from_value(json)
        .map_err(|e| vec![source.whole(code::MANIFEST_VALUE, format!("cannot be read: {e}"), None)])?;
    let mut places = Vec::new();
    walk(&root, &mut String::new(), &mut places);
    let errors = check(&source, &case, &places);
    if !errors.is_empty() {
        return Err(errors);
    }
    let starts: Vec<usize> = text.match_indices('\n').map(|(n, _)| n).collect();
    let line = |at: usize| starts.partition_point(|n| *n < at) + 1;
    let told = |place: &Place<'_>| super::case::Place { line: line(place.key), value: place.node.at.clone() };
    case.places = places.iter().map(|(path, place)| (path.clone(), told(place))).collect::<HashMap<_, _>>();
    Ok(case)
}

/// The JSON Schema of a case, for editors and for `stead schema test`.
pub fn case_schema() -> Value {
    schema::of(&CASE, "Stead agent test (tests/*.yaml)")
}

/// Where a key or item stands, and its value.
struct Place<'n> {
    key: usize,
    node: &'n Node,
}

fn walk<'n>(node: &'n Node, path: &mut String, out: &mut Vec<(String, Place<'n>)>) {
    let whole = path.len();
    let mut step = |name: &str, key: usize, node: &'n Node, out: &mut Vec<(String, Place<'n>)>| {
        path.push_str(name);
        out.push((path.clone(), Place { key, node }));
        walk(node, path, out);
        path.truncate(whole);
    };
    match &node.value {
        Tree::Map(entries) => {
            for entry in entries {
                let dot = if whole == 0 { "" } else { "." };
                step(&format!("{dot}{}", entry.key), entry.at.start, &entry.node, out);
            }
        }
        Tree::List(items) => {
            for (n, item) in items.iter().enumerate() {
                step(&format!("[{n}]"), item.at.start, item, out);
            }
        }
        Tree::Scalar { .. } => {}
    }
}

/// Rules between keys, and regular expressions that are none.
fn check(source: &Source, case: &Case, places: &[(String, Place<'_>)]) -> Vec<ManifestError> {
    let mut errors = Vec::new();
    let mut wrong = |path: &str, message: String, hint: Option<&str>| {
        let at = places.iter().find(|(p, _)| p == path).map_or(0..0, |(_, place)| place.node.at.clone());
        errors.push(source.error(code::MANIFEST_VALUE, &at, path, message, hint.map(str::to_owned)));
    };
    if case.model.as_ref().is_some_and(|m| m.rehearsal.is_some() && m.loose) {
        wrong("model.loose", "`loose` means nothing to a rehearsal script".into(), None);
    }
    for (path, place) in places {
        let inside = path.contains("expect");
        let is_regex = inside && (path.ends_with(".answer.matches") || path.contains(".where."));
        if let (true, Tree::Scalar { text, .. }) = (is_regex, &place.node.value)
            && let Err(e) = Regex::new(text)
        {
            let why = e.to_string().lines().last().unwrap_or_default().trim().to_owned();
            wrong(path, format!("not a regular expression: {why}"), None);
        }
        if inside && path.ends_with(".exactly") && places.iter().any(|(p, _)| *p == sibling(path, "args")) {
            wrong(path, "`args` and `exactly` exclude each other".into(), Some("keep one of them"));
        }
        let only_failed = inside && path.ends_with("expect.code");
        let status = only_failed.then(|| sibling(path, "status"));
        if let Some(status) = status
            && !places.iter().any(|(p, place)| {
                *p == status && matches!(&place.node.value, Tree::Scalar { text, .. } if text == "failed")
            })
        {
            wrong(path, "only a failed run has a code".into(), Some("add `status: failed`"));
        }
    }
    errors.sort_by_key(|e| e.span.start);
    errors
}

fn sibling(path: &str, name: &str) -> String {
    let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
