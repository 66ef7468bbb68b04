//! Rules between keys: what one key says of another, which no table of keys can.

mod gateway;
mod model;
mod sandbox;
mod templates;
mod tools;

use std::ops::Range;

use stead_core::code::{self, Code};

use crate::{
    error::{ManifestError, listed, nearest},
    manifest::Manifest,
    source::Source,
    yaml::Node,
};

/// Everything that is wrong between keys, in order of the text.
pub(crate) fn check(source: &Source, root: &Node, manifest: &Manifest) -> Vec<ManifestError> {
    let mut findings = Findings { source, root, errors: Vec::new() };
    gateway::check(&mut findings, manifest);
    model::check(&mut findings, manifest);
    tools::check(&mut findings, manifest);
    sandbox::check(&mut findings, manifest);
    templates::check(&mut findings, manifest);
    findings.errors.sort_by_key(|e| e.span.start);
    findings.errors
}

/// Collects errors about places given by their path.
struct Findings<'s> {
    source: &'s Source,
    root: &'s Node,
    errors: Vec<ManifestError>,
}

impl Findings<'_> {
    /// A wrong value.
    fn value(&mut self, path: &[&str], message: impl Into<String>, hint: Option<String>) {
        self.at(code::MANIFEST_VALUE, path, message, hint);
    }

    /// A name that must be one of `known`, and is not.
    fn unknown(&mut self, path: &[&str], what: &str, name: &str, known: &[&str]) {
        let hint = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => "there is none".to_owned(),
            None => format!("there is {}", listed(known.iter().copied().take(20))),
        };
        self.value(path, format!("there is no {what} `{name}`"), Some(hint));
    }

    /// What a later release brings.
    fn later(&mut self, path: &[&str], message: impl Into<String>, hint: &str) {
        self.at(code::MANIFEST_UNSUPPORTED, path, message, Some(hint.to_owned()));
    }

    fn at(&mut self, code: Code, path: &[&str], message: impl Into<String>, hint: Option<String>) {
        let at = locate(self.root, path);
        self.errors.push(self.source.error(code, &at, path.join("."), message, hint));
    }
}

/// The bytes of the value at `path`, or of the nearest thing above it that is written down.
pub(crate) fn locate(root: &Node, path: &[&str]) -> Range<usize> {
    let mut at = root.at.start..root.at.start;
    let mut node = root;
    for (i, key) in path.iter().enumerate() {
        let Some(entry) = node.get(key) else { break };
        // A whole mapping is not a place that helps: its key is.
        let whole = i + 1 == path.len() && entry.node.entries().is_empty();
        at = if whole { entry.node.at.clone() } else { entry.at.clone() };
        node = &entry.node;
    }
    at
}
