//! Reads a tree by the table of keys: every departure becomes an error with its place, and what is left is plain
//! JSON in base units (microseconds, bytes, micro-dollars) that the types of [`crate::manifest`] take as it is.

use std::{collections::HashMap, ops::Range};

use regex::Regex;
use serde_json::{Map, Value as Json};
use stead_core::code;

use crate::{
    error::{ManifestError, listed, nearest},
    scalar,
    shape::{Pattern, Secrecy, Section, Shape},
    source::{Source, masked},
    yaml::{Node, Value},
};

/// Errors after which reading stops; more would help nobody.
const MAX_ERRORS: usize = 50;

/// Reads one manifest.
pub(crate) struct Reader<'s> {
    source: &'s Source,
    path: Vec<String>,
    patterns: HashMap<&'static str, Option<Regex>>,
    errors: Vec<ManifestError>,
}

impl<'s> Reader<'s> {
    /// Reads `root` as `section`; JSON when nothing was wrong.
    pub(crate) fn read(source: &'s Source, root: &Node, section: &'static Section) -> Result<Json, Vec<ManifestError>> {
        let mut reader = Self { source, path: Vec::new(), patterns: HashMap::new(), errors: Vec::new() };
        let json = reader.section(root, section, &(root.at.start..root.at.start));
        reader.errors.sort_by_key(|e| e.span.start);
        if reader.errors.is_empty() { Ok(json) } else { Err(reader.errors) }
    }

    /// The value of a key or item that stands at `name`.
    fn value(&mut self, node: &Node, shape: &'static Shape, name: &Range<usize>) -> Json {
        match shape {
            Shape::Section(section) => return self.section(node, section, name),
            Shape::Short(section, key) => return self.short(node, section, key, name),
            Shape::List(item, most) => return self.list(node, item, 1, *most),
            Shape::OrNone(item, most) => return self.list(node, item, 0, *most),
            Shape::Map(names, shape, most) => return self.map(node, names, shape, *most),
            Shape::Json(mapping) => return self.json(node, *mapping),
            _ => {}
        }
        let Value::Scalar { text, plain } = &node.value else {
            return self.wrong(node, format!("expected {}, found {}", expected(shape), node.kind()), None);
        };
        match scalar_json(shape, text, *plain) {
            Some(json) => json,
            None => match shape {
                Shape::Pattern(pattern) => self.pattern(node, text, pattern),
                Shape::Model(pattern, providers) => self.model(node, text, pattern, providers),
                Shape::OneOf(words) => {
                    let near = nearest(text, words.iter().copied()).map(|w| format!("did you mean `{w}`?"));
                    let hint = near.unwrap_or_else(|| format!("use {}", listed(words.iter().copied())));
                    self.wrong(node, format!("{} is not allowed here", quoted(text)), Some(hint))
                }
                _ => {
                    let unquoted = !plain && scalar_json(shape, text, true).is_some();
                    let hint = unquoted.then(|| "remove the quotes".to_owned());
                    self.wrong(node, format!("expected {}, found {}", expected(shape), quoted(text)), hint)
                }
            },
        }
    }

    fn section(&mut self, node: &Node, section: &'static Section, name: &Range<usize>) -> Json {
        let Value::Map(entries) = &node.value else {
            let message = format!("expected a mapping, found {}", node.kind());
            return self.wrong(node, message, Some(format!("its keys are {}", keys(section))));
        };
        let mut out = Map::new();
        let mut waits = false;
        let mut suggested = Vec::new();
        for entry in entries {
            if self.errors.len() >= MAX_ERRORS {
                break;
            }
            self.path.push(entry.key.clone());
            match section.find(&entry.key) {
                Some(key) => match &key.shape {
                    Some(shape) => {
                        let json = self.value(&entry.node, shape, &entry.at);
                        out.insert(entry.key.clone(), json);
                    }
                    None => {
                        waits = true;
                        let message = format!("`{}` is not in this release: it comes with {}", entry.key, key.doc);
                        let hint =
                            "remove the key; it is refused because ignoring it would change what the agent may do";
                        self.error(code::MANIFEST_UNSUPPORTED, &entry.at, message, Some(hint.into()));
                    }
                },
                None => {
                    let near = nearest(&entry.key, section.keys.iter().map(|k| k.name));
                    suggested.extend(near);
                    let hint = near.map_or_else(
                        || format!("known keys here: {}", keys(section)),
                        |near| format!("did you mean `{near}`?"),
                    );
                    self.error(
                        code::MANIFEST_KEY,
                        &entry.at,
                        format!("unknown key {}", quoted(&entry.key)),
                        Some(hint),
                    );
                }
            }
            self.path.pop();
        }
        // A key that was only misspelt, or that a key of a later release stands for, is not missing as well.
        let is_missing = |name: &str| !waits && node.get(name).is_none() && !suggested.contains(&name);
        for key in section.keys.iter().filter(|k| k.required && is_missing(k.name)) {
            let message = format!("the key `{}` is missing", key.name);
            self.error(code::MANIFEST_VALUE, name, message, Some(key.doc.to_owned()));
        }
        let chosen: Vec<_> = section.one_of.iter().filter_map(|k| node.get(k)).collect();
        let explained = waits || section.one_of.iter().any(|k| suggested.contains(k));
        if !section.one_of.is_empty() && chosen.len() != 1 && !(chosen.is_empty() && explained) {
            let at = chosen.get(1).map_or(name, |e| &e.at);
            let message = if chosen.is_empty() { "the kind is missing" } else { "more than one kind" };
            let hint = format!("give exactly one of {}", listed(section.one_of.iter().copied()));
            self.error(code::MANIFEST_VALUE, at, message, Some(hint));
        }
        out.into()
    }

    fn short(&mut self, node: &Node, section: &'static Section, key: &str, name: &Range<usize>) -> Json {
        let stands_for = section.live().find(|(k, _)| k.name == key);
        match (&node.value, stands_for) {
            (Value::Scalar { .. }, Some((_, shape))) => {
                let value = self.value(node, shape, name);
                Json::Object(Map::from_iter([(key.to_owned(), value)]))
            }
            _ => self.section(node, section, name),
        }
    }

    fn list(&mut self, node: &Node, item: &'static Shape, least: usize, most: usize) -> Json {
        let Value::List(items) = &node.value else {
            let hint = matches!(node.value, Value::Scalar { .. }).then(|| "write `[…]` around it".to_owned());
            return self.wrong(node, format!("expected a list, found {}", node.kind()), hint);
        };
        if items.len() < least || items.len() > most {
            return self.wrong(node, format!("expected {least} to {most} items, found {}", items.len()), None);
        }
        let mut out = Vec::new();
        for (i, item_node) in items.iter().enumerate() {
            self.path.push(format!("[{i}]"));
            out.push(self.value(item_node, item, &item_node.at));
            self.path.pop();
        }
        out.into()
    }

    fn map(&mut self, node: &Node, names: &'static Pattern, shape: &'static Shape, most: usize) -> Json {
        let Value::Map(entries) = &node.value else {
            return self.wrong(node, format!("expected a mapping, found {}", node.kind()), None);
        };
        if entries.len() > most {
            return self.wrong(node, format!("expected at most {most} keys, found {}", entries.len()), None);
        }
        let mut out = Map::new();
        for entry in entries {
            self.path.push(entry.key.clone());
            if !self.matches(names, &entry.key) {
                let message = format!("{} is not {}", quoted(&entry.key), names.what);
                self.error(code::MANIFEST_KEY, &entry.at, message, None);
            }
            out.insert(entry.key.clone(), self.value(&entry.node, shape, &entry.at));
            self.path.pop();
        }
        out.into()
    }

    fn json(&mut self, node: &Node, mapping: bool) -> Json {
        match node.json() {
            Some(json) if !mapping || json.is_object() => json,
            Some(_) => self.wrong(node, format!("expected a mapping, found {}", node.kind()), None),
            None => self.wrong(node, "a number here cannot be written in JSON".into(), None),
        }
    }

    fn pattern(&mut self, node: &Node, text: &str, pattern: &'static Pattern) -> Json {
        if self.matches(pattern, text) {
            return text.into();
        }
        if pattern.secret == Secrecy::Secret || (pattern.secret == Secrecy::Url && text.contains('@')) {
            // What stands here may be the secret itself, so neither the message nor the snippet shows it.
            let message = format!("expected {}", pattern.what);
            let at = node.at.clone();
            let error = self.source.error(code::MANIFEST_VALUE, &at, self.key(), message, None);
            self.errors.push(masked(error));
            return Json::Null;
        }
        self.wrong(node, format!("{} is not {}", quoted(text), pattern.what), None)
    }

    /// A model of a provider that there is.
    fn model(
        &mut self,
        node: &Node,
        text: &str,
        pattern: &'static Pattern,
        providers: &'static [&'static str],
    ) -> Json {
        let (provider, model) = text.split_once(':').unwrap_or((text, ""));
        if !self.matches(pattern, text) || providers.contains(&provider) {
            return self.pattern(node, text, pattern);
        }
        let hint = match nearest(provider, providers.iter().copied()) {
            Some(near) => format!("did you mean `{near}:{}`?", model.chars().take(60).collect::<String>()),
            None => format!("there is {}", listed(providers.iter().copied())),
        };
        self.wrong(node, format!("there is no model provider {}", quoted(provider)), Some(hint))
    }

    fn matches(&mut self, pattern: &'static Pattern, text: &str) -> bool {
        let regex = self.patterns.entry(pattern.regex).or_insert_with(|| Regex::new(pattern.regex).ok());
        regex.as_ref().is_some_and(|r| r.is_match(text))
    }

    /// A wrong value: the error, and what stands for it in the JSON that nobody will read.
    fn wrong(&mut self, node: &Node, message: String, hint: Option<String>) -> Json {
        self.error(code::MANIFEST_VALUE, &node.at, message, hint)
    }

    fn error(&mut self, code: code::Code, at: &Range<usize>, message: impl Into<String>, hint: Option<String>) -> Json {
        if self.errors.len() < MAX_ERRORS {
            let error = self.source.error(code, at, self.key(), message, hint);
            self.errors.push(error);
        }
        Json::Null
    }

    /// The path as text: `model.fallback[0].use`.
    fn key(&self) -> String {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        path.join(".").replace(".[", "[").chars().take(200).collect()
    }
}

/// The JSON of a scalar, if it fits its shape. Patterns with a regular expression are the reader's.
fn scalar_json(shape: &Shape, text: &str, plain: bool) -> Option<Json> {
    let is_text = !plain || matches!(node_json(text), Json::String(_));
    match shape {
        Shape::Const(word) => (text == *word).then(|| text.into()),
        Shape::Text(most) => (is_text && text.len() <= *most && !text.is_empty()).then(|| text.into()),
        Shape::Bool => match (plain, text) {
            (true, "true") => Some(true.into()),
            (true, "false") => Some(false.into()),
            _ => None,
        },
        Shape::Count(min, max) => {
            let digits = plain && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse::<u64>().ok()).flatten().filter(|n| (min..=max).contains(&n)).map(Into::into)
        }
        Shape::Duration(min, max) => scalar::duration(text).filter(|n| (min..=max).contains(&n)).map(Into::into),
        Shape::Size(min, max) => scalar::size(text).filter(|n| (min..=max).contains(&n)).map(Into::into),
        Shape::Usd => plain.then(|| scalar::usd(text)).flatten().map(Into::into),
        // Kept in millionths, as money is.
        Shape::Decimal(max) => {
            plain.then(|| scalar::usd(text)).flatten().filter(|n| *n <= max.saturating_mul(1_000_000)).map(Into::into)
        }
        Shape::OneOf(words) => words.contains(&text).then(|| text.into()),
        _ => None,
    }
}

fn node_json(text: &str) -> Json {
    let value = Value::Scalar { text: text.to_owned(), plain: true };
    Node { at: 0..0, value }.json().unwrap_or(Json::Null)
}

/// What a shape takes, in words.
fn expected(shape: &Shape) -> String {
    match shape {
        Shape::Const(word) => format!("`{word}`"),
        Shape::Text(most) => format!("text of 1 to {} bytes (in quotes if it looks like a number)", most),
        Shape::Pattern(pattern) | Shape::Model(pattern, _) => pattern.what.to_owned(),
        Shape::Bool => "`true` or `false`".to_owned(),
        Shape::Count(min, max) => format!("a whole number from {min} to {max}"),
        Shape::Duration(min, max) => {
            let (min, max) = (scalar::show_duration(*min), scalar::show_duration(*max));
            format!("a time such as `500ms`, `30s`, `10m`, `2h` or `3d`, from {min} to {max}")
        }
        Shape::Size(min, max) => {
            let (min, max) = (scalar::show_size(*min), scalar::show_size(*max));
            format!("a size such as `64Ki` or `2Mi`, from {min} to {max}")
        }
        Shape::Decimal(max) => format!("a number from 0 to {max} such as 0.7, with at most six decimals"),
        Shape::Usd => "US dollars such as 0.50, with at most six decimals and no exponent".to_owned(),
        Shape::OneOf(words) => listed(words.iter().copied()),
        Shape::List(..) | Shape::OrNone(..) => "a list".to_owned(),
        Shape::Map(..) | Shape::Section(_) | Shape::Short(..) | Shape::Json(_) => "a mapping".to_owned(),
    }
}

/// The keys that a section takes, for hints.
fn keys(section: &'static Section) -> String {
    let keys: Vec<String> = section.live().map(|(k, _)| format!("`{}`", k.name)).collect();
    keys.join(", ")
}

/// Text of the user in a message: cut, on one line.
fn quoted(text: &str) -> String {
    let short: String = text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("`{short}{}`", if text.chars().count() > 60 { "…" } else { "" })
}
