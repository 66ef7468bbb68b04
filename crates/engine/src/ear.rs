//! What an actor hears: its mailbox, and what has been taken out of it and is still to be done. While the store takes
//! nothing the actor can do nothing else; those who ask something of the run are then answered from here.

use std::{collections::VecDeque, pin::pin};

use stead_ports::journal::StoreError;
use tokio::sync::mpsc;

use crate::{
    actor::{Ask, Msg},
    types::EngineError,
};

/// See the module.
pub(crate) struct Ear {
    pub(crate) mailbox: mpsc::Receiver<Msg>,
    /// Taken out of the mailbox, and still to be heard.
    pub(crate) heard: VecDeque<Msg>,
}

impl Ear {
    pub(crate) fn new(mailbox: mpsc::Receiver<Msg>, first: Option<Msg>) -> Self {
        Self { mailbox, heard: first.into_iter().collect() }
    }

    /// Waits for some work, and meanwhile tells everyone who asks for something why nothing can be recorded now. What
    /// else comes in is kept, each kind once: to hear it twice says nothing more.
    pub(crate) async fn meanwhile<T>(&mut self, work: impl Future<Output = T>, trouble: &StoreError) -> T {
        let mut work = pin!(work);
        for msg in std::mem::take(&mut self.heard) {
            self.put_off(msg, trouble);
        }
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                msg = self.mailbox.recv() => match msg {
                    Some(msg) => self.put_off(msg, trouble),
                    None => return work.await,
                },
            }
        }
    }

    fn put_off(&mut self, msg: Msg, trouble: &StoreError) {
        match msg {
            Msg::Ask(ask, _, reply) => {
                let _ = reply.send(Err(ask.unrecorded(trouble.clone())));
            }
            other => {
                let same = |m: &Msg| std::mem::discriminant(m) == std::mem::discriminant(&other);
                if !self.heard.iter().any(same) {
                    self.heard.push_back(other);
                }
            }
        }
    }
}

impl Ask {
    /// What the caller is told when it could not be made durable.
    pub(crate) const fn unrecorded(&self, cause: StoreError) -> EngineError {
        let what = match self {
            Self::Stop(_) | Self::Heed => {
                "the stop is not acknowledged: it could not be recorded, and what the run does may go on"
            }
            Self::Pause => "the pause could not be recorded, and what the run does may go on",
            Self::Resume => "the resume could not be recorded, and what is paused stays so",
            Self::Limit(_) => "the limits could not be recorded, and those before hold",
            Self::Renew(_) => "the renewal could not be recorded, and the run asks when its time is over",
            Self::Approve { .. } => "the answer could not be recorded, and the question stays open",
        };
        EngineError::Unrecorded { what, cause }
    }
}
