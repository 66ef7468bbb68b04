//! How a run ends, or is taken up again: stops, ends, timers, restores.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::PayloadIx;
use crate::{
    budget::{Blocked, Limit},
    code::Code,
    time::Timestamp,
};

/// How hard a run is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum StopMode {
    /// Effects under way may finish.
    #[n(0)]
    Cancel,
    /// Effects under way are abandoned; their outcome is unknown.
    #[n(1)]
    Kill,
}

/// See [`Fact::CancelRequested`](super::Fact::CancelRequested).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct CancelRequested {
    /// How hard.
    #[n(0)]
    pub mode: StopMode,
    /// The limit that stopped the run, when no person did; the run then ends as failed.
    #[n(1)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// The budget above the run that sets the limit, when it is not the run's own.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Box<Blocked>>,
}

/// See [`Fact::RunCompleted`](super::Fact::RunCompleted).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct RunCompleted {
    /// Turns taken.
    #[n(0)]
    pub turns: u32,
}

/// See [`Fact::RunFailed`](super::Fact::RunFailed).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct RunFailed {
    /// Why.
    #[n(0)]
    pub code: Code,
    /// In words, as payload.
    #[n(1)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<PayloadIx>,
}

/// See [`Fact::TimerFired`](super::Fact::TimerFired).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct TimerFired {
    /// The effect whose retry is due; `None` when nothing is due and a new activation notes that it is at work.
    #[n(0)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<u32>,
}

/// See [`Fact::Restored`](super::Fact::Restored).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Restored {
    /// Which restore it was: the store's generation from then on.
    #[n(0)]
    pub generation: u32,
    /// When the backup was taken; nothing that it lacks happened before.
    #[n(1)]
    pub taken: Timestamp,
}
