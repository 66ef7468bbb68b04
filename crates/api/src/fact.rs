//! Facts as lists, streams and exports show them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::{fact::Fact, id::LeafHash, record::Actor, time::Timestamp};

use crate::schema;

/// A fact with its place and text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FactEvent {
    /// Position of its record in the run, from 0.
    pub seq: u64,
    /// Position within the record.
    pub index: u32,
    /// When it happened.
    #[schemars(with = "schema::Timestamp")]
    pub at: Timestamp,
    /// Who caused it.
    #[schemars(with = "schema::Actor")]
    pub actor: Actor,
    /// Leaf hash of the record.
    #[schemars(with = "schema::LeafHash")]
    pub leaf: LeafHash,
    /// The fact.
    #[schemars(with = "schema::Fact")]
    pub fact: AnyFact,
    /// The text that it points to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Of a decision, the policies that matched with the values that made them match, where that says more than their names:
    /// `permitted`, `forbade`, `gated`, `transformed` and `erred`, each a list of `{policy, said, values, error}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<serde_json::Value>,
}

/// A fact of this release, or of a later one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AnyFact {
    /// A kind that this release knows.
    Known(Fact),
    /// A kind that it does not.
    Other(serde_json::Value),
}

impl AnyFact {
    /// The word for its kind; empty if the other side forgot it.
    pub fn kind(&self) -> &str {
        match self {
            Self::Known(fact) => kind(fact),
            Self::Other(value) => value.get("kind").and_then(serde_json::Value::as_str).unwrap_or_default(),
        }
    }
}

macro_rules! kinds {
    ($($variant:ident => $word:literal,)*) => {
        /// Every kind of this release, in the order of the journal's numbers.
        pub const KINDS: &[&str] = &[$($word),*];

        /// The word for a fact's kind, as `kind` says it in JSON.
        pub fn kind(fact: &Fact) -> &'static str {
            match fact {
                $(Fact::$variant { .. } => $word,)*
            }
        }
    };
}

kinds! {
    RunStarted => "run_started",
    RunAdmitted => "run_admitted",
    ContextCompacted => "context_compacted",
    ModelRequested => "model_requested",
    ModelReplied => "model_replied",
    ModelFailed => "model_failed",
    EffectDecided => "effect_decided",
    ApprovalRequested => "approval_requested",
    ApprovalGiven => "approval_given",
    ApprovalExpired => "approval_expired",
    EffectIntended => "effect_intended",
    EffectReturned => "effect_returned",
    EffectRefused => "effect_refused",
    EffectNotSent => "effect_not_sent",
    EffectUnknown => "effect_unknown",
    EffectReconciled => "effect_reconciled",
    EffectWithdrawn => "effect_withdrawn",
    ChildStarted => "child_started",
    ChildFinished => "child_finished",
    Paused => "paused",
    Resumed => "resumed",
    CancelRequested => "cancel_requested",
    RunCompleted => "run_completed",
    RunFailed => "run_failed",
    RunCancelled => "run_cancelled",
    TimerFired => "timer_fired",
    Restored => "restored",
    AnswerRejected => "answer_rejected",
    ModelDenied => "model_denied",
    SandboxLimited => "sandbox_limited",
    BudgetMoved => "budget_moved",
    PlanDrawn => "plan_drawn",
    PlanRejected => "plan_rejected",
    HistoryRead => "history_read",
    ApprovalsUsed => "approvals_used",
    PreviewDecided => "preview_decided",
    Previewed => "previewed",
    ApprovalReminded => "approval_reminded",
    ApprovalEscalated => "approval_escalated",
    DelegationRenewed => "delegation_renewed",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_of_a_later_release_is_kept_and_named() {
        let event = r#"{"kind": "memory_written", "scope": "semantic"}"#;
        let fact: AnyFact = serde_json::from_str(event).expect("reads");
        assert!(matches!(fact, AnyFact::Other(_)));
        assert_eq!(fact.kind(), "memory_written");
    }

    #[test]
    fn the_words_for_kinds_are_those_of_the_journal() {
        for fact in [Fact::Paused, Fact::RunCancelled] {
            let json = serde_json::to_value(&fact).expect("serialises");
            assert_eq!(json["kind"], kind(&fact));
            assert_eq!(serde_json::from_value::<AnyFact>(json).ok(), Some(AnyFact::Known(fact)));
        }
    }
}
