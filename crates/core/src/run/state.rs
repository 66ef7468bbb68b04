//! What a fold remembers. Control values only; texts are held by handle and never read.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use super::transcript::{Entry, Transcript};
use crate::{
    budget::{Amounts, Blocked, Budget, Limit, Limits, Raise, Slice, Spend},
    code::Code,
    effect::Ended,
    fact::{AskReason, CallHead, NextAttempt, Parent, Precondition, RunConfig, StopMode, Waiting},
    grant::Grant,
    id::{ActivationId, EffectId, Name, RunId, SessionId, TreeId, VersionId},
    record::Payload,
    ruling::{Asked, Behalf, Escalated, Given, PlanMark},
    sandbox::{Access, BoxLimits},
    time::Timestamp,
};

/// Version of [`State`]'s encoding; a snapshot of another version is discarded and the journal folded instead.
pub const STATE_VERSION: u16 = 15;

/// Where a run is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Life {
    /// Accepted; another run of its session is in the foreground.
    #[n(0)]
    Queued,
    /// In the foreground.
    #[n(1)]
    Live,
    /// It ended with an answer.
    #[n(2)]
    Completed,
    /// It ended without.
    #[n(3)]
    Failed(#[n(0)] Code),
    /// It was stopped.
    #[n(4)]
    Cancelled,
}

impl Life {
    /// Whether the run is over.
    pub const fn ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed(_) | Self::Cancelled)
    }
}

/// What a live run is doing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Phase {
    /// The next model call is to be requested.
    #[n(0)]
    Idle,
    /// A model call of this turn is to be requested again, not before a time.
    #[n(1)]
    ModelWait(#[n(0)] NextAttempt),
    /// A model call is under way.
    #[n(2)]
    Model {
        /// The attempt within the turn.
        #[n(0)]
        attempt: u32,
        /// Index of the model in the chain.
        #[n(1)]
        model: u8,
        /// Set aside for it.
        #[n(2)]
        reserved: Spend,
        /// The activation that requested it.
        #[n(3)]
        activation: ActivationId,
    },
    /// The calls of the last reply are being worked on.
    #[n(3)]
    Tools,
}

/// What a call of the open turn is waiting for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum CallPhase {
    /// A decision.
    #[n(0)]
    Undecided,
    /// A human.
    #[n(1)]
    Asking {
        /// Why.
        #[n(0)]
        reason: AskReason,
        /// Until when.
        #[n(1)]
        expires: Option<Timestamp>,
        /// Since when.
        #[n(2)]
        since: Timestamp,
        /// What gates ask for; see [`Asked`].
        #[n(3)]
        asked: Option<Box<Asked>>,
    },
    /// It may go: a pure one is owed at once, another needs its intent first.
    #[n(2)]
    Open,
    /// Its outcome; only this activation may dispatch it.
    #[n(3)]
    Intended {
        /// That activation.
        #[n(0)]
        activation: ActivationId,
        /// When the intent was written.
        #[n(1)]
        at: Timestamp,
    },
    /// The time of its next attempt.
    #[n(4)]
    Backoff {
        /// Not before.
        #[n(0)]
        until: Timestamp,
        /// Whether the attempt before may have happened (same key), or certainly did not.
        #[n(1)]
        unknown: bool,
    },
    /// An answer of its destination on whether it happened.
    #[n(5)]
    Reconcile {
        /// Ask not before.
        #[n(0)]
        at: Timestamp,
        /// When the intent was written.
        #[n(1)]
        intended: Timestamp,
    },
    /// The end of a child run.
    #[n(6)]
    Child {
        /// The child.
        #[n(0)]
        child: RunId,
        /// Set aside for it.
        #[n(1)]
        reserved: Spend,
        /// Its limits.
        #[n(2)]
        limits: Limits,
        /// What it is granted, when that is not everything.
        #[n(3)]
        grant: Option<Box<Grant>>,
    },
    /// Nothing more.
    #[n(7)]
    Ended {
        /// How it ended.
        #[n(0)]
        ended: Ended,
        /// What the model is told.
        #[n(1)]
        entry: Entry,
    },
    /// A look at what it would do; then people are asked.
    #[n(8)]
    Previewing(#[n(0)] Box<Look>),
}

/// A look at what a call would do.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Look {
    /// The tool that looks.
    #[n(0)]
    pub tool: Name,
    /// Its arguments.
    #[n(1)]
    pub arguments: Payload,
    /// First 16 bytes of the SHA-256 of their canonical form.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub args: [u8; 16],
    /// The question that waits for it.
    #[n(3)]
    pub waiting: Waiting,
    /// The record in which it was decided that people are asked.
    #[n(4)]
    pub seq: u64,
}

/// What a look found.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Seen {
    /// In words, or why there is nothing.
    #[n(0)]
    pub text: Payload,
    /// Whether there is nothing.
    #[n(1)]
    pub failed: bool,
    /// What must hold when the call is made.
    #[n(2)]
    pub precondition: Option<Precondition>,
    /// When.
    #[n(3)]
    pub at: Timestamp,
}

/// A tool call of the open turn.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Call {
    /// What is frozen about it.
    #[n(0)]
    pub head: CallHead,
    /// Its index in the reply.
    #[n(1)]
    pub index: u16,
    /// What it waits for.
    #[n(2)]
    pub phase: CallPhase,
    /// Intents written so far.
    #[n(3)]
    pub attempt: u8,
    /// Attempts that came back without an outcome (lost ones do not count).
    #[n(4)]
    pub tries: u8,
    /// When its first intent was written; a key's life is counted from here.
    #[n(5)]
    pub first_intended: Option<Timestamp>,
    /// A human has said yes; consumed by the next intent.
    #[n(6)]
    pub approved: bool,
    /// The first attempt that may have happened, 0 for one that the journal does not know because the run was restored
    /// from a backup: from then on nobody may say that nothing was done, though a later
    /// attempt was not sent or was refused. Cleared when the destination, asked about the effect, or a human says that
    /// it did not happen.
    #[n(7)]
    pub maybe: Option<u8>,
    /// The yeses that have been given; void when a human is asked anew.
    #[n(8)]
    pub given: Vec<Given>,
    /// Arguments in the place of those that the model wrote.
    #[n(9)]
    pub arguments: Option<Payload>,
    /// The policy set that let it go; `None` when it must be asked about again before anything begins: it has not been, or
    /// the run was paused since.
    #[n(10)]
    pub ruled: Option<u64>,
    /// A yes was given that nobody has weighed yet.
    #[n(11)]
    pub unweighed: bool,
    /// When it was let go, the first time: counters of policies count it from then on, once, however often it is decided.
    #[n(12)]
    pub let_go: Option<Timestamp>,
    /// It was there when the run was restored from a backup: in the life that was lost it may have been let go and done.
    #[n(13)]
    pub lost: bool,
    /// What signed answers to the question about it bind; `None` when it was asked where nobody signs.
    #[n(14)]
    pub request: Option<Request>,
    /// The signed answers that it has were used.
    #[n(15)]
    pub used: bool,
    /// What a look at what it would do found.
    #[n(16)]
    pub seen: Option<Box<Seen>>,
    /// Reminders of the question that is open.
    #[n(17)]
    pub reminders: u32,
    /// When the last of them was.
    #[n(18)]
    pub reminded: Option<Timestamp>,
    /// Steps of escalation that were taken for the question that is open, or was last.
    #[n(19)]
    pub escalated: Vec<Escalated>,
}

/// A question, as signed answers bind it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Request {
    /// Hash of the fact with which it was asked, and of its place.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub hash: [u8; 32],
    /// The salt of the action's hash.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub salt: [u8; 16],
    /// The policy set that asked.
    #[n(2)]
    pub epoch: Option<u64>,
    /// SHA-256 of the document that says why.
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    pub why: Option<[u8; 32]>,
    /// The record that it stands in.
    #[n(4)]
    pub seq: u64,
    /// When it was asked.
    #[n(5)]
    pub at: Timestamp,
    /// Until when.
    #[n(6)]
    pub expires: Option<Timestamp>,
    /// The workspace as it was then.
    #[n(7)]
    pub tree: Option<TreeId>,
    /// Why.
    #[n(8)]
    pub reason: AskReason,
    /// What gates ask for.
    #[n(9)]
    pub asked: Option<Box<Asked>>,
    /// The record in which it was decided that people are asked, when that is an earlier one.
    #[n(10)]
    pub decided: Option<u64>,
}

impl Call {
    /// Whether nothing more will happen to it.
    pub const fn ended(&self) -> bool {
        matches!(self.phase, CallPhase::Ended { .. })
    }
}

/// Why and how a run is being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Stop {
    /// How hard.
    #[n(0)]
    pub mode: StopMode,
    /// The limit that did it, when no person did.
    #[n(1)]
    pub limit: Option<Limit>,
}

/// An effect that nobody knows the outcome of; an equal call needs a human.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct UnknownMark {
    /// Its run.
    #[n(0)]
    pub run: RunId,
    /// Its ordinal there.
    #[n(1)]
    pub effect: u32,
    /// The tool.
    #[n(2)]
    pub tool: Name,
    /// Digest of the arguments.
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    pub args: [u8; 16],
    /// Its business key.
    #[n(4)]
    pub key: Option<Name>,
    /// The attempt whose late refusal settles it; 0 when several may have happened, so that none alone does.
    #[n(5)]
    #[cbor(default)]
    pub attempt: u8,
}

/// A business key that was used; using it with other arguments is an error.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct KeyMark {
    /// The tool.
    #[n(0)]
    pub tool: Name,
    /// The key.
    #[n(1)]
    pub key: Name,
    /// Digest of the arguments it was used with.
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub args: [u8; 16],
}

/// A run that was restored from a backup had a life after the backup was taken, of which its journal knows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RestoreMark {
    /// The store's generation since the restore.
    #[n(0)]
    pub generation: u32,
    /// When the backup was taken; of several restores, the first one's. A key may have been used as early as this.
    #[n(1)]
    pub taken: Timestamp,
    /// Effects with a lower ordinal were in the backup, so that in the lost life they were the same calls. A higher
    /// ordinal may have named another call there.
    #[n(2)]
    pub known: u32,
}

/// What a session hands from one run to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Carry {
    /// The conversation.
    #[n(0)]
    pub transcript: Transcript,
    /// Results before this position are cleared from the model's view.
    #[n(1)]
    pub clear_before: u32,
    /// Effects of unknown outcome.
    #[n(2)]
    pub unknown: Vec<UnknownMark>,
    /// Business keys in use.
    #[n(3)]
    pub keys: Vec<KeyMark>,
    /// The workspace; `None` as long as nothing was written.
    #[n(4)]
    pub tree: Option<TreeId>,
    /// Bytes of all its files.
    #[n(5)]
    #[cbor(default)]
    pub tree_bytes: u64,
}

/// The folded state of a run.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct State {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// Its tenant.
    #[n(1)]
    pub tenant: Name,
    /// Its session.
    #[n(2)]
    pub session: SessionId,
    /// Its agent.
    #[n(3)]
    pub agent: Name,
    /// Its agent's version.
    #[n(4)]
    pub version: VersionId,
    /// The run that started it.
    #[n(5)]
    pub parent: Option<Parent>,
    /// Runs between this one and the root of the chain.
    #[n(6)]
    pub hops: u8,
    /// Control values frozen at the start.
    #[n(7)]
    #[cbor(with = "shared")]
    pub config: Arc<RunConfig>,
    /// Position of the next record.
    #[n(8)]
    pub next_seq: u64,
    /// Time of the last record.
    #[n(9)]
    pub last_at: Timestamp,
    /// Time of the first.
    #[n(10)]
    pub started_at: Timestamp,
    /// Activation of the last record.
    #[n(11)]
    pub activation: ActivationId,
    /// Where it is in its life.
    #[n(12)]
    pub life: Life,
    /// Whether an operator has paused it.
    #[n(13)]
    pub paused: bool,
    /// Whether it is being stopped; once set, its dispatch gate stays closed.
    #[n(14)]
    pub stop: Option<Stop>,
    /// What it is doing.
    #[n(15)]
    pub phase: Phase,
    /// The model turn, from 1 with the first request.
    #[n(16)]
    pub turn: u32,
    /// Attempts made in this turn.
    #[n(17)]
    pub attempt: u32,
    /// Attempts made at the present model in this turn.
    #[n(18)]
    pub tried: u8,
    /// Ordinal of the next effect, from 1.
    #[n(19)]
    pub next_effect: u32,
    /// The calls of the open turn.
    #[n(20)]
    pub calls: Vec<Call>,
    /// The conversation.
    #[n(21)]
    pub transcript: Transcript,
    /// Tool results before this position are cleared from the model's view.
    #[n(22)]
    pub clear_before: u32,
    /// Estimated tokens of the model's view of the conversation.
    #[n(23)]
    pub view_tokens: u64,
    /// The ledger.
    #[n(24)]
    pub budget: Budget,
    /// Effects of unknown outcome in this session.
    #[n(25)]
    pub unknown: Vec<UnknownMark>,
    /// Business keys used in this session.
    #[n(26)]
    pub keys: Vec<KeyMark>,
    /// The session head this run continues, once admitted.
    #[n(27)]
    pub base: Option<RunId>,
    /// Notes that came in while a turn was open; they join the conversation after its results.
    #[n(28)]
    #[cbor(default)]
    pub notes: Vec<Entry>,
    /// The run was restored from a backup: what may have happened meanwhile.
    #[n(29)]
    pub restored: Option<RestoreMark>,
    /// Repair turns so far.
    #[n(30)]
    #[cbor(default)]
    pub repairs: u8,
    /// The session's workspace as this run sees it; `None` as long as nothing was written.
    #[n(31)]
    pub tree: Option<TreeId>,
    /// Limits that an operator has set for its boxes.
    #[n(32)]
    pub box_limits: BoxLimits,
    /// On whose behalf it works.
    #[n(33)]
    pub behalf: Behalf,
    /// Its plan.
    #[n(34)]
    pub planning: Planning,
    /// What calls that were let go are to the plan, by the ordinals of their effects.
    #[n(35)]
    pub plan_marks: Vec<(u32, PlanMark)>,
    /// Entries of the conversation that stem from earlier runs of the session.
    #[n(36)]
    pub earlier: u32,
    /// What it holds of the budgets above it; `None` as long as there were none.
    #[n(37)]
    pub slice: Option<Slice>,
    /// A limit is reached, and a human is asked whether to raise it. Nothing new begins meanwhile.
    #[n(38)]
    pub asking: Option<Box<Asking>>,
    /// The budget above it that stopped it.
    #[n(39)]
    pub blocked: Option<Box<Blocked>>,
    /// Bytes of all files of `tree`.
    #[n(40)]
    pub tree_bytes: u64,
    /// Questions that it has put to people so far.
    #[n(41)]
    pub asks: u32,
    /// The time of the person on whose behalf it works is over, and they are asked whether it may go on. Nothing new begins meanwhile.
    #[n(42)]
    pub renewing: Option<Renewing>,
}

/// A question about a delegation; it has an ordinal as effects have, so that it is answered as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Renewing {
    /// Its ordinal.
    #[n(0)]
    pub effect: u32,
    /// Until when.
    #[n(1)]
    pub expires: Option<Timestamp>,
    /// Since when.
    #[n(2)]
    pub since: Timestamp,
}

/// A question about a limit; it has an ordinal as effects have, so that it is answered as they are.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Asking {
    /// Its ordinal.
    #[n(0)]
    pub effect: u32,
    /// The limit, and by how much a yes raises it.
    #[n(1)]
    pub raise: Raise,
    /// Until when.
    #[n(2)]
    pub expires: Option<Timestamp>,
    /// Since when.
    #[n(3)]
    pub since: Timestamp,
}

/// Whether a run has a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub enum Planning {
    /// It has none, and none is wanted, or none could be drawn.
    #[default]
    #[n(0)]
    Without,
    /// A planner is to be asked.
    #[n(1)]
    Wanted {
        /// Tries so far.
        #[n(0)]
        tries: u8,
        /// The last try, and what was wrong with it.
        #[n(1)]
        last: Option<(Payload, Payload)>,
    },
    /// It is drawn; this is its text.
    #[n(2)]
    Drawn(#[n(0)] Payload),
}

impl Planning {
    /// Whether a planner is to be asked.
    pub const fn wanted(&self) -> bool {
        matches!(self, Self::Wanted { .. })
    }

    /// Which try is wanted, from 0.
    pub(super) const fn tries(&self) -> Option<u8> {
        match self {
            Self::Wanted { tries, .. } => Some(*tries),
            _ => None,
        }
    }
}

impl State {
    /// The full id of an effect of this run.
    pub const fn effect_id(&self, n: u32) -> EffectId {
        EffectId { run: self.run, n }
    }

    /// The session that what it does counts in: its own, or that of the first run of its chain.
    pub fn works_for(&self) -> SessionId {
        self.behalf.session.unwrap_or(self.session)
    }

    /// The open turn's call with that ordinal.
    pub fn call(&self, effect: u32) -> Option<&Call> {
        self.calls.iter().find(|c| c.head.effect == effect)
    }

    pub(super) fn call_mut(&mut self, effect: u32) -> Option<&mut Call> {
        self.calls.iter_mut().find(|c| c.head.effect == effect)
    }

    /// Whether new effects and model calls may start.
    pub const fn may_dispatch(&self) -> bool {
        matches!(self.life, Life::Live) && !self.paused && self.stop.is_none()
    }

    /// Whether a human is asked about the run as a whole: nothing new begins meanwhile.
    pub const fn asks(&self) -> bool {
        self.asking.is_some() || self.renewing.is_some()
    }

    /// Whether something is under way whose time counts against `active`.
    pub fn working(&self) -> bool {
        if !matches!(self.life, Life::Live) {
            return false;
        }
        match self.phase {
            Phase::Model { .. } => true,
            Phase::Tools => self.calls.iter().any(|c| match c.phase {
                CallPhase::Intended { .. } => true,
                CallPhase::Previewing(_) => self.may_dispatch() && self.renewing.is_none(),
                CallPhase::Open => {
                    let begins = c.head.class.needs_intent() || c.head.rules.child.is_some();
                    let asked = self.renewing.is_some() || (begins && self.asking.is_some());
                    self.may_dispatch() && !self.waits_for_workspace(c) && !asked
                }
                _ => false,
            }),
            Phase::Idle => self.may_dispatch() && !self.asks(),
            Phase::ModelWait(_) => false,
        }
    }

    /// Whether something may begin, or be decided, that an activation before held back
    /// ([`decide_holding`](super::decide_holding)): any command does it.
    pub fn held(&self) -> bool {
        let opens = |c: &Call| match c.phase {
            CallPhase::Open => {
                (c.head.class.needs_intent() || c.head.rules.child.is_some()) && !self.waits_for_workspace(c)
            }
            CallPhase::Asking { .. } => c.unweighed,
            CallPhase::Undecided => true,
            _ => false,
        };
        self.may_dispatch()
            && !self.asks()
            && match self.phase {
                Phase::Idle => true,
                Phase::Tools => self.calls.iter().any(opens),
                Phase::Model { .. } | Phase::ModelWait(_) => false,
            }
    }

    /// Whether a call waits for one before it in its reply that writes the workspace, which both use: writers follow each other,
    /// and who comes after one sees what it wrote.
    pub(super) fn waits_for_workspace(&self, call: &Call) -> bool {
        let access = |c: &Call| c.head.rules.place.map_or(Access::None, |p| p.workspace);
        access(call) != Access::None
            && self
                .calls
                .iter()
                .take_while(|c| c.head.effect != call.head.effect)
                .any(|c| access(c) == Access::Write && !c.ended())
    }

    /// What its limits leave, without what children under way may use.
    pub fn left(&self) -> Limits {
        let lent = self.calls.iter().filter_map(|c| match &c.phase {
            CallPhase::Child { limits, .. } => Some(limits.amounts()),
            _ => None,
        });
        self.budget.remaining(lent.fold(Amounts::default(), Amounts::plus))
    }

    /// Books what the run itself used against its slice of the budgets above.
    pub(super) fn book(&mut self, used: Amounts) {
        if let Some(slice) = &mut self.slice {
            slice.used = slice.used.plus(used);
        }
    }

    /// Adds an entry to the conversation and to the model's view.
    pub(super) fn say(&mut self, entry: Entry) {
        self.view_tokens += entry.tokens();
        self.transcript.push(entry);
    }

    /// The state as bytes, for a snapshot of version [`STATE_VERSION`].
    pub fn to_snapshot(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("encodes to memory")
    }

    /// A state from a snapshot of version [`STATE_VERSION`].
    ///
    /// # Errors
    /// When the bytes are not such a state.
    pub fn from_snapshot(bytes: &[u8]) -> Result<Self, minicbor::decode::Error> {
        minicbor::decode(bytes)
    }

    /// What the session's next run takes over from this one.
    pub fn carry(&self) -> Carry {
        Carry {
            transcript: self.transcript.clone(),
            clear_before: self.clear_before,
            unknown: self.unknown.clone(),
            keys: self.keys.clone(),
            tree: self.tree,
            tree_bytes: self.tree_bytes,
        }
    }
}

/// A shared value is encoded as the value.
mod shared {
    use std::sync::Arc;

    use minicbor::{Decode, Decoder, Encode, Encoder};

    pub(super) fn encode<C, T: Encode<C>, W: minicbor::encode::Write>(
        v: &Arc<T>,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        v.as_ref().encode(e, ctx)
    }

    pub(super) fn decode<'b, C, T: Decode<'b, C>>(
        d: &mut Decoder<'b>,
        ctx: &mut C,
    ) -> Result<Arc<T>, minicbor::decode::Error> {
        T::decode(d, ctx).map(Arc::new)
    }
}
