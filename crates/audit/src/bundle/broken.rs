//! What is wrong with a bundle, and where.

use stead_core::id::RunId;

use super::order::OutOfOrder;
use crate::{
    Malformed,
    checkpoint::{BadCheckpoint, Untrusted},
    note::{BadNote, Unverified},
    proof::BadProof,
};

/// Why a bundle proves nothing: the first check that failed, in the order of `docs/audit-log.md`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The file is no bundle.
    #[error("this is no bundle, or a damaged one: {0}")]
    File(#[from] Malformed),
    /// The checkpoint in it is no note.
    #[error("the checkpoint in it is no signed note: {0}")]
    Note(BadNote),
    /// The note is no checkpoint.
    #[error("the note in it is no checkpoint: {0}")]
    Checkpoint(BadCheckpoint),
    /// The checkpoint is of another log than the key.
    #[error("it is about the log {found}, and the key is that of {expected}")]
    OtherLog {
        /// The log in the checkpoint.
        found: String,
        /// The log of the key.
        expected: String,
    },
    /// A signature is missing or wrong.
    #[error("its checkpoint does not count: {0}")]
    Signatures(Unverified),
    /// The leaves are not those of the checkpoint.
    #[error("the leaves are not those that the checkpoint commits to: {0}")]
    Root(BadProof),
    /// A leaf cannot be read.
    #[error("leaf {index} is damaged: {why}")]
    Leaf {
        /// Its index.
        index: u64,
        /// What is wrong.
        why: Malformed,
    },
    /// A leaf names another log.
    #[error("leaf {index} is one of another log: {found}")]
    ForeignLeaf {
        /// Its index.
        index: u64,
        /// The log that it names.
        found: String,
    },
    /// Leaves of one run contradict each other.
    #[error("leaf {index}, of {run}: {why}")]
    Run {
        /// The index of the later one.
        index: u64,
        /// The run.
        run: RunId,
        /// What is wrong.
        why: OutOfOrder,
    },
    /// The record that is shown is not that of the leaf.
    #[error("the record shown for leaf {index} is not the one that the log has: {why}")]
    Record {
        /// The leaf's index.
        index: u64,
        /// What is wrong.
        why: String,
    },
    /// The checkpoint that was kept does not count.
    #[error("the checkpoint that was kept: {0}")]
    HeldUntrusted(Untrusted),
    /// The log was rewritten.
    #[error("the log is not the one of the checkpoint that was kept, at size {size}: it was rewritten")]
    Forked {
        /// The size of the kept one.
        size: u64,
    },
    /// The bundle is of a smaller log than the kept checkpoint.
    #[error(
        "its log has {size} leaves, and that of the checkpoint that was kept had {held}: the log was cut back, or the \
         bundle is older than the checkpoint; ask for a new one"
    )]
    CutBack {
        /// The size of the kept one.
        held: u64,
        /// The size of the bundle's.
        size: u64,
    },
    /// Nothing leads from the kept checkpoint to the bundle's.
    #[error(
        "nothing in it leads from the checkpoint that was kept (size {held}) to its own (size {size}): ask for a bundle \
         with a link to {held}"
    )]
    NotLinked {
        /// The size of the kept one.
        held: u64,
        /// The size of the bundle's.
        size: u64,
    },
    /// What should lead there does not.
    #[error("the log of size {size} does not contain that of the checkpoint that was kept (size {held}): {why}")]
    BadLink {
        /// The size of the kept one.
        held: u64,
        /// The size of the bundle's.
        size: u64,
        /// What is wrong.
        why: BadProof,
    },
}

impl Broken {
    /// The word by which programs know it; the same in every verifier.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File(_) => "bundle",
            Self::Note(_) => "note",
            Self::Checkpoint(_) | Self::OtherLog { .. } => "checkpoint",
            Self::Signatures(Unverified::TooFew { .. }) => "witnesses",
            Self::Signatures(_) => "signature",
            Self::Root(_) => "root",
            Self::Leaf { .. } | Self::ForeignLeaf { .. } => "leaf",
            Self::Run { .. } => "run",
            Self::Record { .. } => "record",
            Self::HeldUntrusted(_) | Self::Forked { .. } | Self::CutBack { .. } => "held",
            Self::NotLinked { .. } | Self::BadLink { .. } => "held",
        }
    }
}

impl From<Untrusted> for Broken {
    fn from(untrusted: Untrusted) -> Self {
        match untrusted {
            Untrusted::Note(bad) => Self::Note(bad),
            Untrusted::Text(bad) => Self::Checkpoint(bad),
            Untrusted::Origin { found, expected } => Self::OtherLog { found, expected },
            Untrusted::Signatures(bad) => Self::Signatures(bad),
        }
    }
}
