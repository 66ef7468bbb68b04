//! Templates: text with `{{args.NAME}}` and `{{key}}`, compiled when a tool is set up. What a value may do where it lands is the
//! matter of whoever renders one.

use std::collections::BTreeSet;

use serde_json::Value;

/// What a placeholder names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hole {
    /// `{{args}}`: all arguments; in bodies only.
    All,
    /// `{{args.a.b}}`.
    Argument(Vec<String>),
    /// `{{key}}`, the idempotency key.
    Key,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Kept as it is.
    Text(String),
    /// Replaced by a value.
    Hole(Hole),
}

/// A compiled text template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub(crate) Vec<Piece>);

/// The values of one call.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The arguments, an object.
    pub arguments: &'a Value,
    /// The idempotency key.
    pub key: &'a str,
}

impl Template {
    /// Compiles a text.
    ///
    /// # Errors
    /// In words: braces that are not closed, or a placeholder that there is none of.
    pub fn compile(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").ok_or_else(|| format!("`{text}`: `{{{{` without `}}}}`"))?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::Hole(hole(name.trim()).ok_or_else(|| {
                format!("`{{{{{name}}}}}` is not a placeholder; there are `{{{{args.NAME}}}}` and `{{{{key}}}}`")
            })?));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// Adds the arguments that it uses.
    pub fn uses(&self, out: &mut BTreeSet<String>) {
        for piece in &self.0 {
            if let Piece::Hole(Hole::Argument(path)) = piece {
                out.extend(path.first().cloned());
            }
        }
    }

    /// Whether the only thing in it is a placeholder.
    pub(crate) fn lone(&self) -> Option<&Hole> {
        match self.0.as_slice() {
            [Piece::Hole(hole)] => Some(hole),
            _ => None,
        }
    }

    /// Whether it holds `{{args}}`, all arguments at once, which have no form as text.
    pub fn takes_all(&self) -> bool {
        self.0.contains(&Piece::Hole(Hole::All))
    }

    /// Whether it holds a placeholder.
    pub fn is_open(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Hole(_)))
    }

    /// The text, of at most `most` bytes, with every value passed through `escape`. `None` when it names an argument that was left
    /// out.
    ///
    /// # Errors
    /// For the model: a value that is no scalar, that `escape` refuses, or that is too long.
    pub fn render(
        &self,
        values: &Values<'_>,
        most: usize,
        escape: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Option<String>, String> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Hole(hole) => match values.scalar(hole)? {
                    Some(value) => out.push_str(&escape(&value)?),
                    None => return Ok(None),
                },
            }
            if out.len() > most {
                return Err(format!("a value makes the request longer than {most} bytes"));
            }
        }
        Ok(Some(out))
    }
}

impl Values<'_> {
    /// The value of a placeholder; `None` when the argument was left out or is null.
    pub(crate) fn value(&self, hole: &Hole) -> Option<Value> {
        match hole {
            Hole::Key => Some(self.key.into()),
            Hole::All => Some(self.arguments.clone()),
            Hole::Argument(path) => {
                path.iter().try_fold(self.arguments, |value, step| value.get(step)).filter(|v| !v.is_null()).cloned()
            }
        }
    }

    /// The same as text, which only scalars have.
    fn scalar(&self, hole: &Hole) -> Result<Option<String>, String> {
        match self.value(hole) {
            None => Ok(None),
            Some(Value::String(s)) => Ok(Some(s)),
            Some(Value::Array(_) | Value::Object(_)) => {
                Err("only a text, a number or a boolean can stand in a path, query, header or text".into())
            }
            Some(other) => Ok(Some(other.to_string())),
        }
    }
}

fn hole(name: &str) -> Option<Hole> {
    match name {
        "key" => Some(Hole::Key),
        "args" => Some(Hole::All),
        _ => {
            let path: Vec<String> = name.strip_prefix("args.")?.split('.').map(str::to_owned).collect();
            let plain = |s: &String| !s.is_empty() && s.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
            path.iter().all(plain).then_some(Hole::Argument(path))
        }
    }
}
