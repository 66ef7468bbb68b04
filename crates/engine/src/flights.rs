//! What an actor has under way: a few futures, found by what they pay. Few enough to poll one after the other.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use stead_core::{
    effect::{Outcome, Reconciled},
    id::RunId,
    message::Reply,
    time::Timestamp,
};
use stead_ports::{BoxFuture, model::ModelError, tool::Output};

use crate::types::EngineError;

/// Which debt a flight pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Model {
        turn: u32,
        attempt: u32,
    },
    Effect(u32),
    Reconcile(u32),
    StartChild(u32),
    StopChild(u32),
    /// An effect settled as unknown whose answer may still come.
    Late(u32),
}

/// What a flight comes back with.
pub(crate) enum Done {
    Model {
        turn: u32,
        attempt: u32,
        result: Result<Reply, ModelError>,
    },
    Effect {
        effect: u32,
        attempt: u8,
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
        result: Result<(), EngineError>,
    },
    /// A late answer did not come.
    Nothing,
}

/// The flights of one actor.
#[derive(Default)]
pub(crate) struct Flights(Vec<(Key, BoxFuture<'static, Done>)>);

impl Flights {
    pub(crate) fn push(&mut self, key: Key, flight: BoxFuture<'static, Done>) {
        self.0.push((key, flight));
    }

    pub(crate) fn has(&self, key: Key) -> bool {
        self.0.iter().any(|(k, _)| *k == key)
    }

    pub(crate) fn any(&self, test: impl Fn(Key) -> bool) -> bool {
        self.0.iter().any(|(k, _)| test(*k))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Abandons every flight that does not pass.
    pub(crate) fn retain(&mut self, keep: impl Fn(Key) -> bool) {
        self.0.retain(|(k, _)| keep(*k));
    }

    /// Abandons the oldest of those that pass while there are more than `most`.
    pub(crate) fn keep_newest(&mut self, most: usize, test: impl Fn(Key) -> bool) {
        let mut surplus = self.0.iter().filter(|(k, _)| test(*k)).count().saturating_sub(most);
        self.0.retain(|(k, _)| {
            let gives_way = surplus > 0 && test(*k);
            surplus -= usize::from(gives_way);
            !gives_way
        });
    }

    /// The next flight that comes back; pending for ever when there is none.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(Key, Done)> {
        for i in 0..self.0.len() {
            if let Poll::Ready(done) = Pin::new(&mut self.0[i].1).poll(cx) {
                let (key, _) = self.0.remove(i);
                return Poll::Ready((key, done));
            }
        }
        Poll::Pending
    }
}
