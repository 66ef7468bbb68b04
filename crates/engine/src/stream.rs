//! Followers of runs: facts once they are durable, pieces of replies as they are written.
//!
//! Each run with something to follow has a room: its followers, and the pieces of the attempt under way, so that a
//! follower that reconnects goes on where it was. A follower that cannot keep up is dropped; it comes back by itself
//! through the journal (see [`crate::watch`]). Nobody in the room costs the actor one atomic load.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use parking_lot::Mutex;
use stead_core::id::RunId;
use stead_ports::model::Delta;
use tokio::sync::mpsc;

use crate::types::{Event, EventBody, EventId, FactEvent};

/// All rooms of an engine.
pub(crate) struct Rooms {
    rooms: Mutex<HashMap<RunId, Room>>,
    /// How many rooms there are, so that the usual case needs no lock. In one order with the journal: a follower enters
    /// and then reads, an actor appends and then looks here.
    open: AtomicUsize,
    /// Pieces kept per run, and events waiting per follower.
    buffer: usize,
}

#[derive(Default)]
struct Room {
    followers: Vec<mpsc::Sender<Event>>,
    /// Pieces of the attempt under way.
    pieces: Vec<Event>,
    /// Pieces of the attempt so far, kept or not. The first has index 1; 0 is the reset's.
    count: u32,
}

impl Room {
    fn clear(&mut self) {
        self.pieces.clear();
        self.count = 0;
    }
}

impl Rooms {
    pub(crate) fn new(buffer: usize) -> Self {
        Self { rooms: Mutex::default(), open: AtomicUsize::new(0), buffer: buffer.max(16) }
    }

    /// Follows a run from now on. Also gives the pieces of the attempt under way.
    pub(crate) fn enter(&self, run: RunId) -> (mpsc::Receiver<Event>, Vec<Event>) {
        let (tx, rx) = mpsc::channel(self.buffer);
        let mut rooms = self.rooms.lock();
        let room = rooms.entry(run).or_default();
        room.followers.push(tx);
        // With pieces missing a follower could not tell what it lost: it gets none, and the facts later.
        let pieces = if room.count as usize > room.pieces.len() { Vec::new() } else { room.pieces.clone() };
        self.open.store(rooms.len(), SeqCst);
        (rx, pieces)
    }

    /// Whether all rooms are closed.
    pub(crate) fn nobody(&self) -> bool {
        self.open.load(SeqCst) == 0
    }

    /// Whether anyone follows this run: only then are events of its facts made at all.
    pub(crate) fn followed(&self, run: RunId) -> bool {
        self.rooms.lock().get(&run).is_some_and(|r| !r.followers.is_empty())
    }

    /// A piece of the reply being written.
    pub(crate) fn piece(&self, run: RunId, seq: u64, attempt: u32, delta: Delta) {
        let mut rooms = self.rooms.lock();
        let room = rooms.entry(run).or_default();
        room.count = room.count.saturating_add(1);
        let event = Event { id: EventId { seq, attempt, index: room.count }, body: EventBody::Delta(delta) };
        if room.pieces.len() < self.buffer {
            room.pieces.push(event.clone());
        }
        send(room, &event);
        self.open.store(rooms.len(), SeqCst);
    }

    /// A new attempt begins: what was seen of the one before does not count.
    pub(crate) fn reset(&self, run: RunId, seq: u64, attempt: u32) {
        if self.nobody() {
            return;
        }
        if let Some(room) = self.rooms.lock().get_mut(&run) {
            room.clear();
            send(room, &Event { id: EventId { seq, attempt, index: 0 }, body: EventBody::Reset });
        }
    }

    /// Facts became durable. With the last one of a run the room closes.
    pub(crate) fn facts(&self, run: RunId, facts: Vec<FactEvent>, ended: bool) {
        let mut rooms = self.rooms.lock();
        let Some(room) = rooms.get_mut(&run) else { return };
        room.clear();
        for fact in facts {
            let id = EventId { seq: fact.seq, attempt: 0, index: fact.index };
            send(room, &Event { id, body: EventBody::Fact(Arc::new(fact)) });
        }
        if ended || room.followers.is_empty() {
            rooms.remove(&run);
        }
        self.open.store(rooms.len(), SeqCst);
    }

    /// A follower leaves: a room with nobody in it and nothing to keep closes.
    pub(crate) fn leave(&self, run: RunId) {
        self.tidy(run, |_| {});
    }

    /// The run leaves memory: whatever was being written is given up.
    pub(crate) fn unloaded(&self, run: RunId) {
        self.tidy(run, Room::clear);
    }

    /// Lets the followers of a run go; they come back by themselves.
    pub(crate) fn dismiss(&self, run: RunId) {
        self.tidy(run, |room| {
            room.clear();
            room.followers.clear();
        });
    }

    fn tidy(&self, run: RunId, change: impl FnOnce(&mut Room)) {
        if self.nobody() {
            return;
        }
        let mut rooms = self.rooms.lock();
        if let Some(room) = rooms.get_mut(&run) {
            change(room);
            room.followers.retain(|f| !f.is_closed());
            if room.followers.is_empty() && room.pieces.is_empty() {
                rooms.remove(&run);
            }
        }
        self.open.store(rooms.len(), SeqCst);
    }

    /// The engine stops: all followers are let go.
    pub(crate) fn close(&self) {
        let mut rooms = self.rooms.lock();
        rooms.clear();
        self.open.store(0, SeqCst);
    }
}

fn send(room: &mut Room, event: &Event) {
    // A follower whose queue is full is dropped; it notices, and comes back through the journal.
    room.followers.retain(|f| f.try_send(event.clone()).is_ok());
}
