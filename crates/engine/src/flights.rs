//! What an actor has under way: a few futures, found by what they pay. Few enough to poll one after the other.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use stead_core::{
    effect::{Outcome, Reconciled},
    fact::StopMode,
    id::RunId,
    message::Reply,
    time::Timestamp,
};
use stead_ports::{BoxFuture, model::ModelError, tool::Output};

use crate::{providers::Deferred, types::EngineError};

/// Which debt a flight pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Model {
        turn: u32,
        attempt: u32,
    },
    Effect(u32),
    /// A look at what an effect would do.
    Look(u32),
    Reconcile(u32),
    StartChild(u32),
    StopChild(u32),
    /// An effect settled as unknown whose answer may still come.
    Late(u32),
    /// A pause before the inbox is read again.
    Inbox,
    /// A pause before policies are asked for again that could not be had.
    Policies,
}

impl Key {
    /// Whether it pays no debt, so that none need be owed for it to go on.
    pub(crate) const fn is_no_debt(self) -> bool {
        matches!(self, Self::StartChild(_) | Self::Late(_) | Self::Inbox | Self::Policies)
    }
}

/// What a flight comes back with.
pub(crate) enum Done {
    Model {
        turn: u32,
        attempt: u32,
        result: Result<Reply, ModelError>,
    },
    /// The provider takes no more now; nothing was sent.
    ModelDeferred {
        turn: u32,
        attempt: u32,
        deferred: Deferred,
    },
    Effect {
        effect: u32,
        attempt: u8,
        outcome: Outcome<Output>,
    },
    Looked {
        effect: u32,
        outcome: Outcome<Output>,
    },
    /// The time is over, but the answer may still come.
    TimedOut {
        effect: u32,
        attempt: u8,
        rest: BoxFuture<'static, Outcome<Output>>,
    },
    Reconciled {
        effect: u32,
        /// When the question was sent.
        asked: Timestamp,
        answer: Reconciled<Output>,
    },
    ChildStarted {
        effect: u32,
        result: Result<RunId, EngineError>,
    },
    ChildStopped {
        effect: u32,
        mode: StopMode,
        result: Result<(), EngineError>,
    },
    /// It is time to read the inbox.
    Inbox,
    /// It is time to ask for policies again.
    Policies,
    /// A late answer did not come; a pause is over.
    Nothing,
}

/// Whether a flight has left: until then it only waits for its turn, and may be given up as if it had never been.
#[derive(Clone, Default)]
pub(crate) struct Sent(Arc<AtomicBool>);

impl Sent {
    /// From now on it may have touched the world. Set and read by the run's own task alone.
    pub(crate) fn now(&self) {
        self.0.store(true, Relaxed);
    }

    fn is(&self) -> bool {
        self.0.load(Relaxed)
    }
}

struct Flight {
    key: Key,
    sent: Sent,
    work: BoxFuture<'static, Done>,
}

/// The flights of one actor.
#[derive(Default)]
pub(crate) struct Flights(Vec<Flight>);

impl Flights {
    /// Adds one that counts as sent.
    pub(crate) fn push(&mut self, key: Key, work: BoxFuture<'static, Done>) {
        let sent = Sent::default();
        sent.now();
        self.push_waiting(key, sent, work);
    }

    /// Adds one that says itself when it is sent.
    pub(crate) fn push_waiting(&mut self, key: Key, sent: Sent, work: BoxFuture<'static, Done>) {
        self.0.push(Flight { key, sent, work });
    }

    /// The effects that have been sent and have not come back.
    pub(crate) fn sent_effects(&self) -> Vec<u32> {
        let effect = |f: &Flight| match f.key {
            Key::Effect(effect) if f.sent.is() => Some(effect),
            _ => None,
        };
        self.0.iter().filter_map(effect).collect()
    }

    /// Gives up every flight that has not been sent.
    pub(crate) fn drop_unsent(&mut self) {
        self.0.retain(|f| f.sent.is());
    }

    pub(crate) fn has(&self, key: Key) -> bool {
        self.0.iter().any(|f| f.key == key)
    }

    /// Whether that flight has left.
    pub(crate) fn has_sent(&self, key: Key) -> bool {
        self.0.iter().any(|f| f.key == key && f.sent.is())
    }

    pub(crate) fn any(&self, test: impl Fn(Key) -> bool) -> bool {
        self.0.iter().any(|f| test(f.key))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Abandons every flight that does not pass.
    pub(crate) fn retain(&mut self, keep: impl Fn(Key) -> bool) {
        self.0.retain(|f| keep(f.key));
    }

    /// Abandons the oldest of those that pass while there are more than `most`.
    pub(crate) fn keep_newest(&mut self, most: usize, test: impl Fn(Key) -> bool) {
        let mut surplus = self.0.iter().filter(|f| test(f.key)).count().saturating_sub(most);
        self.0.retain(|f| {
            let gives_way = surplus > 0 && test(f.key);
            surplus -= usize::from(gives_way);
            !gives_way
        });
    }

    /// The next flight that comes back; pending for ever when there is none.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(Key, Done)> {
        for i in 0..self.0.len() {
            if let Poll::Ready(done) = Pin::new(&mut self.0[i].work).poll(cx) {
                return Poll::Ready((self.0.remove(i).key, done));
            }
        }
        Poll::Pending
    }
}
