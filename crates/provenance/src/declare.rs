//! What a manifest says of a tool's values: trust by field of its result, which arguments steer it, who reads what it sends.
//! What it does not say is the careful reading: untrusted results, every argument steers.

use std::{
    collections::{BTreeMap, BTreeSet},
    ptr,
};

use serde_json::Value;
use serde_json_path::JsonPath;
use stead_core::id::Name;

use crate::trust::Trust;

/// Fields of one result that a declaration names.
pub const MAX_FIELDS: usize = 64;
/// Bytes of one path.
pub const MAX_PATH: usize = 256;

/// Trust by field: `trust: {"$.note": untrusted}`. A field's word holds for everything below it, until a longer path says
/// otherwise. What no path names is untrusted.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    fields: Vec<(JsonPath, Trust)>,
    lowest: Trust,
}

/// A path of a declaration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// It is no JSONPath (RFC 9535).
    #[error("`{path}` is no JSONPath: {why}, at character {at}")]
    Syntax {
        /// The path.
        path: String,
        /// What is wrong.
        why: String,
        /// Where, from 1.
        at: usize,
    },
    /// It chooses by what values say, or at any depth: then whoever fills the result could choose what is trusted.
    #[error("`{path}` has {what}; a path of `trust` has names, numbers and `*` only")]
    Selector {
        /// The path.
        path: String,
        /// The selector.
        what: &'static str,
    },
    /// More than [`MAX_FIELDS`] paths, or one of more than [`MAX_PATH`] bytes.
    #[error("`trust` names at most {MAX_FIELDS} fields, with paths of at most {MAX_PATH} bytes")]
    Many,
}

impl Declared {
    /// Reads a declaration.
    ///
    /// # Errors
    /// [`BadPath`], for the first path that cannot be used.
    pub fn new<'a>(fields: impl IntoIterator<Item = (&'a str, Trust)>) -> Result<Self, BadPath> {
        let mut out = Self::default();
        let mut whole = false;
        let mut lowest = Trust::Trusted;
        for (text, trust) in fields {
            if out.fields.len() >= MAX_FIELDS || text.len() > MAX_PATH {
                return Err(BadPath::Many);
            }
            let path = JsonPath::parse(text).map_err(|e| BadPath::Syntax {
                path: text.to_owned(),
                why: e.message().to_owned(),
                at: e.position() + 1,
            })?;
            if let Some(what) = chooser(text) {
                return Err(BadPath::Selector { path: text.to_owned(), what });
            }
            whole |= text.trim() == "$";
            lowest = lowest.min(trust);
            out.fields.push((path, trust));
        }
        out.lowest = if whole { lowest } else { Trust::Untrusted };
        Ok(out)
    }

    /// The same trust for every value.
    pub fn all(trust: Trust) -> Self {
        Self::new([("$", trust)]).expect("`$` is a JSONPath")
    }

    /// Whether any field counts for more than other people's words.
    pub fn vouches(&self) -> bool {
        self.fields.iter().any(|(_, trust)| *trust > Trust::Untrusted)
    }

    /// What a result counts that is no JSON, or not all of it: the lowest of all its fields.
    pub const fn lowest(&self) -> Trust {
        self.lowest
    }

    /// The nodes of `value` that the declaration names.
    pub(crate) fn marks(&self, value: &Value) -> Marks {
        let mut marks = Marks::default();
        for (path, trust) in &self.fields {
            for node in path.query(value) {
                let of = marks.0.entry(ptr::from_ref(node) as usize).or_insert(*trust);
                *of = (*of).min(*trust);
            }
        }
        marks
    }
}

/// Trust by node of one value.
#[derive(Debug, Default)]
pub(crate) struct Marks(BTreeMap<usize, Trust>);

impl Marks {
    /// What a node counts whose parent counts `parent`.
    pub(crate) fn trust(&self, node: &Value, parent: Trust) -> Trust {
        self.0.get(&(ptr::from_ref(node) as usize)).copied().unwrap_or(parent)
    }
}

/// The selector of a well-formed path that chooses by what values say, or at any depth.
fn chooser(path: &str) -> Option<&'static str> {
    let mut quote = None;
    let mut chars = path.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(_), '\\') => drop(chars.next()),
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '?') => return Some("a filter"),
            (None, '.') if chars.peek() == Some(&'.') => return Some("`..`"),
            (None, _) => {}
        }
    }
    None
}

/// A tool as provenance knows it.
#[derive(Clone, Debug, Default)]
pub struct Tool {
    /// Its full name.
    pub name: Name,
    /// Whether a call does something outside: writes, sends, spends.
    pub effect: bool,
    /// Whether a call goes to no host that its arguments could name. Where it may, a read of an address counts as an effect once it
    /// tells what is not trusted to whoever may not read it.
    pub local: bool,
    /// Trust of its results.
    pub trust: Declared,
    /// Arguments that are content: they are carried, and steer nothing. All others steer the call.
    pub content: BTreeSet<Name>,
    /// Arguments that name who reads the content; empty when nobody does, `None` when nobody has said who.
    pub recipients: Option<BTreeSet<Name>>,
    /// JSON Schema of its arguments.
    pub input: Value,
    /// JSON Schema of its results, if it has one.
    pub output: Option<Value>,
    /// Names of fields that its argument schema writes itself, at any depth.
    words: BTreeSet<Box<str>>,
}

impl Tool {
    /// A tool of which nothing is declared.
    pub fn named(name: impl Into<Name>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// It does something outside.
    #[must_use]
    pub fn effect(mut self) -> Self {
        self.effect = true;
        self
    }

    /// Its calls go to no host that an argument could name.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.local = true;
        self
    }

    /// Trust of its results.
    #[must_use]
    pub fn trust(mut self, trust: Declared) -> Self {
        self.trust = trust;
        self
    }

    /// JSON Schema of its arguments.
    #[must_use]
    pub fn input(mut self, schema: Value) -> Self {
        self.words.clear();
        names(&schema, &mut self.words, 0);
        self.input = schema;
        self
    }

    /// JSON Schema of its results.
    #[must_use]
    pub fn output(mut self, schema: Value) -> Self {
        self.output = Some(schema);
        self
    }

    /// Arguments that are content.
    #[must_use]
    pub fn content<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.content = names.into_iter().map(Name::from).collect();
        self
    }

    /// Arguments that name who reads the content; none when nobody does.
    #[must_use]
    pub fn recipients<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.recipients = Some(names.into_iter().map(Name::from).collect());
        self
    }

    /// Whether an argument steers the call. Who reads the content always does.
    pub fn steers(&self, argument: &str) -> bool {
        let named = |set: &BTreeSet<Name>| set.iter().any(|n| &**n == argument);
        !named(&self.content) || self.recipients.as_ref().is_some_and(named)
    }

    /// Whether a key inside an argument is the schema's word and not the caller's.
    pub(crate) fn knows(&self, key: &str) -> bool {
        self.words.contains(key)
    }
}

/// The names under `properties`, at any depth up to 32.
fn names(schema: &Value, out: &mut BTreeSet<Box<str>>, depth: usize) {
    if depth > 32 {
        return;
    }
    match schema {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get("properties") {
                out.extend(properties.keys().map(|k| k.as_str().into()));
            }
            map.values().for_each(|v| names(v, out, depth + 1));
        }
        Value::Array(list) => list.iter().for_each(|v| names(v, out, depth + 1)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_longer_path_says_otherwise_and_what_is_not_named_is_untrusted() {
        let declared = Declared::new([("$.rows[*]", Trust::Trusted), ("$.rows[*].note", Trust::Untrusted)]).unwrap();
        let value = json!({"rows": [{"id": 1, "note": {"id": 2}}], "other": 3});
        let marks = declared.marks(&value);
        let root = marks.trust(&value, Trust::Untrusted);
        let row = marks.trust(&value["rows"][0], root);
        let note = marks.trust(&value["rows"][0]["note"], row);
        assert_eq!((root, row, note), (Trust::Untrusted, Trust::Trusted, Trust::Untrusted));
        assert_eq!(marks.trust(&value["rows"][0]["note"]["id"], note), Trust::Untrusted);
        assert_eq!(declared.lowest(), Trust::Untrusted);
        assert_eq!(Declared::all(Trust::Attested).lowest(), Trust::Attested);
    }

    #[test]
    fn a_path_that_lets_the_result_choose_is_refused() {
        for path in ["$..id", "$.rows[?@.ok == true]", "$.rows[*]..id"] {
            assert!(matches!(Declared::new([(path, Trust::Trusted)]), Err(BadPath::Selector { .. })), "{path}");
        }
        assert!(Declared::new([("$['a?..b']", Trust::Trusted)]).is_ok());
        let error = Declared::new([("$.rows[", Trust::Trusted)]).unwrap_err().to_string();
        assert!(error.starts_with("`$.rows[` is no JSONPath: "), "{error}");
    }
}
