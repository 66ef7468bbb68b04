//! A value, with the names of its objects in the order in which they are written.

use super::Number;

/// A JSON value. Objects are sorted as RFC 8785, section 3.2.3 says, and have each name once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// An object; made by [`Value::object`].
    Object(Vec<(String, Value)>),
}

impl Value {
    /// An object of these members; of those with one name, the last counts.
    pub fn object<N: Into<String>>(members: impl IntoIterator<Item = (N, Value)>) -> Self {
        let mut sorted: Vec<(String, Self)> = Vec::new();
        for (name, value) in members {
            let name = name.into();
            match sorted.binary_search_by(|(known, _)| order(known, &name)) {
                Ok(i) => sorted[i].1 = value,
                Err(i) => sorted.insert(i, (name, value)),
            }
        }
        Self::Object(sorted)
    }

    /// A whole number; one beyond 2⁵³ − 1 has no exact form, and becomes the largest that has.
    pub fn int(n: u64) -> Self {
        Self::Number(Number::whole(n))
    }

    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A text, or `null`.
    pub fn maybe<T: Into<String>>(text: Option<T>) -> Self {
        text.map_or(Self::Null, Self::text)
    }

    /// A list of texts.
    pub fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(texts.into_iter().map(Self::text).collect())
    }

    /// A member of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(n, _)| n == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// The order of names: by their UTF-16 code units.
pub(super) fn order(a: &str, b: &str) -> std::cmp::Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}
