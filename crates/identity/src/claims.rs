//! What a verified token says.

use serde_json::{Map, Value};

/// Most values of a list that are looked at.
pub const MAX_VALUES: usize = 1_000;

/// The claims of a token that was verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims(pub(crate) Map<String, Value>);

impl Claims {
    /// The value at a path of names, joined by dots: `realm_access.roles`. A name that is there as a whole goes first, because claims of
    /// a namespace are URLs.
    fn at(&self, path: &str) -> Option<&Value> {
        if let Some(whole) = self.0.get(path) {
            return Some(whole);
        }
        let mut names = path.split('.');
        let first = self.0.get(names.next()?)?;
        names.try_fold(first, |value, name| value.as_object()?.get(name))
    }

    /// A text at a path.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.at(path).and_then(Value::as_str)
    }

    /// A whole number at a path.
    pub fn number(&self, path: &str) -> Option<u64> {
        self.at(path).and_then(Value::as_u64)
    }

    /// Whatever is at a path.
    pub fn value(&self, path: &str) -> Option<&Value> {
        self.at(path)
    }

    /// The texts of a list at a path; a single text is a list of one.
    pub fn texts(&self, path: &str) -> Vec<&str> {
        match self.at(path) {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all.iter().take(MAX_VALUES).filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether a claim says so.
    pub fn is_true(&self, path: &str) -> bool {
        self.at(path) == Some(&Value::Bool(true))
    }
}
