//! The notices port: which open questions a destination is owed a notice of, and who sends it. A notice is derived from the index of
//! open questions, so none is lost with a process; it is taken by compare-and-set, so that of several servers one sends it.
//!
//! Not here: what a notice says, where it goes, and how often it is tried.

use async_trait::async_trait;
use stead_core::{
    id::{EffectId, Name},
    time::Timestamp,
};

use crate::journal::StoreError;

/// A question of which a destination is owed a notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// The effect that it is about.
    pub effect: EffectId,
    /// When it was asked.
    pub asked: Timestamp,
    /// What there is to tell: 0 that it was asked; each reminder and each step of escalation adds one.
    pub round: u32,
    /// Its tenant; empty of one that is closed.
    pub tenant: Name,
    /// Whether the destination was sent anything of it.
    pub told: bool,
    /// Whether nobody is asked any more.
    pub closed: bool,
}

/// How far notices have gone out.
#[async_trait]
pub trait NoticeStore: Send + Sync + 'static {
    /// What a destination is owed now: open questions with something untold, the one asked first first, then those that are closed and
    /// of which it has a row. What somebody has taken is not among it until their time is over.
    async fn owed(&self, dest: &Name, now: Timestamp, limit: u32) -> Result<Vec<Owed>, StoreError>;

    /// Takes one until a time: which attempt it is, from 1; `None` when somebody else has it, or nothing is owed of it any more.
    async fn take(&self, dest: &Name, owed: &Owed, now: Timestamp, until: Timestamp)
    -> Result<Option<u32>, StoreError>;

    /// Notes that all up to its round is told, or needs not be, and whether something was sent. What is closed is forgotten.
    async fn told(&self, dest: &Name, owed: &Owed, sent: bool, now: Timestamp) -> Result<(), StoreError>;

    /// Gives one back that could not be sent, to be tried not before a time.
    async fn again(&self, dest: &Name, owed: &Owed, at: Timestamp) -> Result<(), StoreError>;

    /// Forgets what is closed and nobody has asked about since a time: rows of destinations that are gone.
    async fn forget(&self, before: Timestamp) -> Result<(), StoreError>;
}
