//! Templates of a request: every value is escaped for the place where it lands, and none can change the request's shape.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

pub(super) use crate::template::{Hole, Piece, Template, Values};
use crate::text;

/// Most bytes of one rendered path, query value, header or text.
const MAX_RENDERED: usize = 8 * 1024;

impl Template {
    /// As a URL path. A value is always text inside one segment: it can neither add a segment nor climb out of one.
    pub(super) fn path(&self, values: &Values<'_>) -> Result<String, String> {
        let escape = |value: &str| {
            if value.is_empty() {
                return Err("an argument in the path must not be empty".to_owned());
            }
            Ok(percent_encode(value))
        };
        let path = self.render(values, MAX_RENDERED, escape)?.ok_or("an argument in the path is missing")?;
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err("an argument in the path must not be `.` or `..`".into());
        }
        Ok(path)
    }

    /// As a query value; the URL's builder encodes it.
    pub(super) fn query(&self, values: &Values<'_>) -> Result<Option<String>, String> {
        self.render(values, MAX_RENDERED, |value| Ok(value.to_owned()))
    }

    /// As a header's value: visible characters of ASCII and blanks (RFC 9110 section 5.5), so never a line end.
    pub(super) fn header(&self, values: &Values<'_>) -> Result<Option<String>, String> {
        let text = self.render(values, MAX_RENDERED, |value| Ok(value.to_owned()))?;
        match text {
            Some(t) if !t.bytes().all(|b| (b' '..=b'~').contains(&b)) => {
                Err("an argument in a header must be visible ASCII on one line".into())
            }
            other => Ok(other),
        }
    }
}

/// A compiled JSON template.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// A value without placeholders.
    Plain(Value),
    /// A string with them.
    Text(Template),
    /// An array.
    List(Vec<Body>),
    /// An object; its keys are plain.
    Map(Vec<(String, Body)>),
}

impl Body {
    pub(super) fn compile(value: &Value) -> Result<Self, String> {
        Ok(match value {
            Value::String(s) if s.contains("{{") => Self::Text(Template::compile(s)?),
            Value::Array(items) => Self::List(items.iter().map(Self::compile).collect::<Result<_, _>>()?),
            Value::Object(map) => {
                let entries = map.iter().map(|(k, v)| Ok((k.clone(), Self::compile(v)?)));
                Self::Map(entries.collect::<Result<_, String>>()?)
            }
            plain => Self::Plain(plain.clone()),
        })
    }

    /// Adds the arguments that it uses; `{{args}}` uses all of `every`.
    pub(super) fn uses<'a>(&self, every: impl IntoIterator<Item = &'a String> + Clone, out: &mut BTreeSet<String>) {
        match self {
            Self::Plain(_) => {}
            Self::Text(template) => {
                if template.lone() == Some(&Hole::All) {
                    out.extend(every.into_iter().cloned());
                }
                template.uses(out);
            }
            Self::List(items) => items.iter().for_each(|item| item.uses(every.clone(), out)),
            Self::Map(entries) => entries.iter().for_each(|(_, item)| item.uses(every.clone(), out)),
        }
    }

    /// The JSON value. A key or item whose placeholder has no value is left out; alone it is null.
    pub(super) fn render(&self, values: &Values<'_>) -> Result<Value, String> {
        Ok(self.optional(values)?.unwrap_or(Value::Null))
    }

    fn optional(&self, values: &Values<'_>) -> Result<Option<Value>, String> {
        Ok(match self {
            Self::Plain(value) => Some(value.clone()),
            Self::Text(template) => match template.lone() {
                Some(hole) => values.value(hole),
                None => template.render(values, MAX_RENDERED, |value| Ok(value.to_owned()))?.map(Value::String),
            },
            Self::List(items) => {
                let mut out = Vec::new();
                for item in items {
                    out.extend(item.optional(values)?);
                }
                Some(Value::Array(out))
            }
            Self::Map(entries) => {
                let mut out = Map::new();
                for (key, item) in entries {
                    if let Some(value) = item.optional(values)? {
                        out.insert(key.clone(), value);
                    }
                }
                Some(Value::Object(out))
            }
        })
    }
}

/// Everything but the unreserved characters of RFC 3986 section 2.3 as `%XX`.
pub(super) fn percent_encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Checks the fixed text of a path template.
pub(super) fn check_path(path: &str, template: &Template) -> Result<(), String> {
    let bad = |why: &str| Err(format!("`{}`: {why}", text::ellipsis(path, 80)));
    if !path.starts_with('/') {
        return bad("a path begins with `/`");
    }
    let mut skeleton = String::new();
    for piece in &template.0 {
        match piece {
            Piece::Text(text) => skeleton.push_str(text),
            Piece::Hole(Hole::All) => return bad("`{{args}}` stands in bodies only"),
            // What a hole leaves is never empty and never a dot alone.
            Piece::Hole(_) => skeleton.push('x'),
        }
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&b);
    if !skeleton.bytes().all(plain) {
        return bad("only characters of a URL path may stand here; use `query` for what follows a `?`");
    }
    let decoded = skeleton.to_ascii_lowercase().replace("%2e", ".");
    if decoded.split('/').any(|s| matches!(s, "." | "..")) || skeleton.starts_with("//") {
        return bad("`.`, `..` and `//` are not allowed");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
