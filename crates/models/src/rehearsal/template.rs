//! Texts and argument trees with `{{…}}` in them, parsed once when the script is read.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

use super::expr::{Expr, Scope};

/// Most bytes that one template may grow to.
pub(super) const MAX_RENDERED: usize = 1 << 20;

#[derive(Debug)]
enum Piece {
    Text(String),
    Expr(Expr),
}

/// A text with expressions in it. `\{{` stands for two literal braces.
#[derive(Debug)]
pub(super) struct Template(Vec<Piece>);

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("{{") {
            if let Some(before) = rest[..at].strip_suffix('\\') {
                plain.push_str(before);
                plain.push_str("{{");
                rest = &rest[at + 2..];
                continue;
            }
            plain.push_str(&rest[..at]);
            let (source, more) = rest[at + 2..].split_once("}}").ok_or("`{{` is never closed by `}}`")?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Expr(Expr::parse(source)?));
            rest = more;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    pub(super) fn exprs(&self) -> impl Iterator<Item = &Expr> {
        self.0.iter().filter_map(|p| match p {
            Piece::Expr(e) => Some(e),
            Piece::Text(_) => None,
        })
    }

    /// The text with values filled in.
    pub(super) fn text(&self, scope: &Scope<'_>) -> Result<String, String> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(t) => out.push_str(t),
                Piece::Expr(e) => out.push_str(&e.text(scope)?),
            }
            if out.len() > MAX_RENDERED {
                return Err(format!("a text grew over {MAX_RENDERED} bytes"));
            }
        }
        Ok(out)
    }

    /// A value: that of the expression when the whole template is one, a string otherwise.
    fn value(&self, scope: &Scope<'_>) -> Result<Value, String> {
        match self.0.as_slice() {
            [Piece::Expr(e)] => e.value(scope),
            _ => self.text(scope).map(Value::String),
        }
    }
}

/// A tree of arguments as the script wrote it. Keys keep their order, whatever features `serde_json` was built with,
/// so that the bytes of a call are the same in every build.
#[derive(Debug)]
pub(super) enum Tree<T> {
    /// `null`, a boolean or a number.
    Leaf(Value),
    /// A string.
    Text(T),
    /// A list.
    List(Vec<Tree<T>>),
    /// A mapping.
    Map(Vec<(String, Tree<T>)>),
}

impl Tree<String> {
    pub(super) fn parse(self) -> Result<Tree<Template>, String> {
        Ok(match self {
            Self::Leaf(v) => Tree::Leaf(v),
            Self::Text(s) => Tree::Text(Template::parse(&s)?),
            Self::List(items) => Tree::List(items.into_iter().map(Self::parse).collect::<Result<_, _>>()?),
            Self::Map(entries) => {
                Tree::Map(entries.into_iter().map(|(k, v)| Ok((k, v.parse()?))).collect::<Result<_, String>>()?)
            }
        })
    }
}

impl Tree<Template> {
    pub(super) fn each_template<'a>(&'a self, see: &mut dyn FnMut(&'a Template)) {
        match self {
            Self::Leaf(_) => {}
            Self::Text(t) => see(t),
            Self::List(items) => items.iter().for_each(|t| t.each_template(see)),
            Self::Map(entries) => entries.iter().for_each(|(_, t)| t.each_template(see)),
        }
    }

    /// Compact JSON text with values filled in.
    pub(super) fn json(&self, scope: &Scope<'_>) -> Result<String, String> {
        let mut out = String::new();
        self.write(scope, &mut out)?;
        Ok(out)
    }

    fn write(&self, scope: &Scope<'_>, out: &mut String) -> Result<(), String> {
        match self {
            Self::Leaf(v) => out.push_str(&v.to_string()),
            Self::Text(t) => out.push_str(&t.value(scope)?.to_string()),
            Self::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    out.push(if i == 0 { '[' } else { ',' });
                    item.write(scope, out)?;
                }
                out.push_str(if items.is_empty() { "[]" } else { "]" });
            }
            Self::Map(entries) => {
                for (i, (key, item)) in entries.iter().enumerate() {
                    out.push(if i == 0 { '{' } else { ',' });
                    out.push_str(&Value::from(key.as_str()).to_string());
                    out.push(':');
                    item.write(scope, out)?;
                }
                out.push_str(if entries.is_empty() { "{}" } else { "}" });
            }
        }
        if out.len() > MAX_RENDERED {
            return Err(format!("the arguments grew over {MAX_RENDERED} bytes"));
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Tree<String> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Tree<String>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Tree::Leaf(Value::Null))
            }
            fn visit_bool<E>(self, v: bool) -> Result<Self::Value, E> {
                Ok(Tree::Leaf(v.into()))
            }
            fn visit_i64<E>(self, v: i64) -> Result<Self::Value, E> {
                Ok(Tree::Leaf(v.into()))
            }
            fn visit_u64<E>(self, v: u64) -> Result<Self::Value, E> {
                Ok(Tree::Leaf(v.into()))
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Self::Value, E> {
                Number::from_f64(v)
                    .map(|n| Tree::Leaf(n.into()))
                    .ok_or_else(|| E::custom("JSON has no infinity and no NaN"))
            }
            fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
                Ok(Tree::Text(v.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut a: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = a.next_element()? {
                    items.push(item);
                }
                Ok(Tree::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut a: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = a.next_entry()? {
                    entries.push(entry);
                }
                Ok(Tree::Map(entries))
            }
        }
        d.deserialize_any(Any)
    }
}
