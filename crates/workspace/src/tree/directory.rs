//! A directory: entries by name.

use std::collections::{BTreeMap, btree_map};

use super::Entry;
use crate::name::EntryName;

/// Entries that a directory can have at all.
pub const MAX_ENTRIES: usize = 50_000;

/// The entries of one directory, sorted by the bytes of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    pub(super) entries: BTreeMap<EntryName, Entry>,
}

/// What is in a directory and below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files, links and directories.
    pub entries: u64,
    /// Bytes of files.
    pub bytes: u64,
}

impl Directory {
    /// The entry of that name.
    pub fn get(&self, name: &[u8]) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// Puts an entry there, in the place of one that has the name.
    pub fn insert(&mut self, name: EntryName, entry: Entry) {
        self.entries.insert(name, entry);
    }

    /// Takes the entry of that name away.
    pub fn remove(&mut self, name: &[u8]) -> Option<Entry> {
        self.entries.remove(name)
    }

    /// All entries, by name.
    pub fn iter(&self) -> btree_map::Iter<'_, EntryName, Entry> {
        self.entries.iter()
    }

    /// All entries, by name, for themselves.
    pub(crate) fn into_entries(self) -> btree_map::IntoIter<EntryName, Entry> {
        self.entries.into_iter()
    }

    /// How many there are, without those below.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What is in it and below it.
    pub fn totals(&self) -> Totals {
        self.entries.values().fold(Totals::default(), |t, e| Totals {
            entries: t.entries.saturating_add(e.count()),
            bytes: t.bytes.saturating_add(e.bytes()),
        })
    }
}

impl<'d> IntoIterator for &'d Directory {
    type Item = (&'d EntryName, &'d Entry);
    type IntoIter = btree_map::Iter<'d, EntryName, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
