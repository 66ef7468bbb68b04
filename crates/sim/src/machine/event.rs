//! What can happen next in a history, in order of time.

use std::{cmp::Ordering, collections::BinaryHeap};

use stead_core::{
    effect::{Outcome, Reconciled},
    fact::Precondition,
    id::{EffectId, LeafHash, RunId},
    record::Payload,
    run::{Command, Debt},
    time::Timestamp,
};

use super::store::{Append, Refused};
use crate::{plan::Disturbance, world::Request};

/// Something begun that pays a debt: the debt, and for an effect its attempt.
pub(super) type Begun = (Debt, u8);

/// How an append came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ack {
    Durable,
    Refused(Refused),
    /// The disk is full; nothing was written.
    Unavailable,
    /// Nobody knows.
    Unknown,
}

#[derive(Debug)]
pub(super) enum Event {
    /// A client starts its run, until it exists.
    Start(usize),
    /// An append reaches the store; without a node, nobody waits for the result.
    Arrive {
        node: Option<usize>,
        append: Box<Append>,
    },
    Ack {
        node: usize,
        run: RunId,
        ack: Ack,
        leaf: LeafHash,
    },
    /// A node reads the tail of a run after an unknown append.
    ReadTail {
        node: usize,
        run: RunId,
    },
    /// A node sends the append of a run again.
    Transmit {
        node: usize,
        run: RunId,
    },
    /// A node pays what a run is owed.
    Pay {
        node: usize,
        run: RunId,
    },
    /// A run's wait may be over.
    Wake {
        node: usize,
        run: RunId,
        target: Timestamp,
    },
    /// The model's answer, or the engine's time-out of it.
    Model {
        node: usize,
        run: RunId,
        command: Box<Command>,
        clears: Begun,
    },
    /// A request reaches its destination.
    Request {
        node: usize,
        request: Box<Request>,
    },
    /// A destination's answer reaches the process that asked, or the one that took over.
    Answer {
        node: usize,
        id: EffectId,
        attempt: u8,
        outcome: Box<Outcome<Payload>>,
    },
    /// The engine has waited long enough for an answer.
    Timeout {
        node: usize,
        id: EffectId,
        attempt: u8,
    },
    /// A question reaches the destination.
    Ask {
        node: usize,
        id: EffectId,
        asked: Timestamp,
    },
    AskBack {
        node: usize,
        id: EffectId,
        asked: Timestamp,
        answer: Box<Reconciled<Payload>>,
    },
    /// What a look at an effect found reaches the process that looked.
    Looked {
        node: usize,
        id: EffectId,
        found: Result<(Payload, Option<Precondition>), Payload>,
    },
    /// There may be something in a run's inbox.
    Inbox(RunId),
    /// A human looks at an approval.
    Human {
        id: EffectId,
        force: bool,
    },
    Disturb(Disturbance),
    /// An operator lets a restored run go on.
    Resume(RunId),
    /// A new process takes over after a crash.
    Restart,
    /// Faults are over: whoever waits for a person gets an answer.
    Calm,
}

struct Item {
    at: u64,
    n: u64,
    event: Event,
}
impl PartialEq for Item {
    fn eq(&self, o: &Self) -> bool {
        self.n == o.n
    }
}
impl Eq for Item {}
impl PartialOrd for Item {
    fn partial_cmp(&self, o: &Self) -> Option<Ordering> {
        Some(self.cmp(o))
    }
}
impl Ord for Item {
    // The heap gives its greatest first.
    fn cmp(&self, o: &Self) -> Ordering {
        (o.at, o.n).cmp(&(self.at, self.n))
    }
}

/// Events in order of time; equal times in the order in which they were added.
#[derive(Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Item>,
    next: u64,
}

impl Agenda {
    pub(super) fn add(&mut self, at: u64, event: Event) {
        self.heap.push(Item { at, n: self.next, event });
        self.next += 1;
    }

    pub(super) fn take(&mut self) -> Option<(u64, Event)> {
        self.heap.pop().map(|i| (i.at, i.event))
    }
}
