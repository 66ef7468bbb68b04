//! What sessions have lately handed on, so that a long session of short runs is not folded again from its last snapshot
//! for every one of them.
//!
//! A carry is kept under the run that leaves it, which a session's row names as its head. A run that has ended gets no
//! more records, so what it leaves never changes: what is found here cannot be out of date, whoever wrote to the session
//! meanwhile. What is not found is folded.

use std::collections::HashMap;

use parking_lot::Mutex;
use stead_core::{
    id::RunId,
    record::{Body, Payload},
    run::Carry,
};

/// Carries of one generation, and the bytes they may take, estimated.
const MOST: usize = 512;
const MOST_BYTES: usize = 16 << 20;
/// What an entry of a conversation takes beside its text.
const ENTRY: usize = 160;

/// What a run leaves to the next one of its session, and how many records that is since a snapshot.
pub(crate) type Left = (Carry, u64);

/// See the module. In two generations: when the young one is full it becomes the old one, and the old one is forgotten.
#[derive(Default)]
pub(crate) struct Carries(Mutex<[Generation; 2]>);

#[derive(Default)]
struct Generation {
    kept: HashMap<RunId, Left>,
    bytes: usize,
}

impl Carries {
    /// What this run has left, if it is remembered.
    pub(crate) fn get(&self, head: RunId) -> Option<Left> {
        let found = {
            let [young, old] = &mut *self.0.lock();
            match young.kept.get(&head) {
                Some(left) => return Some(left.clone()),
                None => old.take(head)?,
            }
        };
        // What is in use is never forgotten.
        self.put(head, found.clone());
        Some(found)
    }

    /// Remembers what a run has left.
    pub(crate) fn put(&self, head: RunId, left: Left) {
        let bytes = weight(&left.0);
        if bytes > MOST_BYTES {
            return;
        }
        let [young, old] = &mut *self.0.lock();
        young.take(head);
        if young.kept.len() >= MOST || young.bytes + bytes > MOST_BYTES {
            *old = std::mem::take(young);
        }
        young.bytes += bytes;
        young.kept.insert(head, left);
    }

    /// The session has moved on from this run.
    pub(crate) fn forget(&self, head: RunId) {
        for generation in &mut *self.0.lock() {
            generation.take(head);
        }
    }
}

impl Generation {
    fn take(&mut self, head: RunId) -> Option<Left> {
        let left = self.kept.remove(&head)?;
        self.bytes -= weight(&left.0);
        Some(left)
    }
}

/// About the bytes that a carry keeps in memory.
fn weight(carry: &Carry) -> usize {
    let text = |p: &Payload| match &p.body {
        Body::Inline(text) => text.len(),
        Body::Blob { preview, .. } => preview.as_ref().map_or(0, bytes::Bytes::len),
        Body::Erased { .. } => 0,
    };
    let conversation: usize = carry.transcript.iter().map(|e| ENTRY + text(&e.payload)).sum();
    conversation + ENTRY * (1 + carry.unknown.len() + carry.keys.len())
}

#[cfg(test)]
mod tests {
    use stead_core::{
        record::Source,
        run::{Entry, EntryKind, Transcript},
    };

    use super::*;

    fn left(bytes: usize) -> Left {
        let mut transcript = Transcript::default();
        transcript.push(Entry {
            kind: EntryKind::User,
            payload: Payload::inline(vec![b'x'; bytes], Source::User),
            label: None,
        });
        (Carry { transcript, ..Carry::default() }, 7)
    }

    fn held(carries: &Carries) -> (usize, usize) {
        let both = carries.0.lock();
        let actual: usize = both.iter().flat_map(|g| g.kept.values()).map(|l| weight(&l.0)).sum();
        assert_eq!(both.iter().map(|g| g.bytes).sum::<usize>(), actual);
        (both.iter().map(|g| g.kept.len()).sum(), actual)
    }

    #[test]
    fn what_is_remembered_is_bounded_in_number_and_in_bytes_and_what_is_in_use_stays() {
        let carries = Carries::default();
        carries.put(RunId(1), left(10));
        for n in 2..5_000 {
            carries.put(RunId(n), left(1_000 * (n as usize % 50)));
            assert_eq!(carries.get(RunId(1)), Some(left(10)), "{n}");
            let (count, bytes) = held(&carries);
            assert!(count <= 2 * MOST && bytes <= 2 * MOST_BYTES, "{count} {bytes}");
        }
        assert_eq!(carries.get(RunId(2)), None);
        carries.forget(RunId(1));
        assert_eq!(carries.get(RunId(1)), None);
        carries.put(RunId(9), left(MOST_BYTES));
        assert_eq!(carries.get(RunId(9)), None);
    }
}
