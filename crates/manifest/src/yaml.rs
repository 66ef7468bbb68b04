//! YAML text to a tree in which every key and value knows its bytes in the source.
//!
//! Bounded: text, nesting, and nodes counted after aliases are expanded. Stricter than YAML where YAML surprises:
//! one document, no directives, no tags, no merge keys, keys are text, and a key twice is an error.

use std::{collections::HashMap, ops::Range};

use granit_parser::{Event, Options, Parser, ScalarStyle, Span};

/// Most bytes of a manifest.
pub(crate) const MAX_BYTES: usize = 1 << 20;

/// How much one document may hold.
pub(crate) struct Bounds {
    /// Deepest nesting.
    pub(crate) depth: usize,
    /// Most nodes, counting an alias as the nodes it stands for.
    pub(crate) nodes: usize,
    /// Most keys of one mapping.
    pub(crate) keys: usize,
}

/// The bounds of a manifest.
const MANIFEST: Bounds = Bounds { depth: 48, nodes: 50_000, keys: 1_000 };

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Its bytes in the source.
    pub(crate) at: Range<usize>,
    /// What it is.
    pub(crate) value: Value,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A scalar; only a plain one can be a number, a boolean or null.
    Scalar {
        /// Its text, unescaped.
        text: String,
        /// Whether it was written without quotes.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in order of the source.
    Map(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The key.
    pub(crate) key: String,
    /// The key's bytes in the source.
    pub(crate) at: Range<usize>,
    /// The value.
    pub(crate) node: Node,
}

impl Node {
    /// What a reader would call it.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
            Value::Scalar { plain: false, .. } => "text",
            Value::Scalar { text, .. } => match plain_json(text) {
                serde_json::Value::Null => "nothing",
                serde_json::Value::Bool(_) => "a boolean",
                serde_json::Value::Number(_) => "a number",
                _ => "text",
            },
        }
    }

    /// The entries of a mapping.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The value of that key.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|e| e.key == key)
    }

    /// The same data as JSON; scalars by YAML's core schema. `None` for a number that JSON cannot say.
    pub(crate) fn json(&self) -> Option<serde_json::Value> {
        Some(match &self.value {
            Value::Scalar { text, plain: false } => text.clone().into(),
            Value::Scalar { text, .. } => match text.as_str() {
                ".inf" | "-.inf" | "+.inf" | ".nan" | ".Inf" | ".NaN" | ".INF" | ".NAN" => return None,
                _ => plain_json(text),
            },
            Value::List(items) => items.iter().map(Self::json).collect::<Option<Vec<_>>>()?.into(),
            Value::Map(entries) => {
                let map: Option<serde_json::Map<_, _>> =
                    entries.iter().map(|e| Some((e.key.clone(), e.node.json()?))).collect();
                map?.into()
            }
        })
    }
}

/// A plain scalar by YAML 1.2's core schema (10.3.2), whose numbers are here those of JSON.
fn plain_json(text: &str) -> serde_json::Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => serde_json::Value::Null,
        "true" | "True" | "TRUE" => true.into(),
        "false" | "False" | "FALSE" => false.into(),
        _ if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
            serde_json::from_str::<serde_json::Number>(text).map_or_else(|_| text.into(), Into::into)
        }
        _ => text.into(),
    }
}

/// Why text is no tree.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    /// Where.
    pub(crate) at: Range<usize>,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: Option<&'static str>,
}

/// A collection that is still open.
enum Open {
    List { at: Range<usize>, anchor: usize, items: Vec<Node> },
    Map { at: Range<usize>, anchor: usize, entries: Vec<Entry>, key: Option<(String, Range<usize>)> },
}

/// Parses a manifest.
pub(crate) fn parse(text: &str) -> Result<Node, SyntaxError> {
    parse_within(text, &MANIFEST)
}

/// Parses one YAML document.
pub(crate) fn parse_within(text: &str, bounds: &Bounds) -> Result<Node, SyntaxError> {
    let whole = 0..text.len();
    if text.len() > MAX_BYTES {
        return Err(SyntaxError { at: 0..0, message: "larger than 1 MiB".into(), hint: None });
    }
    let mut options = Options::default();
    options.disallow_directives = true;
    options.flow_nesting_limit = bounds.depth;
    options.block_nesting_limit = bounds.depth;
    let mut tree = Tree { text, bounds, open: Vec::new(), anchors: HashMap::new(), nodes: 0, root: None };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|e| {
            let at = e.marker().byte_offset().unwrap_or(0).min(text.len());
            SyntaxError { at: at..at, message: e.info(), hint: None }
        })?;
        tree.event(event, span)?;
    }
    tree.root.ok_or(SyntaxError {
        at: whole,
        message: "the file is empty".into(),
        hint: Some("begin with `stead: v1`"),
    })
}

/// The tree under construction.
struct Tree<'t> {
    text: &'t str,
    bounds: &'t Bounds,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    root: Option<Node>,
}

impl Tree<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), SyntaxError> {
        let at = self.bytes(span);
        match event {
            Event::Scalar(.., Some(_)) | Event::SequenceStart(.., Some(_)) | Event::MappingStart(.., Some(_)) => {
                Err(fail(at, "YAML tags are not used in manifests", Some("remove the `!tag`")))
            }
            Event::Scalar(value, style, anchor, None) => {
                let plain = matches!(style, ScalarStyle::Plain);
                let value = Value::Scalar { text: value.into_owned(), plain };
                self.place(Node { at, value }, anchor, 1)
            }
            Event::SequenceStart(_, anchor, None) => self.push(Open::List { at, anchor, items: Vec::new() }),
            Event::MappingStart(_, anchor, None) => self.push(Open::Map { at, anchor, entries: Vec::new(), key: None }),
            Event::SequenceEnd | Event::MappingEnd => self.close(at.end),
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor) else {
                    return Err(fail(at, "an alias inside of its own anchor", None));
                };
                // Counted before it is copied, so that nested aliases cannot multiply.
                if self.nodes + size > self.bounds.nodes {
                    return Err(fail(at, "too many values, counting what aliases stand for", None));
                }
                let (node, size) = (node.clone(), *size);
                self.place(node, 0, size)
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(fail(at, "a second YAML document", Some("keep one agent in one file")))
            }
            _ => Ok(()),
        }
    }

    fn push(&mut self, open: Open) -> Result<(), SyntaxError> {
        if self.open.len() >= self.bounds.depth {
            let (Open::List { at, .. } | Open::Map { at, .. }) = open;
            return Err(fail(at, "nested too deeply", None));
        }
        self.open.push(open);
        Ok(())
    }

    fn close(&mut self, end: usize) -> Result<(), SyntaxError> {
        let (mut at, anchor, value) = match self.open.pop() {
            Some(Open::List { at, anchor, items }) => (at, anchor, Value::List(items)),
            Some(Open::Map { at, anchor, entries, .. }) => (at, anchor, Value::Map(entries)),
            None => return Ok(()),
        };
        let trimmed = self.text.get(at.start..end.max(at.start)).unwrap_or("").trim_end().len();
        at.end = at.start + trimmed;
        self.place(Node { at, value }, anchor, 1)
    }

    /// Puts a finished node where it belongs: the root, a list, a key or a value.
    fn place(&mut self, node: Node, anchor: usize, size: usize) -> Result<(), SyntaxError> {
        self.nodes += size;
        if self.nodes > self.bounds.nodes {
            return Err(fail(node.at, "too many values", None));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), count(&node)));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, key, .. }) => match key.take() {
                Some((key, at)) => entries.push(Entry { key, at, node }),
                None => {
                    let Value::Scalar { text, plain } = node.value else {
                        return Err(fail(node.at, "a key must be text", None));
                    };
                    if plain && text == "<<" {
                        return Err(fail(node.at, "merge keys are not used in manifests", Some("write the keys out")));
                    }
                    if entries.len() >= self.bounds.keys {
                        return Err(fail(node.at, "too many keys in one mapping", None));
                    }
                    if entries.iter().any(|e| e.key == text) {
                        return Err(fail(node.at, &format!("the key `{text}` stands here twice"), None));
                    }
                    *key = Some((text, node.at));
                }
            },
        }
        Ok(())
    }

    /// The bytes of a span, kept inside of the text whatever the parser says.
    fn bytes(&self, span: Span) -> Range<usize> {
        let end = span.end.byte_offset().unwrap_or(0).min(self.text.len());
        let start = span.start.byte_offset().unwrap_or(0).min(end);
        start..end
    }
}

/// The same tree of JSON, without places; `None` when it is deeper or larger than its bounds.
pub(crate) fn from_json(json: &serde_json::Value, bounds: &Bounds) -> Option<Node> {
    let mut left = bounds.nodes;
    json_node(json, bounds.depth, &mut left)
}

fn json_node(json: &serde_json::Value, depth: usize, left: &mut usize) -> Option<Node> {
    *left = left.checked_sub(1)?;
    let below = |depth: usize| depth.checked_sub(1);
    let value = match json {
        serde_json::Value::String(text) => Value::Scalar { text: text.clone(), plain: false },
        serde_json::Value::Array(items) => {
            let depth = below(depth)?;
            Value::List(items.iter().map(|item| json_node(item, depth, left)).collect::<Option<_>>()?)
        }
        serde_json::Value::Object(map) => {
            let depth = below(depth)?;
            let entry = |(key, value): (&String, _)| {
                Some(Entry { key: key.clone(), at: 0..0, node: json_node(value, depth, left)? })
            };
            Value::Map(map.iter().map(entry).collect::<Option<_>>()?)
        }
        scalar => Value::Scalar { text: scalar.to_string(), plain: true },
    };
    Some(Node { at: 0..0, value })
}

/// Nodes in a subtree.
fn count(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar { .. } => 0,
        Value::List(items) => items.iter().map(count).sum(),
        Value::Map(entries) => entries.iter().map(|e| 1 + count(&e.node)).sum(),
    }
}

fn fail(at: Range<usize>, message: &str, hint: Option<&'static str>) -> SyntaxError {
    SyntaxError { at, message: message.chars().take(300).collect(), hint }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_key_and_value_knows_its_bytes() {
        let text = "näme: x\nlist: [a, {b: \"c\"}]\n";
        let tree = parse(text).unwrap();
        let entry = tree.get("list").unwrap();
        assert_eq!(&text[entry.at.clone()], "list");
        assert_eq!(&text[entry.node.at.clone()], "[a, {b: \"c\"}]");
        assert_eq!(&text[tree.get("näme").unwrap().node.at.clone()], "x");
    }

    #[test]
    fn numbers_and_booleans_are_yaml_1_2_and_no_is_a_word() {
        let json = parse("a: no\nb: 1.50\nc: '2'\nd: true\ne:\nf: 1_000").unwrap().json().unwrap();
        assert_eq!(json, serde_json::json!({"a": "no", "b": 1.5, "c": "2", "d": true, "e": null, "f": "1_000"}));
    }

    #[test]
    fn what_surprises_is_refused() {
        for (text, says) in [
            ("a: 1\na: 2", "twice"),
            ("a: &x {b: 1}\nc: {<<: *x}", "merge"),
            ("a: !!str 1", "tags"),
            ("a: 1\n---\nb: 1", "second"),
            ("", "empty"),
            ("? [a]\n: b", "key must be text"),
            ("a: *nope", "anchor"),
            ("a: &x [*x]", "anchor"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.message.contains(says), "{text}: {}", error.message);
        }
    }

    #[test]
    fn bombs_do_not_go_off() {
        let mut laughs = String::from("l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let inner = format!("*l{}, ", i - 1).repeat(10);
            laughs.push_str(&format!("l{i}: &l{i} [{}]\n", inner.trim_end_matches(", ")));
        }
        assert!(parse(&laughs).unwrap_err().message.contains("too many"));
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&"- ".repeat(100_000)).is_err());
        assert!(parse(&" ".repeat(MAX_BYTES + 1)).is_err());
    }
}
