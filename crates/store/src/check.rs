//! The rules by which an append is taken or refused, before anything is written. Both stores use them, so that a refused
//! append fails alone and costs its batch nothing. No database here: what is known comes in through [`Known`].

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use stead_core::id::{Name, RunId, SessionId};
use stead_ports::journal::{Append, AppendError, SessionChange};

/// What the writer keeps in memory of a run that is being written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// The run's row.
    pub(crate) row: i64,
    /// Its session's row.
    pub(crate) session: i64,
    /// The position that its next record takes.
    pub(crate) next: u64,
}

/// What the store knows at this point of the batch, appends earlier in the batch included.
pub(crate) trait Known {
    /// Why it can't tell.
    type Error;

    /// The run, if it exists.
    fn slot(&mut self, run: RunId) -> Result<Option<Slot>, Self::Error>;

    /// The run that was created with this idempotency key.
    fn keyed(&mut self, tenant: &Name, key: &Name) -> Result<Option<(RunId, [u8; 32])>, Self::Error>;

    /// The foreground run of an existing run's session.
    fn active(&mut self, slot: Slot) -> Result<Option<RunId>, Self::Error>;

    /// The foreground run of a session that a new run joins.
    fn active_of(&mut self, session: SessionId) -> Result<Option<RunId>, Self::Error>;
}

/// Why an append goes no further.
#[derive(Debug)]
pub(crate) enum Stop<E> {
    /// It breaks a rule.
    Refused(AppendError),
    /// The store failed.
    Failed(E),
}

impl<E> From<E> for Stop<E> {
    fn from(e: E) -> Self {
        Self::Failed(e)
    }
}

/// Checks everything but the epoch; returns the slot of a run that exists.
pub(crate) fn check<K: Known>(append: &Append, known: &mut K) -> Result<Option<Slot>, Stop<K::Error>> {
    let slot = known.slot(append.run)?;
    let next = slot.map_or(0, |s| s.next);
    let index = append.index.as_deref();
    let create = index.and_then(|i| i.create.as_ref());
    // A run begins with its first record and only there.
    if append.seq != next || create.is_some() != slot.is_none() {
        return Err(Stop::Refused(AppendError::Conflict { next }));
    }
    if let Some(new) = create
        && let Some((key, digest)) = &new.idempotency
        && let Some((run, was)) = known.keyed(&new.tenant, key)?
    {
        return Err(Stop::Refused(AppendError::Exists { run, same: was == *digest }));
    }
    if let Some(SessionChange::Claim) = index.and_then(|i| i.session.as_ref()) {
        let active = match (slot, create) {
            (Some(slot), _) => known.active(slot)?,
            (None, Some(new)) => known.active_of(new.session)?,
            (None, None) => None,
        };
        if let Some(active) = active.filter(|a| *a != append.run) {
            return Err(Stop::Refused(AppendError::SessionBusy { active }));
        }
    }
    Ok(slot)
}

/// Slots of the runs lately written to, in two generations: when the young one is full it becomes the old one, and the
/// old one is forgotten. So memory is bounded, and a run in use is never forgotten.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    young: HashMap<RunId, Slot, BuildHasherDefault<UlidHasher>>,
    old: HashMap<RunId, Slot, BuildHasherDefault<UlidHasher>>,
}

/// Runs of one generation; a slot takes about 50 bytes.
const GENERATION: usize = 32_768;

impl Slots {
    /// The slot, if it is remembered.
    pub(crate) fn get(&mut self, run: RunId) -> Option<Slot> {
        if let Some(slot) = self.young.get(&run) {
            return Some(*slot);
        }
        let slot = self.old.remove(&run)?;
        self.put(run, slot);
        Some(slot)
    }

    /// Remembers a slot.
    pub(crate) fn put(&mut self, run: RunId, slot: Slot) {
        if self.young.len() >= GENERATION && !self.young.contains_key(&run) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(run, slot);
    }

    /// Forgets a run that has ended.
    pub(crate) fn forget(&mut self, run: RunId) {
        self.young.remove(&run);
        self.old.remove(&run);
    }

    /// Forgets everything, when what was written is not certain.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// ULIDs end in 64 random bits; those are the hash. Run ids are made or derived by the server, never chosen by a
/// caller, so nobody can make them collide.
#[derive(Debug, Default)]
pub(crate) struct UlidHasher(u64);

impl Hasher for UlidHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*b);
        }
    }
    fn write_u128(&mut self, n: u128) {
        // hashbrown takes its control bits from the top and its bucket from the bottom; a multiplication mixes both.
        self.0 = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_in_use_is_never_forgotten_and_memory_is_bounded() {
        let mut slots = Slots::default();
        let slot = |n: u64| Slot { row: 1, session: 1, next: n };
        slots.put(RunId(1), slot(7));
        for i in 2..200_000u64 {
            slots.put(RunId(u128::from(i)), slot(i));
            assert_eq!(slots.get(RunId(1)), Some(slot(7)));
        }
        assert!(slots.young.len() + slots.old.len() <= 2 * GENERATION);
        slots.forget(RunId(1));
        assert_eq!(slots.get(RunId(1)), None);
    }
}
