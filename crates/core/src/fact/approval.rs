//! What is asked of humans, and what they say. What becomes of it is a decision, and a fact of its own.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::PayloadIx;
use crate::{
    budget::Raise,
    id::Name,
    ruling::{Asked, Nonce, Signed},
    time::Timestamp,
};

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
    /// The time is over in which the run may work on a person's behalf: may it go on?
    #[n(8)]
    Delegation,
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
    /// What signed answers bind beside this fact; absent where nobody signs.
    #[n(5)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing: Option<Box<Signing>>,
}

/// See [`ApprovalRequested::signing`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Signing {
    /// Random: whoever has only the hash of an action cannot guess the action.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub salt: [u8; 16],
    /// The policy set that asked.
    #[n(1)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// SHA-256 of the document that says which policies matched and who said each argument.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<[u8; 32]>,
}

/// See [`Fact::ApprovalsUsed`](super::Fact::ApprovalsUsed).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct ApprovalsUsed {
    /// Ordinal of the effect.
    #[n(0)]
    pub effect: u32,
    /// The nonces of the signed answers that let it go.
    #[n(1)]
    pub nonces: Vec<Nonce>,
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
    /// The signature, when it was signed.
    #[n(6)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<Box<Signed>>,
}

/// See [`Fact::ApprovalReminded`](super::Fact::ApprovalReminded).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct ApprovalReminded {
    /// Ordinal of the effect.
    #[n(0)]
    pub effect: u32,
    /// Which reminder of this question it is, from 1.
    #[n(1)]
    pub reminder: u32,
}

/// See [`Fact::ApprovalEscalated`](super::Fact::ApprovalEscalated).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct ApprovalEscalated {
    /// Ordinal of the effect.
    #[n(0)]
    pub effect: u32,
    /// The gate whose question it is: its policy.
    #[n(1)]
    pub policy: Name,
    /// Who may answer it too from here on: a role, or a person as `user:NAME`.
    #[n(2)]
    pub to: Name,
}
