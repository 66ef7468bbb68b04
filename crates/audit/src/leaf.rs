//! A leaf: what the log says of one record of a run. It follows from the record alone, so nobody can write one that says another
//! thing. The record itself, its texts and names, are behind hashes. In the log of operators stand [`Act`]s instead.

use stead_core::{
    id::{LeafHash, RunId},
    time::Timestamp,
};

mod act;
mod encoding;
mod of;

pub use act::{Act, BadAct, MAX_TOPIC, is_topic};

/// The version that is written and read.
pub const VERSION: u64 = 1;

/// Bytes of a leaf: what an entry bundle can hold.
pub const MAX_LEN: usize = u16::MAX as usize;

/// Decisions of one leaf, and approvals. A reply of a model has at most 128 calls.
pub const MAX_LISTED: u64 = 1024;

/// The hash to which the first record of a run chains.
pub const NONE_BEFORE: LeafHash = LeafHash([0; 32]);

/// `RunCompleted`, `RunFailed`, `RunCancelled`.
const ENDS: [u8; 3] = [23, 24, 25];

/// What a log has at an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A record of a run.
    Record(Leaf<'a>),
    /// What an operator did.
    Act(Act<'a>),
}

impl<'a> Entry<'a> {
    /// Reads a leaf of either kind.
    ///
    /// # Errors
    /// [`crate::Malformed`] for anything else.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, crate::Malformed> {
        // The first three bytes of a leaf are its fields, its version and its kind, in one form only.
        if bytes.get(2) == Some(&act::WHAT) {
            Act::decode(bytes).map(Self::Act)
        } else {
            Leaf::decode(bytes).map(Self::Record)
        }
    }

    /// The origin of the log in which it stands.
    pub const fn log(&self) -> &'a str {
        match self {
            Self::Record(leaf) => leaf.log,
            Self::Act(act) => act.log,
        }
    }

    /// When it happened.
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Record(leaf) => leaf.at,
            Self::Act(act) => act.at,
        }
    }
}

/// What the log says of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// The origin of the log in which it stands.
    pub log: &'a str,
    /// The run.
    pub run: RunId,
    /// The record's position in the run.
    pub seq: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// The hash of the run's record before; [`NONE_BEFORE`] for the first.
    pub prev: LeafHash,
    /// The hash of the record.
    pub record: LeafHash,
    /// Kinds of its facts.
    pub kinds: Kinds,
    /// What was decided about effects, in order.
    pub decisions: Vec<Decision>,
    /// What people answered about effects, in order.
    pub approvals: Vec<Approval>,
}

/// What a policy decision point said of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The effect's ordinal in its run.
    pub effect: u32,
    /// 0 allowed, 1 denied, 2 a human is asked.
    pub verdict: u8,
    /// The epoch of the policy set; `None` where none was asked.
    pub epoch: Option<u64>,
}

/// What a person said of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The effect's ordinal in its run.
    pub effect: u32,
    /// Approved, or denied.
    pub approved: bool,
}

/// A set of kinds of facts, by their numbers in the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds([u64; 4]);

impl Kinds {
    /// Adds one.
    pub fn insert(&mut self, kind: u8) {
        self.0[usize::from(kind >> 6)] |= 1 << (kind & 63);
    }

    /// Whether it is there.
    pub const fn contains(&self, kind: u8) -> bool {
        self.0[(kind >> 6) as usize] & 1 << (kind & 63) != 0
    }

    /// Whether a record with these ends its run.
    pub fn end_run(&self) -> bool {
        ENDS.iter().any(|kind| self.contains(*kind))
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u8> {
        let all = *self;
        (0..=u8::MAX).filter(move |kind| all.contains(*kind))
    }

    fn len(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}
