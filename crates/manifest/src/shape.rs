//! The language in which the table of keys is written ([`crate::keys`]): one description of each key, from which
//! the reader, the JSON Schema and the reference page are all derived.

/// What a value must look like.
pub(crate) enum Shape {
    /// Exactly this word.
    Const(&'static str),
    /// Text of at most so many bytes.
    Text(usize),
    /// Text that a pattern describes.
    Pattern(&'static Pattern),
    /// `provider:name`: text that the pattern describes, of a provider of this list.
    Model(&'static Pattern, &'static [&'static str]),
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds (both included).
    Count(u64, u64),
    /// A span of time such as `10m`, within bounds in microseconds (both included).
    Duration(u64, u64),
    /// Bytes, such as `64Ki`, within bounds (both included).
    Size(u64, u64),
    /// US dollars, with at most six decimals.
    Usd,
    /// A number from 0 to this, with at most six decimals.
    Decimal(u64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of at most so many, and of one at least.
    List(&'static Shape, usize),
    /// The same, and an empty one says something of its own.
    OrNone(&'static Shape, usize),
    /// A mapping from names of the user's choice; at most so many.
    Map(&'static Pattern, &'static Shape, usize),
    /// A mapping with known keys.
    Section(&'static Section),
    /// A mapping with known keys, for which a scalar may stand: the value of the named key.
    Short(&'static Section, &'static str),
    /// Any JSON; a mapping only if true.
    Json(bool),
}

/// Text described by a regular expression that Rust's `regex` and ECMA-262 read alike.
pub(crate) struct Pattern {
    /// The expression, anchored.
    pub(crate) regex: &'static str,
    /// What it stands for, with an example: "a name such as `refund-desk`".
    pub(crate) what: &'static str,
    /// Whether a wrong value may be a secret that must not be shown.
    pub(crate) secret: Secrecy,
}

/// What a wrong value may give away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrecy {
    /// Nothing.
    Open,
    /// Credentials, if it holds an `@`.
    Url,
    /// Whoever wrote it may have written the secret itself.
    Secret,
}

/// A mapping with known keys.
pub(crate) struct Section {
    /// What it is called in the reference and in the schema's `$defs`.
    pub(crate) name: &'static str,
    /// Its keys.
    pub(crate) keys: &'static [Key],
    /// Of these keys there must be exactly one; empty for no such rule.
    pub(crate) one_of: &'static [&'static str],
}

/// A key of a section.
pub(crate) struct Key {
    /// The key.
    pub(crate) name: &'static str,
    /// Its value; `None` for a key that a later release brings.
    pub(crate) shape: Option<Shape>,
    /// What it means, for the schema and the reference page; for a key of a later release, what it waits for.
    pub(crate) doc: &'static str,
    /// Whether it must be there.
    pub(crate) required: bool,
}

/// An optional key.
pub(crate) const fn key(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key { name, shape: Some(shape), doc, required: false }
}

/// A key that must be there.
pub(crate) const fn must(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key { name, shape: Some(shape), doc, required: true }
}

/// A key that a later release brings and that is refused until the named part exists: never silently ignored.
pub(crate) const fn later(name: &'static str, part: &'static str) -> Key {
    Key { name, shape: None, doc: part, required: false }
}

impl Section {
    /// The keys that this release takes.
    pub(crate) fn live(&self) -> impl Iterator<Item = (&'static Key, &'static Shape)> {
        self.keys.iter().filter_map(|k| k.shape.as_ref().map(|s| (k, s)))
    }

    /// The key of that name.
    pub(crate) fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|k| k.name == name)
    }
}
