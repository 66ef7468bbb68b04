//! The rules by which an append is taken or refused, before anything is written. Both stores use them, so that a refused
//! append fails alone and costs its batch nothing. No database here: what is known comes in through [`Known`].

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hash, Hasher},
};

use stead_core::id::{Name, RunId, SessionId};
use stead_ports::journal::{Append, AppendError, SessionChange};

/// What the writer keeps in memory of a run that is being written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot<H> {
    /// Where the run and its session are kept.
    pub(crate) home: H,
    /// The position that its next record takes.
    pub(crate) next: u64,
}

/// What the store knows at this point of the batch, appends earlier in the batch included.
pub(crate) trait Known {
    /// Where a run and its session are kept.
    type Home: Copy;
    /// Why it can't tell.
    type Error;

    /// The run, if it exists.
    fn slot(&mut self, run: RunId) -> Result<Option<Slot<Self::Home>>, Self::Error>;

    /// The run that was created with this idempotency key.
    fn keyed(&mut self, tenant: &Name, key: &Name) -> Result<Option<(RunId, [u8; 32])>, Self::Error>;

    /// The foreground run of an existing run's session.
    fn active(&mut self, home: Self::Home) -> Result<Option<RunId>, Self::Error>;

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
pub(crate) fn check<K: Known>(append: &Append, known: &mut K) -> Result<Option<Slot<K::Home>>, Stop<K::Error>> {
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
            (Some(slot), _) => known.active(slot.home)?,
            (None, Some(new)) => known.active_of(new.session)?,
            (None, None) => None,
        };
        if let Some(active) = active.filter(|a| *a != append.run) {
            return Err(Stop::Refused(AppendError::SessionBusy { active }));
        }
    }
    Ok(slot)
}

/// What is known of the runs or sessions lately written to, in two generations: when the young one is full it becomes the
/// old one, and the old one is forgotten. So memory is bounded, and what is in use is never forgotten.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V, BuildHasherDefault<UlidHasher>>,
    old: HashMap<K, V, BuildHasherDefault<UlidHasher>>,
}

/// The runs lately written to.
pub(crate) type Slots<H> = Recent<RunId, Slot<H>>;

/// Entries of one generation; an entry takes about 50 bytes.
const GENERATION: usize = 32_768;

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { young: HashMap::default(), old: HashMap::default() }
    }
}

impl<K: Copy + Eq + Hash, V: Copy> Recent<K, V> {
    /// The value, if it is remembered.
    pub(crate) fn get(&mut self, key: K) -> Option<V> {
        if let Some(value) = self.young.get(&key) {
            return Some(*value);
        }
        let value = self.old.remove(&key)?;
        self.put(key, value);
        Some(value)
    }

    /// Remembers a value.
    pub(crate) fn put(&mut self, key: K, value: V) {
        if self.young.len() >= GENERATION && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// Forgets one that is no longer in use.
    pub(crate) fn forget(&mut self, key: K) {
        self.young.remove(&key);
        self.old.remove(&key);
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
        let slot = |n: u64| Slot { home: (), next: n };
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
