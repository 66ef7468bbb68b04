//! What a policy may know of a tool's arguments: a JSON Schema read as the types that Cedar has. What cannot be said in
//! them has no shape, so no policy can name it. `docs/policy.md` has the table.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// How deep schemas are followed; what lies deeper has no shape.
pub const MAX_DEPTH: usize = 16;
/// Most attributes of one tool that policies can name.
pub const MAX_ATTRIBUTES: usize = 1_000;

/// The type of a value as policies see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `true` or `false`: Cedar's `Bool`.
    Bool,
    /// A whole number in 64 bits: Cedar's `Long`.
    Long,
    /// A number with at most four places: Cedar's `decimal`.
    Decimal,
    /// A text: Cedar's `String`.
    Text,
    /// An array, without order and without repetitions: Cedar's `Set`.
    Set(Box<Shape>),
    /// An object: Cedar's record.
    Record(Fields),
}

/// The attributes of an object, by name.
pub type Fields = BTreeMap<String, Field>;

/// One attribute of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its type.
    pub shape: Shape,
    /// Whether it is always there.
    pub required: bool,
}

/// A shape, and whether `null` may stand in its place: a `null` is an attribute that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Read {
    shape: Shape,
    nullable: bool,
}

impl Shape {
    /// Reads the schema of a tool's arguments; what is no object has no attributes.
    pub fn of_arguments(schema: &Value) -> Fields {
        let mut reader = Reader { root: schema, open: BTreeSet::new(), left: MAX_ATTRIBUTES };
        match reader.read(schema, 0) {
            Some(Read { shape: Self::Record(fields), .. }) => fields,
            _ => Fields::new(),
        }
    }

    /// What two tools of one name have in common: attributes of one type. One that is not in both, or not required by
    /// both, is optional.
    #[must_use]
    pub fn common(a: &Fields, b: &Fields) -> Fields {
        join(a.clone(), b.clone(), Branches::Either)
    }

    /// The shape at a path below this one, through the elements of sets.
    pub fn at<'s>(&'s self, path: &[String]) -> Option<&'s Self> {
        let Some((name, rest)) = path.split_first() else { return Some(self) };
        match self {
            Self::Record(fields) => fields.get(name)?.shape.at(rest),
            Self::Set(element) => element.at(path),
            _ => None,
        }
    }
}

/// How the parts of a schema stand to each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Branches {
    /// `oneOf`, `anyOf`: one of them holds.
    Either,
    /// `allOf`, and a schema beside its own keys: all of them hold.
    All,
}

struct Reader<'s> {
    root: &'s Value,
    /// References that are being followed.
    open: BTreeSet<String>,
    /// Attributes that may still be named.
    left: usize,
}

impl<'s> Reader<'s> {
    fn read(&mut self, schema: &'s Value, depth: usize) -> Option<Read> {
        let schema = schema.as_object()?;
        if depth >= MAX_DEPTH {
            return None;
        }
        let mut read = match schema.get("$ref") {
            Some(reference) => Some(self.follow(reference.as_str()?, depth)?),
            None => None,
        };
        for (key, branches) in [("allOf", Branches::All), ("oneOf", Branches::Either), ("anyOf", Branches::Either)] {
            if let Some(parts) = schema.get(key) {
                let part = self.parts(parts.as_array()?, branches, depth)?;
                read = Some(match read {
                    Some(read) => both(read, part, Branches::All)?,
                    None => part,
                });
            }
        }
        let says_type = ["type", "properties", "enum", "const"].iter().any(|key| schema.contains_key(*key));
        match (read, says_type) {
            (Some(read), true) => both(read, self.own(schema, depth)?, Branches::All),
            (Some(read), false) => Some(read),
            (None, true) => self.own(schema, depth),
            (None, false) => None,
        }
    }

    /// A reference within the document, once: what contains itself has no shape.
    fn follow(&mut self, reference: &str, depth: usize) -> Option<Read> {
        let target = self.root.pointer(reference.strip_prefix('#')?)?;
        if !self.open.insert(reference.to_owned()) {
            return None;
        }
        let read = self.read(target, depth + 1);
        self.open.remove(reference);
        read
    }

    fn parts(&mut self, parts: &'s [Value], branches: Branches, depth: usize) -> Option<Read> {
        let mut read: Option<Read> = None;
        let mut nullable = false;
        for part in parts {
            if part.get("type").is_some_and(|t| t == "null") {
                nullable = true;
                continue;
            }
            let part = self.read(part, depth + 1)?;
            read = Some(match read {
                Some(read) => both(read, part, branches)?,
                None => part,
            });
        }
        read.map(|read| Read { nullable: read.nullable || (nullable && branches == Branches::Either), ..read })
    }

    /// What the keys of a schema say themselves.
    fn own(&mut self, schema: &'s Map<String, Value>, depth: usize) -> Option<Read> {
        let mut nullable = schema.get("nullable").is_some_and(|n| n == true);
        let mut kind = None;
        match schema.get("type") {
            Some(Value::String(name)) => kind = Some(name.as_str()),
            Some(Value::Array(names)) => {
                for name in names {
                    match name.as_str()? {
                        "null" => nullable = true,
                        other if kind.is_none() => kind = Some(other),
                        _ => return None,
                    }
                }
            }
            Some(_) => return None,
            None => {}
        }
        let listed = match (schema.get("enum"), schema.get("const")) {
            (Some(Value::Array(values)), _) => Some(values.iter().collect()),
            (None, Some(value)) => Some(vec![value]),
            (None, None) => None,
            _ => return None,
        };
        if let Some(values) = listed {
            nullable |= values.iter().any(|v| v.is_null());
            let of_values = scalar(&values)?;
            return match kind.map(named) {
                Some(Some(of_type)) if of_type != of_values => None,
                Some(None) => None,
                _ => Some(Read { shape: of_values, nullable }),
            };
        }
        let shape = match kind {
            Some("array") => Shape::Set(Box::new(self.read(schema.get("items")?, depth + 1)?.plain()?)),
            Some("object") | None => Shape::Record(self.fields(schema, depth)?),
            Some(name) => named(name)?,
        };
        Some(Read { shape, nullable })
    }

    fn fields(&mut self, schema: &'s Map<String, Value>, depth: usize) -> Option<Fields> {
        let Some(properties) = schema.get("properties") else { return Some(Fields::new()) };
        let required: BTreeSet<&str> = match schema.get("required") {
            Some(names) => names.as_array()?.iter().filter_map(Value::as_str).collect(),
            None => BTreeSet::new(),
        };
        let mut fields = Fields::new();
        for (name, property) in properties.as_object()? {
            let Some(read) = self.read(property, depth + 1) else { continue };
            let Some(left) = self.left.checked_sub(1) else { break };
            self.left = left;
            let required = required.contains(name.as_str()) && !read.nullable;
            fields.insert(name.clone(), Field { shape: read.shape, required });
        }
        Some(fields)
    }
}

impl Read {
    /// The shape of an element: a set has no place for what is not there.
    fn plain(self) -> Option<Shape> {
        (!self.nullable).then_some(self.shape)
    }
}

/// The shape of a type that has no parts.
fn named(kind: &str) -> Option<Shape> {
    match kind {
        "boolean" => Some(Shape::Bool),
        "integer" => Some(Shape::Long),
        "number" => Some(Shape::Decimal),
        "string" => Some(Shape::Text),
        _ => None,
    }
}

/// The shape of listed values, when they are of one kind.
fn scalar(values: &[&Value]) -> Option<Shape> {
    let mut shapes = values.iter().filter(|v| !v.is_null()).map(|value| match value {
        Value::Bool(_) => Some(Shape::Bool),
        Value::String(_) => Some(Shape::Text),
        Value::Number(n) if n.is_i64() => Some(Shape::Long),
        _ => None,
    });
    let first = shapes.next()??;
    shapes.all(|shape| shape.as_ref() == Some(&first)).then_some(first)
}

fn both(a: Read, b: Read, branches: Branches) -> Option<Read> {
    let nullable = if branches == Branches::All { a.nullable && b.nullable } else { a.nullable || b.nullable };
    let shape = match (a.shape, b.shape) {
        (Shape::Record(a), Shape::Record(b)) => Shape::Record(join(a, b, branches)),
        (a, b) if a == b => a,
        _ => return None,
    };
    Some(Read { shape, nullable })
}

/// The attributes of two objects. Where both name one with different types, it has no shape.
fn join(mut a: Fields, b: Fields, branches: Branches) -> Fields {
    let either = branches == Branches::Either;
    if either {
        for (name, field) in &mut a {
            field.required &= b.contains_key(name);
        }
    }
    for (name, field) in b {
        match a.remove(&name) {
            None => {
                a.insert(name, Field { required: field.required && !either, ..field });
            }
            Some(other) => {
                let required = if either { other.required && field.required } else { other.required || field.required };
                let read = |shape| Read { shape, nullable: false };
                if let Some(Read { shape, .. }) = both(read(other.shape), read(field.shape), branches) {
                    a.insert(name, Field { shape, required });
                }
            }
        }
    }
    a
}

#[cfg(test)]
#[path = "shape_tests.rs"]
mod tests;
