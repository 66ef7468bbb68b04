//! The whole vocabulary of what can have happened to a run.
//!
//! Each variant and field has a number that is never reused and a meaning that never changes. Numbers 2, 35 to
//! 42, 44, 49 and 51 are kept for signals and messages, memory, compensation and version facts.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    budget::{Amounts, BudgetMoved, Limits, Spend, Usage},
    code::Code,
    effect::{EffectClass, Ended},
    grant::Grant,
    id::{ActivationId, Name, RunId, SessionId, VersionId},
    label::SealedLabel,
    ruling::{Behalf, CounterRead, PlanMark, Rewritten, Ruled},
    sandbox::{Action, BoxLimits, BoxTotals},
    time::Timestamp,
};

mod approval;
mod life;
mod names;
mod preview;

pub use approval::{
    ApprovalEscalated, ApprovalGiven, ApprovalReminded, ApprovalRequested, ApprovalsUsed, AskReason, Signing,
};

pub use life::{CancelRequested, Restored, RunCompleted, RunFailed, StopMode, TimerFired};
pub use names::{KINDS, kind_name};
pub use preview::{Precondition, PreviewDecided, Previewed, Waiting};

pub use crate::config::{CallRules, ModelConfig, RunConfig};

/// Index of a payload in the same record.
pub type PayloadIx = u16;

/// Something that happened and is durable.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fact {
    /// The run was accepted.
    #[n(0)]
    RunStarted(#[n(0)] Box<RunStarted>),
    /// The run became its session's foreground run and took over the session's conversation.
    #[n(1)]
    RunAdmitted(#[n(0)] RunAdmitted),
    /// Old tool results left the model's view; they stay in the journal.
    #[n(3)]
    ContextCompacted(#[n(0)] ContextCompacted),
    /// Budget was reserved and a model call is owed.
    #[n(4)]
    ModelRequested(#[n(0)] ModelRequested),
    /// The model's completed reply; budget settled; its calls have their ordinals.
    #[n(5)]
    ModelReplied(#[n(0)] ModelReplied),
    /// A model attempt came to nothing; budget settled.
    #[n(6)]
    ModelFailed(#[n(0)] ModelFailed),
    /// An effect was allowed, denied or put before a human.
    #[n(7)]
    EffectDecided(#[n(0)] EffectDecided),
    /// A human is asked.
    #[n(8)]
    ApprovalRequested(#[n(0)] ApprovalRequested),
    /// A human answered.
    #[n(9)]
    ApprovalGiven(#[n(0)] ApprovalGiven),
    /// Nobody answered in time.
    #[n(10)]
    ApprovalExpired(#[n(0)] EffectRef),
    /// The effect may be dispatched by this activation from now on.
    #[n(11)]
    EffectIntended(#[n(0)] EffectIntended),
    /// The effect happened.
    #[n(12)]
    EffectReturned(#[n(0)] EffectOutcome),
    /// The destination refused it.
    #[n(13)]
    EffectRefused(#[n(0)] EffectOutcome),
    /// Nothing was sent; `retry_at` says when it is tried again, if it is.
    #[n(14)]
    EffectNotSent(#[n(0)] EffectNotSent),
    /// Nobody knows whether it happened.
    #[n(15)]
    EffectUnknown(#[n(0)] EffectUnknown),
    /// The destination was asked about an unknown effect.
    #[n(16)]
    EffectReconciled(#[n(0)] EffectReconciled),
    /// The effect was withdrawn before it was dispatched.
    #[n(17)]
    EffectWithdrawn(#[n(0)] EffectRef),
    /// A child run exists; part of the budget is set aside for it.
    #[n(18)]
    ChildStarted(#[n(0)] ChildStarted),
    /// A child run ended; its spending is settled.
    #[n(19)]
    ChildFinished(#[n(0)] ChildFinished),
    /// No new effect or model call starts until `Resumed`.
    #[n(20)]
    Paused,
    /// Work goes on.
    #[n(21)]
    Resumed,
    /// The run is to stop; its dispatch gate is closed from here on.
    #[n(22)]
    CancelRequested(#[n(0)] CancelRequested),
    /// The run ended with an answer.
    #[n(23)]
    RunCompleted(#[n(0)] RunCompleted),
    /// The run ended without one.
    #[n(24)]
    RunFailed(#[n(0)] RunFailed),
    /// The run was stopped.
    #[n(25)]
    RunCancelled,
    /// A wait is over, or working time is noted.
    #[n(26)]
    TimerFired(#[n(0)] TimerFired),
    /// The run was taken out of a backup. What it did after the backup was taken is not in this journal, and may have
    /// happened.
    #[n(27)]
    Restored(#[n(0)] Restored),
    /// The model's final answer does not satisfy the output's JSON Schema: it is told so and asked again, or the run ends.
    #[n(28)]
    AnswerRejected(#[n(0)] AnswerRejected),
    /// Policies deny a model of the chain; the next one is asked, if there is one.
    #[n(29)]
    ModelDenied(#[n(0)] ModelDenied),
    /// An operator set other limits for the boxes of the run.
    #[n(30)]
    SandboxLimited(#[n(0)] BoxLimits),
    /// The run settled what it used of its slice of the budgets above it, gave the rest back, and took the next slice or none.
    #[n(31)]
    BudgetMoved(#[n(0)] Box<BudgetMoved>),
    /// The run's plan was drawn from its task, and is frozen.
    #[n(32)]
    PlanDrawn(#[n(0)] PlanDrawn),
    /// What the planner wrote is no plan: it is asked again, or the run goes on without one.
    #[n(33)]
    PlanRejected(#[n(0)] PlanRejected),
    /// What the counters of policies said to the decision whose fact follows in this record.
    #[n(34)]
    HistoryRead(#[n(0)] HistoryRead),
    /// Signed answers let this effect go, and count for nothing else: what begins by them is in the same record.
    #[n(43)]
    ApprovalsUsed(#[n(0)] ApprovalsUsed),
    /// Whether it is looked at what an effect would do, before people are asked about it.
    #[n(47)]
    PreviewDecided(#[n(0)] PreviewDecided),
    /// What came of the look. The question follows in the same record, and what was found may bind the effect.
    #[n(48)]
    Previewed(#[n(0)] Previewed),
    /// People are reminded of a question that nobody has answered yet.
    #[n(45)]
    ApprovalReminded(#[n(0)] ApprovalReminded),
    /// Nobody has answered for so long that others may answer too.
    #[n(46)]
    ApprovalEscalated(#[n(0)] ApprovalEscalated),
    /// The person on whose behalf the run works lets it go on.
    #[n(50)]
    DelegationRenewed(#[n(0)] DelegationRenewed),
}

impl Fact {
    /// What an action left behind, when this fact tells the outcome of one.
    pub fn action(&self) -> Option<&Action> {
        match self {
            Self::EffectReturned(f) | Self::EffectRefused(f) => f.action.as_deref(),
            Self::EffectUnknown(f) => f.action.as_deref(),
            Self::Previewed(f) => f.action.as_deref(),
            _ => None,
        }
    }

    /// Whether it says that a budget above the run has too little.
    pub fn is_blocked(&self) -> bool {
        match self {
            Self::CancelRequested(f) => f.blocked.is_some(),
            Self::ApprovalRequested(f) => f.raise.as_ref().is_some_and(|r| r.blocked.is_some()),
            _ => false,
        }
    }

    /// The policies behind it, when they were asked.
    pub fn ruled(&self) -> Option<&Ruled> {
        match self {
            Self::EffectDecided(f) => f.ruled.as_deref(),
            Self::ModelRequested(f) => f.ruled.as_deref(),
            Self::ModelDenied(f) => f.ruled.as_deref(),
            Self::PreviewDecided(f) => f.ruled.as_deref(),
            _ => None,
        }
    }

    /// The text this fact points to, when it has one.
    pub fn payload(&self) -> Option<PayloadIx> {
        match self {
            Self::RunStarted(f) => Some(f.input),
            Self::ModelReplied(f) => Some(f.payload),
            Self::ModelFailed(f) => f.detail,
            Self::EffectDecided(f) => f.payload,
            Self::ApprovalGiven(f) => f.note,
            Self::EffectReturned(f) | Self::EffectRefused(f) => Some(f.payload),
            Self::EffectNotSent(f) => Some(f.payload),
            Self::EffectUnknown(f) => f.payload,
            Self::EffectReconciled(f) => f.payload,
            Self::ChildFinished(f) => Some(f.payload),
            Self::RunFailed(f) => f.payload,
            Self::AnswerRejected(f) => Some(f.payload),
            Self::ModelDenied(f) => Some(f.payload),
            Self::PlanDrawn(f) => Some(f.payload),
            Self::PlanRejected(f) => Some(f.payload),
            Self::PreviewDecided(f) => f.payload,
            Self::Previewed(f) => Some(f.payload),
            Self::RunAdmitted(_)
            | Self::ContextCompacted(_)
            | Self::ModelRequested(_)
            | Self::ApprovalRequested(_)
            | Self::ApprovalExpired(_)
            | Self::EffectIntended(_)
            | Self::EffectWithdrawn(_)
            | Self::ChildStarted(_)
            | Self::Paused
            | Self::Resumed
            | Self::CancelRequested(_)
            | Self::RunCompleted(_)
            | Self::RunCancelled
            | Self::TimerFired(_)
            | Self::Restored(_)
            | Self::SandboxLimited(_)
            | Self::BudgetMoved(_)
            | Self::HistoryRead(_)
            | Self::ApprovalsUsed(_)
            | Self::ApprovalReminded(_)
            | Self::ApprovalEscalated(_)
            | Self::DelegationRenewed(_) => None,
        }
    }
}

/// See [`Fact::DelegationRenewed`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct DelegationRenewed {
    /// Who: the person themselves, and nobody else.
    #[n(0)]
    pub by: Name,
    /// Until when.
    #[n(1)]
    pub until: Timestamp,
    /// The question that it answers; absent when nobody was asked.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<u32>,
}

/// See [`Fact::HistoryRead`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct HistoryRead {
    /// The call that is decided; absent for a model's.
    #[n(0)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<u32>,
    /// Each counter that the decision read, by name.
    #[n(1)]
    pub read: Vec<CounterRead>,
}

/// What a run needs to know about itself; frozen at its start.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct RunStarted {
    /// The agent's name.
    #[n(0)]
    pub agent: Name,
    /// Its version; a run keeps it.
    #[n(1)]
    pub version: VersionId,
    /// The session.
    #[n(2)]
    pub session: SessionId,
    /// The run and effect that started this one as a child.
    #[n(3)]
    pub parent: Option<Parent>,
    /// Runs between this one and the root of its causal chain.
    #[n(4)]
    pub hops: u8,
    /// What the run may do.
    #[n(5)]
    pub config: RunConfig,
    /// The input, as payload.
    #[n(6)]
    pub input: PayloadIx,
    /// On whose behalf it works; absent when on nobody's.
    #[n(7)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behalf: Option<Box<Behalf>>,
    /// The label of its input; absent when a person gave it.
    #[n(8)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<SealedLabel>,
}

/// The effect that started a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Parent {
    /// The parent run.
    #[n(0)]
    pub run: RunId,
    /// Ordinal of its effect.
    #[n(1)]
    pub effect: u32,
}

/// See [`Fact::RunAdmitted`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct RunAdmitted {
    /// The session's head, whose conversation this run continues.
    #[n(0)]
    pub base: Option<RunId>,
    /// What the session's own budget still grants; tightens the run's limits.
    #[n(1)]
    pub grant: Limits,
}

/// See [`Fact::ContextCompacted`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct ContextCompacted {
    /// Tool results before this transcript position are cleared from the view.
    #[n(0)]
    pub clear_before: u32,
    /// Estimated tokens of the view afterwards.
    #[n(1)]
    pub tokens: u64,
}

/// See [`Fact::ModelRequested`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct ModelRequested {
    /// Which turn, from 1.
    #[n(0)]
    pub turn: u32,
    /// Which attempt of this turn, from 1, over all models of the chain.
    #[n(1)]
    pub attempt: u32,
    /// Index into [`RunConfig::models`].
    #[n(2)]
    pub model: u8,
    /// Set aside for this attempt.
    #[n(3)]
    pub reserved: Spend,
    /// The policies that let it be asked; absent where none were asked.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruled: Option<Box<Ruled>>,
    /// Which try at the run's plan it is, from 0; absent when it asks for the next turn of the conversation.
    #[n(5)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planning: Option<u8>,
}

/// See [`Fact::PlanDrawn`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct PlanDrawn {
    /// The turn of the planner's reply.
    #[n(0)]
    pub turn: u32,
    /// The plan's text, as payload.
    #[n(1)]
    pub payload: PayloadIx,
}

/// See [`Fact::PlanRejected`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct PlanRejected {
    /// The turn of the planner's reply.
    #[n(0)]
    pub turn: u32,
    /// The reply, as payload.
    #[n(1)]
    pub plan: PayloadIx,
    /// What is wrong with it, as payload.
    #[n(2)]
    pub payload: PayloadIx,
    /// Which repair follows, from 1; absent when the run goes on without a plan.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<u8>,
}

/// See [`Fact::ModelDenied`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct ModelDenied {
    /// The turn.
    #[n(0)]
    pub turn: u32,
    /// Index into [`RunConfig::models`].
    #[n(1)]
    pub model: u8,
    /// Why, in words, as payload.
    #[n(2)]
    pub payload: PayloadIx,
    /// The policies.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruled: Option<Box<Ruled>>,
}

/// See [`Fact::ModelReplied`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct ModelReplied {
    /// The turn.
    #[n(0)]
    pub turn: u32,
    /// The attempt.
    #[n(1)]
    pub attempt: u32,
    /// The reply ([`crate::message::Reply`] as JSON), as payload.
    #[n(2)]
    pub payload: PayloadIx,
    /// Tokens as the provider counts them.
    #[n(3)]
    pub usage: Usage,
    /// What it cost.
    #[n(4)]
    pub spent: Spend,
    /// Its tool calls, in the order of the reply.
    #[n(5)]
    pub calls: Vec<CallHead>,
}

/// A tool call as the machine knows it: what is frozen when its intent is written.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct CallHead {
    /// Ordinal of the effect in the run.
    #[n(0)]
    pub effect: u32,
    /// The tool's full name.
    #[n(1)]
    pub tool: Name,
    /// Effect class.
    #[n(2)]
    pub class: EffectClass,
    /// First 16 bytes of the SHA-256 of the arguments.
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    pub args: [u8; 16],
    /// First 16 bytes of the SHA-256 of the tool's schema.
    #[n(4)]
    #[cbor(with = "minicbor::bytes")]
    pub schema: [u8; 16],
    /// Business key drawn from the arguments; without one, the effect id is the key.
    #[n(5)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Name>,
    /// How the tool is treated.
    #[n(6)]
    pub rules: CallRules,
}

/// See [`Fact::AnswerRejected`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct AnswerRejected {
    /// The turn of the answer.
    #[n(0)]
    pub turn: u32,
    /// What is wrong with it and where, as the model is told, as payload.
    #[n(1)]
    pub payload: PayloadIx,
    /// Which repair turn follows, from 1; `None` when there is none any more.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<u8>,
}

/// See [`Fact::ModelFailed`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct ModelFailed {
    /// The turn.
    #[n(0)]
    pub turn: u32,
    /// The attempt.
    #[n(1)]
    pub attempt: u32,
    /// Why.
    #[n(2)]
    pub code: Code,
    /// What it is settled at; the whole reservation when the attempt was lost.
    #[n(3)]
    pub spent: Spend,
    /// Whether `spent` is an estimate.
    #[n(4)]
    pub estimated: bool,
    /// The next attempt's model, and not before when; `None` when there is none.
    #[n(5)]
    pub next: Option<NextAttempt>,
    /// The provider's own words, as payload.
    #[n(6)]
    pub detail: Option<PayloadIx>,
}

/// See [`ModelFailed::next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct NextAttempt {
    /// Index into [`RunConfig::models`].
    #[n(0)]
    pub model: u8,
    /// Attempts already made at that model.
    #[n(1)]
    pub tried: u8,
    /// Not before.
    #[n(2)]
    pub at: Timestamp,
}

/// A verdict on an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Verdict {
    /// It may go.
    #[n(0)]
    Allow,
    /// It may not; the model is told.
    #[n(1)]
    Deny,
    /// A human decides.
    #[n(2)]
    Ask,
}

/// See [`Fact::EffectDecided`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct EffectDecided {
    /// Ordinal of the effect.
    #[n(0)]
    pub effect: u32,
    /// The verdict.
    #[n(1)]
    pub verdict: Verdict,
    /// Why, when it is not simply allowed.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// What the model is told, when denied.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<PayloadIx>,
    /// The policies behind it; absent where none were asked.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ruled: Option<Box<Ruled>>,
    /// Arguments in the place of those that the model wrote.
    #[n(5)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewritten: Option<Box<Rewritten>>,
    /// What it is to the run's plan.
    #[n(6)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanMark>,
}

/// Names an effect of this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct EffectRef {
    /// Ordinal of the effect.
    #[n(0)]
    pub effect: u32,
}

/// See [`Fact::EffectIntended`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct EffectIntended {
    /// Ordinal of the effect.
    #[n(0)]
    pub effect: u32,
    /// The only activation that may dispatch it.
    #[n(1)]
    pub activation: ActivationId,
    /// Which attempt, from 1.
    #[n(2)]
    pub attempt: u8,
}

/// See [`Fact::EffectReturned`] and [`Fact::EffectRefused`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct EffectOutcome {
    /// Ordinal of the effect.
    #[n(0)]
    pub effect: u32,
    /// The text the model is told, as payload.
    #[n(1)]
    pub payload: PayloadIx,
    /// The answer came after the effect had been settled as unknown.
    #[n(2)]
    pub late: bool,
    /// Whether the text tells of an error.
    #[n(3)]
    pub error: bool,
    /// The workspace that it wrote and the box that it ran in, when there was one. Only what returned, and not late, has written.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Box<Action>>,
}

/// See [`Fact::EffectNotSent`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct EffectNotSent {
    /// Ordinal of the effect.
    #[n(0)]
    pub effect: u32,
    /// When it is tried again; `None` when it is given up.
    #[n(1)]
    pub retry_at: Option<Timestamp>,
    /// What the model is told when it is given up; else the reason.
    #[n(2)]
    pub payload: PayloadIx,
    /// Why it was not even tried; absent when its tool said that nothing was sent. What was not tried does not count
    /// against the attempts.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
}

/// Why an effect was intended and not tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(index_only)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// The process that intended it was about to end.
    #[n(0)]
    Draining,
    /// Operators turned off what it needs.
    #[n(1)]
    Disabled,
    /// What was handed on to the run has ended: the time of the person on whose behalf it works, or a grant.
    #[n(2)]
    Ended,
}

/// See [`Fact::EffectUnknown`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct EffectUnknown {
    /// Ordinal of the effect.
    #[n(0)]
    pub effect: u32,
    /// What happens next.
    #[n(1)]
    pub then: AfterUnknown,
    /// What the model is told when this is the last word.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<PayloadIx>,
    /// The box that it ran in, when there was one; its workspace stays as it was.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Box<Action>>,
}

/// What follows an unknown outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterUnknown {
    /// The model is told; the effect is over.
    #[n(0)]
    Tell,
    /// A human decides.
    #[n(1)]
    Ask,
    /// It is repeated (same key) not before then.
    #[n(2)]
    Repeat(#[n(0)] Timestamp),
    /// The destination is asked, not before then.
    #[n(3)]
    Reconcile(#[n(0)] Timestamp),
}

/// See [`Fact::EffectReconciled`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct EffectReconciled {
    /// Ordinal of the effect.
    #[n(0)]
    pub effect: u32,
    /// The answer: it happened (true), or the destination knows nothing of it (false).
    #[n(1)]
    pub happened: bool,
    /// What the model is told, when it happened.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<PayloadIx>,
    /// When absent but not yet settled: ask again not before then.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Timestamp>,
}

/// See [`Fact::ChildStarted`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct ChildStarted {
    /// Ordinal of the effect.
    #[n(0)]
    pub effect: u32,
    /// The child (derived from this run and the effect).
    #[n(1)]
    pub child: RunId,
    /// The child's limits, cut from this run's.
    #[n(2)]
    pub limits: Limits,
    /// Set aside in this run's budget.
    #[n(3)]
    pub reserved: Spend,
    /// What it is granted, when that is not everything.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Box<Grant>>,
}

/// See [`Fact::ChildFinished`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct ChildFinished {
    /// Ordinal of the effect.
    #[n(0)]
    pub effect: u32,
    /// How it ended.
    #[n(1)]
    pub ended: Ended,
    /// What the model is told.
    #[n(2)]
    pub payload: PayloadIx,
    /// What the child and its own children spent.
    #[n(3)]
    pub spent: Spend,
    /// What their boxes used, when there were any.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boxes: Option<BoxTotals>,
    /// The label of what the model is told.
    #[n(5)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<SealedLabel>,
    /// What the child and its own children used of the kinds that the fields above do not count: tool calls, working time, growth of
    /// workspaces, child runs.
    #[n(6)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Amounts>,
}
