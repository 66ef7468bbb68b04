//! Before people are asked about an action they may be told what it would do: a look that changes nothing, and what came of it.

use std::fmt;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{AskReason, PayloadIx, Verdict};
use crate::{
    id::Name,
    ruling::{Asked, Rewritten, Ruled},
    sandbox::Action,
    time::Span,
};

/// See [`Fact::PreviewDecided`](super::Fact::PreviewDecided).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct PreviewDecided {
    /// Ordinal of the effect that people are to be asked about.
    #[n(0)]
    pub effect: u32,
    /// The tool that looks.
    #[n(1)]
    pub tool: Name,
    /// Whether it may: `allow`, or `deny`.
    #[n(2)]
    pub verdict: Verdict,
    /// Why there is none, when it may not, as payload.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<PayloadIx>,
    /// The policies behind it; absent where none were asked.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruled: Option<Box<Ruled>>,
    /// The arguments of the look; absent where it may not be.
    #[n(5)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Box<Rewritten>>,
    /// The question that waits for it; absent where it may not be, and the question follows at once.
    #[n(6)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Box<Waiting>>,
}

/// A question that is asked as soon as it is known what the action would do.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Waiting {
    /// Why people are asked.
    #[n(0)]
    pub reason: AskReason,
    /// What gates ask for.
    #[n(1)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Box<Asked>>,
    /// The time that there is for an answer, from the moment of the question.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Span>,
    /// SHA-256 of the document that says why.
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<[u8; 32]>,
    /// The policy set that asks.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// See [`Fact::Previewed`](super::Fact::Previewed).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Previewed {
    /// Ordinal of the effect.
    #[n(0)]
    pub effect: u32,
    /// What was found, or why nothing was, as payload. No model reads it.
    #[n(1)]
    pub payload: PayloadIx,
    /// Whether nothing was found.
    #[n(2)]
    pub failed: bool,
    /// What must still hold when the action is done; absent when what was found binds nothing.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precondition: Option<Precondition>,
    /// The box that it ran in, when there was one. A look writes no workspace.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Box<Action>>,
}

/// What must hold when an action is done. Whoever does it sees to that in one with doing it: what no longer holds is refused, and then
/// nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precondition {
    /// The resource has this strong entity tag, with its quotes (RFC 9110, section 8.8.3): sent as `If-Match`.
    #[n(0)]
    Etag(#[n(0)] Name),
    /// The statement changes exactly so many rows, compared in its transaction.
    #[n(1)]
    Rows(#[n(0)] u64),
}

impl fmt::Display for Precondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Etag(tag) => write!(f, "the entity tag is still {tag}"),
            Self::Rows(1) => write!(f, "exactly 1 row is changed"),
            Self::Rows(rows) => write!(f, "exactly {rows} rows are changed"),
        }
    }
}
