//! What is asked of humans, and what they say. What becomes of it is a decision, and a fact of its own.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::PayloadIx;
use crate::{budget::Raise, id::Name, ruling::Asked, time::Timestamp};

/// Why a human is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum AskReason {
    /// The manifest says `ask: true`.
    #[n(0)]
    Manifest,
    /// An equal call has an unknown outcome.
    #[n(1)]
    EqualUnknown,
    /// Its own outcome is unknown and the manifest says `on_unknown: ask`.
    #[n(2)]
    OutcomeUnknown,
    /// The run was restored from a backup, and may have done this after the backup was taken.
    #[n(3)]
    Restored,
    /// Gates of policies ask for it.
    #[n(4)]
    Policy,
    /// A limit is reached: may it be raised for this run?
    #[n(6)]
    Budget,
}

/// See [`Fact::ApprovalRequested`](super::Fact::ApprovalRequested).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct ApprovalRequested {
    /// Ordinal of the effect.
    #[n(0)]
    pub effect: u32,
    /// Why.
    #[n(1)]
    pub reason: AskReason,
    /// When it expires.
    #[n(2)]
    pub expires: Option<Timestamp>,
    /// What gates ask for beside; absent when one yes of anybody who may approve is enough.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Box<Asked>>,
    /// The limit that is reached, with [`AskReason::Budget`] alone. The question then has an ordinal of its own.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raise: Option<Box<Raise>>,
}

/// See [`Fact::ApprovalGiven`](super::Fact::ApprovalGiven).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct ApprovalGiven {
    /// Ordinal of the effect.
    #[n(0)]
    pub effect: u32,
    /// Approved, or denied.
    #[n(1)]
    pub approved: bool,
    /// Who.
    #[n(2)]
    pub by: Name,
    /// What the model reads when it is a denial; else what the approver said. As payload.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<PayloadIx>,
    /// Their roles.
    #[n(4)]
    #[cbor(with = "crate::list", has_nil)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Name>,
    /// Nothing could weigh it when it was given: it is weighed as soon as something can.
    #[n(5)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub later: Option<bool>,
}
