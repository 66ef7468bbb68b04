//! What a tool promises about repetition, and what an attempt to use it can come to.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// How an effect behaves when it may have happened already. Declared per tool in the manifest; a tool that
/// declares nothing counts as [`EffectClass::Irreversible`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum EffectClass {
    /// Reads only; may run any number of times.
    #[n(0)]
    Pure,
    /// Runs in a box without egress or secrets: throw the box away and run again.
    #[n(1)]
    Contained,
    /// The destination deduplicates by an idempotency key.
    #[n(2)]
    Keyed,
    /// The destination can be asked whether it happened.
    #[n(3)]
    Reconcilable,
    /// Cannot be repeated, but has a compensation that *undo* can run.
    #[n(4)]
    Compensable,
    /// Cannot be repeated and cannot be taken back.
    #[n(5)]
    Irreversible,
}

/// How bad a mistake is. Declared per tool in the manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// As any call.
    #[default]
    Normal,
    /// Worth a look.
    High,
    /// Never without thought: a wire transfer, a change of a schema.
    Critical,
}

impl Risk {
    /// The word for it, as manifests and policies have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What to do with an effect whose intent is durable and whose outcome is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Run it again.
    Repeat,
    /// Run it again under the key it had.
    RepeatSameKey,
    /// Ask the destination first.
    Reconcile,
    /// Never repeat; tell the model, or let a human decide.
    Surface,
}

impl EffectClass {
    /// What follows when an intent of this class has no outcome after a crash.
    pub const fn recovery(self) -> Recovery {
        match self {
            Self::Pure | Self::Contained => Recovery::Repeat,
            Self::Keyed => Recovery::RepeatSameKey,
            Self::Reconcilable => Recovery::Reconcile,
            Self::Compensable | Self::Irreversible => Recovery::Surface,
        }
    }

    /// Whether an intent must be durable before the effect may be dispatched. A pure effect needs none.
    pub const fn needs_intent(self) -> bool {
        !matches!(self, Self::Pure)
    }
}

/// What one attempt at an effect came to, as its tool reports it.
///
/// The tool must be honest about *what may have left*: an HTTP 500 after bytes were sent is
/// [`Outcome::Unknown`], not a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<P> {
    /// Certainly nothing was sent; may be tried again whatever the class.
    NotSent(P),
    /// It happened; the payload is the result.
    Returned(P),
    /// The destination answered that it did not and will not do it; the payload is its error.
    Refused(P),
    /// It may or may not have happened.
    Unknown(P),
}

/// What a reconcile query learnt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reconciled<P> {
    /// It happened; the payload is the result.
    Happened(P),
    /// The destination knows nothing of it. Counts only after the declared settle time.
    Absent,
    /// The query itself failed.
    StillUnknown,
}

/// What to do when an effect that must not be repeated has an unknown outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum OnUnknown {
    /// Tell the model that the outcome is unknown.
    #[default]
    #[n(0)]
    Tell,
    /// Ask a human: approve means "it did not happen, do it now", deny means "leave it".
    #[n(1)]
    Ask,
}

/// How a settled effect ended; the last word of the ledger about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Ended {
    /// It happened.
    #[n(0)]
    Returned,
    /// It certainly did not happen: the destination refused it.
    #[n(1)]
    Refused,
    /// It certainly did not happen: it was never sent, and retries are used up.
    #[n(2)]
    NotSent,
    /// Nobody knows.
    #[n(3)]
    Unknown,
    /// Withdrawn before it was dispatched.
    #[n(4)]
    Withdrawn,
    /// A human, a policy or the validator of its arguments said no.
    #[n(5)]
    Denied,
}
