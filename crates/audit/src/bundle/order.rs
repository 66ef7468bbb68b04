//! The order of a log: what must hold between the leaves of one run. It is checked of a bundle's leaves, and can be of a whole
//! log's, one leaf after another.

use std::collections::BTreeMap;

use stead_core::{
    id::{LeafHash, RunId},
    time::Timestamp,
};

use crate::leaf::Leaf;

/// Leaves of one run that contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfOrder {
    /// Two leaves for one position, or an earlier one after a later.
    #[error("record {seq} comes after record {before}")]
    Position {
        /// The position.
        seq: u64,
        /// That of the leaf before.
        before: u64,
    },
    /// The run's time goes back.
    #[error("record {seq} is older than record {before}, which it follows")]
    Time {
        /// The position.
        seq: u64,
        /// That of the leaf before.
        before: u64,
    },
    /// It follows another record than the one that the log has.
    #[error("record {seq} does not follow the record {before} that the log has")]
    Chain {
        /// The position.
        seq: u64,
        /// That of the leaf before.
        before: u64,
    },
}

/// What was seen of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunSeen {
    /// Position of its first leaf.
    pub first: u64,
    /// Position of its last leaf.
    pub last: u64,
    /// Leaves of it.
    pub leaves: u64,
    /// Whether the last leaf is one that ends the run.
    pub ended: bool,
    at: Timestamp,
    record: LeafHash,
}

impl RunSeen {
    /// Whether all of the run was there, from its first record to the one that ended it.
    pub const fn is_whole(&self) -> bool {
        self.ended && self.first == 0 && self.last + 1 == self.leaves
    }
}

/// The runs that were seen, by what their last leaves said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order(BTreeMap<RunId, RunSeen>);

impl Order {
    /// Takes the next leaf of the log.
    ///
    /// # Errors
    /// [`OutOfOrder`] when it contradicts the last one of its run.
    pub fn take(&mut self, leaf: &Leaf<'_>) -> Result<(), OutOfOrder> {
        let seq = leaf.seq;
        let seen = RunSeen {
            first: seq,
            last: seq,
            leaves: 1,
            ended: leaf.kinds.end_run(),
            at: leaf.at,
            record: leaf.record,
        };
        let run = match self.0.entry(leaf.run) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(seen);
                return Ok(());
            }
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
        };
        let before = run.last;
        if seq <= before {
            return Err(OutOfOrder::Position { seq, before });
        }
        if leaf.at < run.at {
            return Err(OutOfOrder::Time { seq, before });
        }
        if seq == before + 1 && leaf.prev != run.record {
            return Err(OutOfOrder::Chain { seq, before });
        }
        *run = RunSeen { first: run.first, leaves: run.leaves + 1, ..seen };
        Ok(())
    }

    /// The runs, by id.
    pub fn runs(&self) -> impl ExactSizeIterator<Item = (RunId, &RunSeen)> {
        self.0.iter().map(|(run, seen)| (*run, seen))
    }
}
