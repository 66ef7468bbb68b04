//! What callers of the engine say and hear: requests, views, events, errors.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use stead_core::{
    budget::{Limits, Spend},
    code::Code,
    effect::EffectClass,
    fact::{AskReason, Fact, Parent},
    id::{EffectId, LeafHash, Name, RunId, SessionId, VersionId},
    label::SealedLabel,
    record::{Actor, Header, Record},
    ruling::{Asked, Behalf, Escalated},
    run::RestoreMark,
    time::Timestamp,
};
use stead_ports::{
    agent::Agents,
    clock::Clock,
    file::File,
    input::Misfit,
    journal::{AppendError, ApprovalRow, Journal, RunRow, StoreError},
    model::Delta,
    people::People,
    switches::SwitchStore,
};

use crate::{
    gate::PolicySets,
    providers::{ProviderStats, Rates},
    signing::Directories,
    timed::Durations,
};

/// The adapters an engine works with.
#[derive(Clone)]
pub struct Ports {
    /// Where facts become durable.
    pub journal: Arc<dyn Journal>,
    /// Where agent versions come from.
    pub agents: Arc<dyn Agents>,
    /// Time and randomness.
    pub clock: Arc<dyn Clock>,
    /// What may be done.
    pub policies: Arc<dyn PolicySets>,
    /// What operators have turned off.
    pub switches: Arc<dyn SwitchStore>,
    /// Whose signatures count.
    pub directories: Arc<dyn Directories>,
    /// Who may have runs.
    pub people: Arc<dyn People>,
}

/// Bounds of an engine; all documented in `docs/limits.md`.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names this process in leases and messages.
    pub holder: Name,
    /// Runs in memory at once; more starts are accepted and wait their turn.
    pub max_active: usize,
    /// Model calls under way at once, over all runs.
    pub max_model_calls: usize,
    /// Tool calls under way at once, over all runs.
    pub max_tool_calls: usize,
    /// Runs that may be waiting for memory or queued in sessions before starts are refused with `OVERLOADED`.
    pub max_backlog: usize,
    /// Queued runs of one session before a start is refused.
    pub max_session_queue: u32,
    /// Runs between a run and the root of its causal chain.
    pub max_hops: u8,
    /// Questions to people that one run may have open at once.
    pub max_open_asks: u32,
    /// Questions to people of one run in all.
    pub max_asks: u32,
    /// Limits of providers' accounts, by the name of the provider or the `host:port` of its endpoint.
    pub providers: BTreeMap<String, Rates>,
    /// Events kept in memory for each loaded run, for followers that reconnect.
    pub stream_buffer: usize,
    /// Records after which a snapshot is taken.
    pub snapshot_every: u64,
    /// Takes commands and begins no work: nothing unfinished is taken up, no model or tool is called. For looking at a
    /// journal and answering what is asked in it.
    pub at_rest: bool,
    /// Whether tools are told the step of the trace that calls them.
    pub propagate: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            holder: "stead".into(),
            max_active: 10_000,
            max_model_calls: 4_096,
            max_tool_calls: 4_096,
            max_backlog: 1_000_000,
            max_session_queue: 1_000,
            max_hops: 8,
            max_open_asks: stead_core::config::MAX_OPEN_ASKS,
            max_asks: stead_core::config::MAX_ASKS,
            providers: BTreeMap::new(),
            stream_buffer: 1_024,
            // A snapshot holds the conversation a second time; folding so many records takes milliseconds.
            snapshot_every: 8_192,
            at_rest: false,
            propagate: false,
        }
    }
}

/// A run to start.
#[derive(Clone, Debug)]
pub struct StartRun {
    /// The tenant.
    pub tenant: Name,
    /// The agent version to run.
    pub version: VersionId,
    /// The session to run in; `None` makes a new one for this run.
    pub session: Option<SessionId>,
    /// The input's text.
    pub input: String,
    /// Files that come with it.
    pub files: Vec<File>,
    /// Tightens the manifest's limits.
    pub limits: Limits,
    /// The caller's idempotency key with a digest of the request.
    pub idempotency: Option<(Name, [u8; 32])>,
    /// Who starts it.
    pub actor: Actor,
    /// On whose behalf; a child works on its parent's.
    pub behalf: Behalf,
    /// The label of the input; `None` when a person gives it.
    pub label: Option<SealedLabel>,
    /// Set when a run starts this one as its child; ids then derive from the effect.
    pub parent: Option<ChildOf>,
}

/// What a child knows of its parent.
#[derive(Clone, Copy, Debug)]
pub struct ChildOf {
    /// The run and effect that start it.
    pub parent: Parent,
    /// Runs between it and the root of the chain.
    pub hops: u8,
    /// The parent's mark, when it was restored from a backup: the child may have lived then, too.
    pub restored: Option<RestoreMark>,
}

/// An accepted run; its first record is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The run.
    pub run: RunId,
    /// Its session.
    pub session: SessionId,
    /// Whether it waits for the session's foreground run to end.
    pub queued: bool,
    /// Whether an earlier request with the same idempotency key had already started it.
    pub existing: bool,
}

/// A run as it stands, with what people ask first.
#[derive(Clone, Debug)]
pub struct RunView {
    /// Its row, with live values when it is in memory.
    pub row: RunRow,
    /// The answer, when it completed.
    pub output: Option<String>,
    /// What went wrong, in words, when it failed.
    pub error: Option<String>,
    /// What a human is asked.
    pub approvals: Vec<ApprovalView>,
}

/// A question that waits for a human.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApprovalView {
    /// The effect it is about; its name is the approval's name.
    pub effect: EffectId,
    /// The session.
    pub session: SessionId,
    /// The agent.
    pub agent: Name,
    /// The tool.
    pub tool: Name,
    /// What the tool promises about repetition.
    pub class: EffectClass,
    /// The exact JSON text of the arguments.
    pub arguments: String,
    /// The question in words, when it is about a limit and not about a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// What a look at what it would do found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<SeenView>,
    /// Why a human is asked.
    pub reason: AskReason,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub expires: Option<Timestamp>,
    /// What gates of policies ask for; `None` when one yes of anybody who may approve is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// How often people were reminded.
    #[serde(default)]
    pub reminders: u32,
    /// The steps of escalation that were taken, as facts tell them.
    #[serde(skip)]
    pub escalated: Vec<Escalated>,
    /// Who has said yes so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<Name>,
}

/// What a look at an action found, before people were asked about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenView {
    /// In words; or that there is nothing, and why.
    pub text: String,
    /// What must still hold when the action is done; absent when it binds nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precondition: Option<String>,
    /// When it was looked at.
    pub at: Timestamp,
}

/// A page of open questions.
#[derive(Clone, Debug)]
pub struct ApprovalPage {
    /// The questions, the one asked last first.
    pub items: Vec<ApprovalView>,
    /// Where the next page begins, when there is one.
    pub next: Option<ApprovalRow>,
}

/// The name of an event in a run's stream: facts have `attempt` 0; a piece of the reply being written for the turn
/// after record `seq` has the attempt's number, from 1. Events of one run sort by this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventId {
    /// The record's position, or that of the record before.
    pub seq: u64,
    /// The attempt, or 0.
    pub attempt: u32,
    /// The fact within the record, or the piece within the attempt.
    pub index: u32,
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.seq, self.attempt, self.index)
    }
}

impl std::str::FromStr for EventId {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        let mut parts = s.split('.').map(str::parse::<u64>);
        let mut next = || parts.next().and_then(Result::ok).ok_or(());
        let (seq, attempt, index) = (next()?, next()?, next()?);
        let small = |n: u64| u32::try_from(n).map_err(|_| ());
        Ok(Self { seq, attempt: small(attempt)?, index: small(index)? })
    }
}

/// Something a follower of a run sees.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its name; a follower resumes after it.
    pub id: EventId,
    /// What it is.
    pub body: EventBody,
}

/// See [`Event`].
#[derive(Clone, Debug)]
pub enum EventBody {
    /// A durable fact.
    Fact(Arc<FactEvent>),
    /// A piece of a reply being written; not durable.
    Delta(Delta),
    /// Forget the pieces seen since the last fact: a new attempt begins, or pieces were lost.
    Reset,
    /// The stream is over: the run has ended.
    End,
}

/// A fact with its place and texts, as lists, exports and streams show it.
#[derive(Clone, Debug, Serialize)]
pub struct FactEvent {
    /// Position of its record.
    pub seq: u64,
    /// Position within the record.
    pub index: u32,
    /// When it happened.
    pub at: Timestamp,
    /// Who caused it.
    pub actor: Actor,
    /// Leaf hash of the record.
    pub leaf: LeafHash,
    /// The fact.
    pub fact: Fact,
    /// The text it points to, when it has one and it is UTF-8 (always, unless erased).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The policies that matched, with the values that made them match, where a decision says more than their names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<serde_json::Value>,
    /// The arguments that a decision puts in the place of the model's.
    #[serde(skip)]
    pub rewritten: Option<String>,
}

impl FactEvent {
    /// The event of fact `index` of a record.
    pub fn new(header: &Header, leaf: LeafHash, index: u32, fact: Fact, text: Option<String>) -> Self {
        Self {
            seq: header.seq,
            index,
            at: header.at,
            actor: header.actor.clone(),
            leaf,
            fact,
            text,
            why: None,
            rewritten: None,
        }
    }

    /// The same with the reasons of its decision and what that wrote, if the record has them.
    #[must_use]
    pub fn with_why(mut self, record: &Record) -> Self {
        if let Fact::EffectDecided(f) = &self.fact {
            let written = f.rewritten.as_deref().and_then(|r| record.inline_text(r.arguments));
            self.rewritten = written.map(std::borrow::Cow::into_owned);
        }
        let why = self.fact.ruled().and_then(|ruled| ruled.why);
        let text = why.and_then(|why| record.inline_text(why));
        self.why = text.and_then(|text| serde_json::from_str(&text).ok());
        self
    }
}

/// Why the engine did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EngineError {
    /// No such run, session or effect.
    #[error("{what} does not exist")]
    NotFound {
        /// What was named.
        what: String,
    },
    /// The command does not fit the run's state.
    #[error("{why}")]
    Conflict {
        /// Why not.
        why: String,
    },
    /// The idempotency key belongs to another request.
    #[error("the idempotency key was used for another request, which started {run}")]
    KeyReused {
        /// The run of that request.
        run: RunId,
    },
    /// Too much is waiting.
    #[error("too many runs are waiting ({limit}); try again later")]
    Overloaded {
        /// The bound that was reached.
        limit: usize,
    },
    /// The engine is shutting down.
    #[error("the server is shutting down")]
    Draining,
    /// The agent version cannot be used.
    #[error("{code}: {detail}")]
    Agent {
        /// The stable code.
        code: Code,
        /// What is wrong.
        detail: String,
    },
    /// The input does not satisfy the schema of the agent version.
    #[error("{0}")]
    Input(Arc<Misfit>),
    /// The journal of this run cannot be folded; the run is set aside.
    #[error("{run} is quarantined: {why}")]
    Quarantined {
        /// The run.
        run: RunId,
        /// What the fold met.
        why: String,
    },
    /// What was asked could not be recorded, so it is not in force; nothing else has changed, and it may be asked again.
    #[error("{what} ({cause})")]
    Unrecorded {
        /// What that means for the one who asked.
        what: &'static str,
        /// Why the store could not write.
        cause: StoreError,
    },
    /// The store did not take the append.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EngineError {
    /// The stable code of the error.
    pub fn code(&self) -> Code {
        use stead_core::code;
        match self {
            Self::NotFound { .. } => code::NOT_FOUND,
            Self::Conflict { .. } => code::CONFLICT,
            Self::KeyReused { .. } => code::IDEMPOTENCY,
            Self::Overloaded { .. } => code::OVERLOADED,
            Self::Draining => code::DRAINING,
            Self::Agent { code, .. } => *code,
            Self::Input(_) => code::INPUT_SCHEMA,
            Self::Quarantined { .. } => code::QUARANTINED,
            Self::Append(e) => match e {
                AppendError::Unavailable(cause) => cause.code,
                AppendError::Unknown(_) => code::DATA_UNREACHABLE,
                AppendError::Fenced { .. } => code::DATA_LOCKED,
                AppendError::Conflict { .. }
                | AppendError::Exists { .. }
                | AppendError::SessionBusy { .. }
                | AppendError::OverBudget { .. } => code::CONFLICT,
            },
            Self::Unrecorded { cause, .. } => cause.code,
            Self::Store(e) => e.code,
        }
    }
}

/// Counters and gauges of an engine, for `/metrics`.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Runs in memory.
    pub loaded: u64,
    /// Runs waiting for memory.
    pub backlog: u64,
    /// Model calls under way.
    pub model_calls: u64,
    /// Tool calls under way.
    pub tool_calls: u64,
    /// Runs started since the process began.
    pub runs_started: u64,
    /// Runs ended since, as completed, failed, cancelled.
    pub runs_ended: [u64; 3],
    /// Records appended since.
    pub records: u64,
    /// Model calls that replied since.
    pub model_replies: u64,
    /// Model attempts that failed since.
    pub model_failures: u64,
    /// Effects that returned since.
    pub effects_returned: u64,
    /// Effects whose outcome stayed unknown since.
    pub effects_unknown: u64,
    /// Effects that ended since, by how: returned, an error among what returned, refused, not sent, unknown, withdrawn, denied.
    pub effects_ended: Vec<(&'static str, u64)>,
    /// Answers that did not satisfy their output's schema since.
    pub answers_rejected: u64,
    /// Slices of budgets taken since.
    pub slices: u64,
    /// Slices that there was no room for any more since, so that it was decided again.
    pub slices_refused: u64,
    /// Runs that a budget above them stopped, or that asked because of one, since.
    pub blocked: u64,
    /// Questions put to people since, reminders of them, steps of their escalation, and questions that a run might not put any more.
    pub asked: [u64; 4],
    /// Tokens and money spent since; money is unknown once a call of unknown price is among it.
    pub spent: Spend,
    /// The same by provider, as [`Stats::providers`] names them; `none` for scripts and cassettes.
    pub spent_by: BTreeMap<Name, Spend>,
    /// What failed since, by code: attempts at models (`model`) and runs (`run`).
    pub failures: BTreeMap<(&'static str, Code), u64>,
    /// How long attempts at models took, by provider, without the wait for the provider's turn.
    pub attempts: BTreeMap<Name, Durations>,
    /// How long calls of tools took, by the kind of tool.
    pub calls: BTreeMap<&'static str, Durations>,
    /// Calls of tools that came to something else than an answer since, by the kind of tool and by what: `error`, `refused`, `not_sent`, `unknown`.
    pub tool_errors: BTreeMap<(&'static str, &'static str), u64>,
    /// How long runs lasted from start to end, as completed, failed, cancelled.
    pub lasted: [Durations; 3],
    /// Model providers.
    pub providers: Vec<ProviderStats>,
}
