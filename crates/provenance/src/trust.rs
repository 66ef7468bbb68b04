//! The words of provenance: who said something, and how far that counts. A label only ever joins downwards.

use std::{collections::BTreeSet, fmt, sync::Arc};

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use serde::{Serialize, Serializer};
use stead_core::id::Name;

/// Origins that one label names; a label of more says that it may be of any.
pub const MAX_ORIGINS: usize = 32;

/// How far a value counts, lowest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Trust {
    /// Other people's words, or nobody knows whose. What has no label is this.
    #[default]
    #[n(0)]
    Untrusted,
    /// Set by a system that other people cannot speak through: an id, a sender, the participants of an event. Usable in a
    /// plan's expressions, never authority by itself.
    #[n(1)]
    Attested,
    /// Said by the operator or the user, or by a tool that the manifest trusts.
    #[n(2)]
    Trusted,
}

impl Trust {
    /// The word that manifests and policies use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Untrusted => "untrusted",
            Self::Attested => "attested",
            Self::Trusted => "trusted",
        }
    }
}

/// Who said something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Origin {
    /// The agent's owner: instructions, manifest.
    #[n(0)]
    Operator,
    /// The person or program that gave the task.
    #[n(1)]
    User,
    /// The runtime: notices and errors in its own words.
    #[n(2)]
    Runtime,
    /// A model: it wrote the value, and it stands in no source.
    #[n(3)]
    Model,
    /// A tool's result, by the tool's full name.
    #[n(4)]
    Tool(#[n(0)] Name),
    /// Something remembered, by the name of its store.
    #[n(5)]
    Memory(#[n(0)] Name),
    /// A page, by its host.
    #[n(6)]
    Web(#[n(0)] Name),
    /// A file of the workspace, by its path.
    #[n(7)]
    File(#[n(0)] Name),
    /// The answer of a child run, by its agent.
    #[n(8)]
    Child(#[n(0)] Name),
    /// A message of another agent, by its name.
    #[n(9)]
    Agent(#[n(0)] Name),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("operator"),
            Self::User => f.write_str("user"),
            Self::Runtime => f.write_str("runtime"),
            Self::Model => f.write_str("model"),
            Self::Tool(name) => write!(f, "tool {name}"),
            Self::Memory(name) => write!(f, "memory {name}"),
            Self::Web(name) => write!(f, "web {name}"),
            Self::File(name) => write!(f, "file {name}"),
            Self::Child(name) => write!(f, "child {name}"),
            Self::Agent(name) => write!(f, "agent {name}"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// The origins of a value: those named, or possibly any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Nobody knows, or more than [`MAX_ORIGINS`].
    #[default]
    Any,
    /// Exactly these.
    Of(Arc<BTreeSet<Origin>>),
}

impl Origins {
    /// One origin.
    pub fn one(origin: Origin) -> Self {
        Self::Of(Arc::new(BTreeSet::from([origin])))
    }

    /// The origins of both.
    pub fn join(&self, other: &Self) -> Self {
        let (Self::Of(a), Self::Of(b)) = (self, other) else { return Self::Any };
        if Arc::ptr_eq(a, b) || b.is_subset(a) {
            return self.clone();
        }
        let all: BTreeSet<Origin> = a.union(b).cloned().collect();
        if all.len() > MAX_ORIGINS { Self::Any } else { Self::Of(Arc::new(all)) }
    }

    /// Those named; `None` when it may be any.
    pub fn named(&self) -> Option<&BTreeSet<Origin>> {
        match self {
            Self::Any => None,
            Self::Of(set) => Some(set),
        }
    }
}

/// As text: `any`, or the origins in order.
impl fmt::Display for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(set) = self.named() else { return f.write_str("any") };
        set.iter().enumerate().try_for_each(|(i, o)| write!(f, "{}{o}", if i == 0 { "" } else { ", " }))
    }
}

impl<C> Encode<C> for Origins {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, ctx: &mut C) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Any => e.null()?.ok(),
            Self::Of(set) => {
                e.array(set.len() as u64)?;
                set.iter().try_for_each(|o| o.encode(e, ctx))
            }
        }
    }
}

impl<'b, C> Decode<'b, C> for Origins {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        let Some(list) = d.decode_with::<C, Option<Vec<Origin>>>(ctx)? else { return Ok(Self::Any) };
        let set: BTreeSet<Origin> = list.into_iter().collect();
        Ok(if set.len() > MAX_ORIGINS { Self::Any } else { Self::Of(Arc::new(set)) })
    }

    fn nil() -> Option<Self> {
        Some(Self::Any)
    }
}

/// What is known of a value. The default is what a value without a label has: untrusted, of any origin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Label {
    /// How far it counts.
    #[n(0)]
    pub trust: Trust,
    /// Who said it.
    #[n(1)]
    pub origins: Origins,
}

impl Label {
    /// A label of one origin.
    pub fn new(trust: Trust, origin: Origin) -> Self {
        Self { trust, origins: Origins::one(origin) }
    }

    /// Of nothing at all: joined with any label it gives that label.
    pub fn nothing() -> Self {
        Self { trust: Trust::Trusted, origins: Origins::Of(Arc::default()) }
    }

    /// The label of what is made of both: the lower trust, the origins of both.
    pub fn join(&self, other: &Self) -> Self {
        Self { trust: self.trust.min(other.trust), origins: self.origins.join(&other.origins) }
    }

    /// The same origins, counting at most as far as `trust`.
    pub fn at_most(mut self, trust: Trust) -> Self {
        self.trust = self.trust.min(trust);
        self
    }

    /// Whether it counts as what operator and user say.
    pub fn is_trusted(&self) -> bool {
        self.trust == Trust::Trusted
    }

    /// Whether other people's words are in it.
    pub fn is_tainted(&self) -> bool {
        self.trust == Trust::Untrusted
    }
}

impl FromIterator<Label> for Label {
    fn from_iter<I: IntoIterator<Item = Label>>(labels: I) -> Self {
        labels.into_iter().fold(Self::nothing(), |a, b| a.join(&b))
    }
}
