//! The order of a log: what must hold between the leaves of one run. It is checked of a bundle's leaves, and can be of a whole
//! log's, one leaf after another.

use std::collections::{BTreeMap, btree_map::Entry};

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
    /// Records between the two are in no leaf, and all leaves between the two are known.
    #[error("record {seq} comes after record {before}, and the log has none between")]
    Gap {
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
    index: u64,
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
pub struct Order {
    /// Where each run is in `seen`: apart from it, so that looking a run up touches little memory.
    runs: BTreeMap<RunId, usize>,
    seen: Vec<RunSeen>,
    /// The index from which on every leaf was taken, and the one that comes next then.
    since: u64,
    next: u64,
}

impl Order {
    /// Takes a leaf of the log, by ascending index.
    ///
    /// # Errors
    /// [`OutOfOrder`] when it contradicts the last one of its run.
    pub fn take(&mut self, index: u64, leaf: &Leaf<'_>) -> Result<(), OutOfOrder> {
        self.pass(index);
        let seq = leaf.seq;
        let ended = leaf.kinds.end_run();
        let seen = RunSeen { first: seq, last: seq, leaves: 1, ended, index, at: leaf.at, record: leaf.record };
        match self.runs.entry(leaf.run) {
            Entry::Vacant(entry) => {
                entry.insert(self.seen.len());
                self.seen.push(seen);
            }
            Entry::Occupied(entry) => {
                let run = &mut self.seen[*entry.get()];
                follows(run, leaf, run.index >= self.since)?;
                *run = RunSeen { first: run.first, leaves: run.leaves + 1, ..seen };
            }
        }
        Ok(())
    }

    /// Takes a leaf that is of no run.
    pub const fn pass(&mut self, index: u64) {
        if index != self.next {
            self.since = index;
        }
        self.next = index.saturating_add(1);
    }

    /// The runs, by id.
    pub fn runs(&self) -> impl ExactSizeIterator<Item = (RunId, &RunSeen)> {
        self.runs.iter().map(|(run, at)| (*run, &self.seen[*at]))
    }
}

/// Whether the leaf can follow the last one of its run; `all` when every leaf between the two was taken.
fn follows(run: &RunSeen, leaf: &Leaf<'_>, all: bool) -> Result<(), OutOfOrder> {
    let (seq, before) = (leaf.seq, run.last);
    if seq <= before {
        return Err(OutOfOrder::Position { seq, before });
    }
    if leaf.at < run.at {
        return Err(OutOfOrder::Time { seq, before });
    }
    if seq > before + 1 {
        return if all { Err(OutOfOrder::Gap { seq, before }) } else { Ok(()) };
    }
    if leaf.prev == run.record { Ok(()) } else { Err(OutOfOrder::Chain { seq, before }) }
}
