//! An OpenAPI document as a tree with places, and what its references point to. Nothing outside of it is ever read.

use std::ops::Range;

use stead_core::code;

use crate::{
    error::{ManifestError, listed, nearest},
    source::Source,
    yaml::{self, Entry, Node, Value},
};

/// Most references from one to the next.
const MAX_HOPS: usize = 16;
/// A document may be larger than a manifest.
const BOUNDS: yaml::Bounds = yaml::Bounds { depth: 64, nodes: 200_000, keys: 5_000 };
/// What a failure is boxed as.
pub(super) type Failed = Box<ManifestError>;

/// Which rules a document follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// OpenAPI 3.0: schemas of its own.
    V30,
    /// OpenAPI 3.1: schemas are JSON Schema 2020-12.
    V31,
}

/// A document.
pub(super) struct Document<'s> {
    source: &'s Source,
    pub(super) root: Node,
    pub(super) dialect: Dialect,
}

impl<'s> Document<'s> {
    pub(super) fn read(source: &'s Source) -> Result<Self, Failed> {
        let root = match yaml::parse_within(&source.text, &BOUNDS) {
            Ok(root) => root,
            // JSON has escapes that YAML lacks (`\ud83d\ude00`). Places are lost then, and nothing else.
            Err(e) => match json_of(&source.text) {
                Some(json) => yaml::from_json(&json, &BOUNDS).ok_or_else(|| {
                    Box::new(source.whole(code::API_DESCRIPTION, "nested too deeply or too large", None))
                })?,
                None => {
                    return Err(Box::new(source.error(
                        code::API_DESCRIPTION,
                        &e.at,
                        "",
                        e.message,
                        e.hint.map(str::to_owned),
                    )));
                }
            },
        };
        let mut document = Self { source, root, dialect: Dialect::V31 };
        document.dialect = document.version()?;
        Ok(document)
    }

    fn version(&self) -> Result<Dialect, Failed> {
        let hint = "OpenAPI 3.0 and 3.1 are read";
        let Some(entry) = self.root.get("openapi") else {
            let message =
                if self.root.get("swagger").is_some() { "this is Swagger 2.0" } else { "`openapi` is missing" };
            return Err(self.error(&(0..0), message, Some(format!("{hint}; convert it first"))));
        };
        let version = text(&entry.node).unwrap_or_default();
        if version == "3.0" || version.starts_with("3.0.") {
            return Ok(Dialect::V30);
        }
        if version == "3.1" || version.starts_with("3.1.") {
            return Ok(Dialect::V31);
        }
        Err(self.error(&entry.node.at, format!("the version `{}` is not known", clip(version)), Some(hint.into())))
    }

    /// An error at these bytes of the document.
    pub(super) fn error(&self, at: &Range<usize>, message: impl Into<String>, hint: Option<String>) -> Failed {
        Box::new(self.source.error(code::API_DESCRIPTION, at, "", message, hint))
    }

    /// The node itself, or what its `$ref` leads to.
    pub(super) fn follow<'n>(&'n self, node: &'n Node) -> Result<&'n Node, Failed> {
        let mut node = node;
        for _ in 0..MAX_HOPS {
            match node.get("$ref") {
                None => return Ok(node),
                Some(reference) => node = self.target(reference)?.0,
            }
        }
        Err(self.error(&node.at, "a `$ref` leads back to itself, or too far", None))
    }

    /// What a `$ref` points to, and its pointer.
    pub(super) fn target<'n>(&'n self, reference: &'n Entry) -> Result<(&'n Node, &'n str), Failed> {
        let at = &reference.node.at;
        let text = text(&reference.node).ok_or_else(|| self.error(at, "a `$ref` must be text", None))?;
        let Some(pointer) = text.strip_prefix('#').filter(|p| p.is_empty() || p.starts_with('/')) else {
            let message = format!("`{}` leads out of this document", clip(text));
            let hint = "only `#/…` is followed: copy what it names into this file";
            return Err(self.error(at, message, Some(hint.into())));
        };
        let mut node = &self.root;
        for step in pointer.split('/').skip(1) {
            let step = decoded(step).ok_or_else(|| self.error(at, "a `$ref` that cannot be read", None))?;
            let next = match &node.value {
                Value::List(items) => step.parse::<usize>().ok().and_then(|n| items.get(n)),
                _ => node.get(&step).map(|e| &e.node),
            };
            node = next.ok_or_else(|| {
                let known: Vec<&str> = node.entries().iter().map(|e| e.key.as_str()).collect();
                let hint = nearest(&step, known.iter().copied()).map(|near| format!("did you mean `{near}`?"));
                self.error(at, format!("`{}` points to `{}`, which is not there", clip(text), clip(&step)), hint)
            })?;
        }
        Ok((node, pointer))
    }

    /// The text under a key, when there is one.
    pub(super) fn text<'n>(&self, node: &'n Node, key: &str) -> Result<Option<&'n str>, Failed> {
        match node.get(key) {
            None => Ok(None),
            Some(entry) => match text(&entry.node) {
                Some(text) => Ok(Some(text)),
                None => Err(self.error(&entry.node.at, format!("`{key}` must be text"), None)),
            },
        }
    }

    /// The truth under a key; false when silent.
    pub(super) fn flag(&self, node: &Node, key: &str) -> Result<Option<bool>, Failed> {
        match node.get(key).map(|e| &e.node) {
            None => Ok(None),
            Some(node) => match node.json() {
                Some(serde_json::Value::Bool(flag)) => Ok(Some(flag)),
                _ => Err(self.error(&node.at, format!("`{key}` must be `true` or `false`"), None)),
            },
        }
    }

    /// The items of a list under a key.
    pub(super) fn list<'n>(&self, node: &'n Node, key: &str) -> Result<&'n [Node], Failed> {
        match node.get(key).map(|e| &e.node) {
            None => Ok(&[]),
            Some(Node { value: Value::List(items), .. }) => Ok(items),
            Some(node) => Err(self.error(&node.at, format!("`{key}` must be a list"), None)),
        }
    }

    /// A word that must be one of these.
    pub(super) fn word<T: Copy>(&self, node: &Node, key: &str, words: &[(&str, T)]) -> Result<Option<T>, Failed> {
        let Some(text) = self.text(node, key)? else { return Ok(None) };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                let at = node.get(key).map_or(0..0, |e| e.node.at.clone());
                let hint = format!("use {}", listed(words.iter().map(|(word, _)| *word)));
                Err(self.error(&at, format!("`{key}: {}` is not possible here", clip(text)), Some(hint)))
            }
        }
    }
}

/// The text as JSON, if that is what keeps it from being YAML: half of a character in an escape.
fn json_of(text: &str) -> Option<serde_json::Value> {
    let halves = text.contains("\\ud") || text.contains("\\uD");
    halves.then(|| serde_json::from_str(text).ok()).flatten()
}

/// The text of a scalar.
pub(super) fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, .. } => Some(text),
        _ => None,
    }
}

/// Foreign text in a message: short, on one line.
pub(super) fn clip(text: &str) -> String {
    text.chars().take(80).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A step of a JSON pointer in a URI fragment (RFC 6901 sections 4 and 6).
fn decoded(step: &str) -> Option<String> {
    let mut bytes = step.bytes();
    let mut out = Vec::with_capacity(step.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let hex = [bytes.next()?, bytes.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    Some(String::from_utf8(out).ok()?.replace("~1", "/").replace("~0", "~"))
}
