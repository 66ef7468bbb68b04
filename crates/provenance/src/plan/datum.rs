//! A value with a label at each of its places: what plans read.

use std::{collections::BTreeMap, sync::Arc};

use rust_decimal::Decimal;
use serde_json::{Map, Number, Value};

use crate::{
    normal::{self, Key},
    trust::Label,
};

/// A value and what it counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Datum {
    kind: Kind,
    /// Of the value itself; of a list or an object, of its being there and having these places.
    own: Label,
    /// Of what it was chosen by; of an object this counts for each of its fields too.
    chosen: Label,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Nothing.
    Null,
    /// A truth.
    Bool(bool),
    /// A number that is exact.
    Number(Decimal),
    /// A number beyond 28 digits, or one that was rounded when it was read. Nothing can be done with it.
    Odd,
    /// A text.
    Text(Arc<str>),
    /// A list.
    List(Arc<[Datum]>),
    /// An object.
    Record(Arc<BTreeMap<Arc<str>, Datum>>),
}

impl Kind {
    /// A JSON number.
    pub fn number(n: &Number) -> Self {
        let text = n.to_string();
        let exact = !normal::of_value(&Value::Number(n.clone())).is_empty();
        let decimal = Decimal::from_str_exact(&text).or_else(|_| Decimal::from_scientific(&text));
        decimal.ok().filter(|_| exact).map_or(Self::Odd, |d| Self::Number(d.normalize()))
    }

    /// The word that errors use.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a truth value",
            Self::Number(_) => "a number",
            Self::Odd => "a number that cannot be kept exactly",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Record(_) => "an object",
        }
    }
}

impl Datum {
    /// A value with a label of its own; the labels of its places are theirs.
    pub fn new(kind: Kind, own: Label) -> Self {
        Self { kind, own, chosen: Label::nothing() }
    }

    /// A JSON value that counts the same everywhere.
    pub fn of_value(value: &Value, label: &Label) -> Self {
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(b) => Kind::Bool(*b),
            Value::Number(n) => Kind::number(n),
            Value::String(s) => Kind::Text(s.as_str().into()),
            Value::Array(list) => Kind::List(list.iter().map(|v| Self::of_value(v, label)).collect()),
            Value::Object(map) => Kind::Record(Arc::new(
                map.iter().map(|(k, v)| (Arc::from(k.as_str()), Self::of_value(v, label))).collect(),
            )),
        };
        Self::new(kind, label.clone())
    }

    /// What it is.
    pub const fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Its own label, without those of its places.
    pub fn own(&self) -> Label {
        self.own.join(&self.chosen)
    }

    /// A field of an object; the object's other names do not matter to it.
    pub fn field(&self, name: &str) -> Option<Self> {
        let Kind::Record(map) = &self.kind else { return None };
        map.get(name).map(|value| value.clone().under(&self.chosen))
    }

    /// What all of it counts.
    pub fn label(&self) -> Label {
        match &self.kind {
            Kind::List(list) => list.iter().fold(self.own(), |l, d| l.join(&d.label())),
            Kind::Record(map) => map.values().fold(self.own(), |l, d| l.join(&d.label())),
            _ => self.own(),
        }
    }

    /// The same value, chosen by something of that label.
    #[must_use]
    pub fn under(mut self, label: &Label) -> Self {
        self.chosen = self.chosen.join(label);
        self
    }

    /// As JSON, for digests and for people. A number is a text, so that it stays exact.
    pub fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(b) => Value::Bool(*b),
            Kind::Number(n) => Value::String(n.to_string()),
            Kind::Odd => Value::String(String::new()),
            Kind::Text(s) => Value::String(s.to_string()),
            Kind::List(list) => list.iter().map(Self::to_value).collect(),
            Kind::Record(map) => {
                Value::Object(map.iter().map(|(k, v)| (k.to_string(), v.to_value())).collect::<Map<_, _>>())
            }
        }
    }

    fn keys(&self) -> Vec<Key> {
        match &self.kind {
            Kind::Number(n) => normal::of_text(&n.to_string()),
            Kind::Text(s) => normal::of_text(s),
            _ => Vec::new(),
        }
    }

    /// The texts and numbers in it, as texts.
    pub(crate) fn leaves(&self, out: &mut Vec<String>) {
        match &self.kind {
            Kind::List(list) => list.iter().for_each(|d| d.leaves(out)),
            Kind::Record(map) => map.iter().for_each(|(k, d)| {
                out.push(k.to_string());
                d.leaves(out);
            }),
            Kind::Text(s) => out.push(s.to_string()),
            Kind::Number(n) => out.push(n.to_string()),
            Kind::Null | Kind::Bool(_) | Kind::Odd => {}
        }
    }

    /// Whether two values are the same one, as [`crate::normal`] says it.
    pub fn is(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Null, Kind::Null) => true,
            (Kind::Bool(a), Kind::Bool(b)) => a == b,
            (Kind::Number(a), Kind::Number(b)) => a == b,
            (Kind::Text(a), Kind::Text(b)) if a == b => true,
            (Kind::List(a), Kind::List(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.is(b)),
            (Kind::Record(a), Kind::Record(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|((j, a), (k, b))| j == k && a.is(b))
            }
            (Kind::Number(_) | Kind::Text(_), Kind::Number(_) | Kind::Text(_)) => {
                let keys = other.keys();
                self.keys().iter().any(|k| keys.contains(k))
            }
            _ => false,
        }
    }
}
