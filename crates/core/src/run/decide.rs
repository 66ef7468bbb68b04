//! Commands, and the dispatcher that turns one into facts.

use bytes::Bytes;

use super::{
    advance::advance,
    apply::{Env, apply, begin},
    gate::{Gate, Ruling},
    life,
    state::{Carry, RestoreMark, State},
    step,
};
use crate::{
    budget::{Amounts, Limits, Offer, Spend, Usage},
    code::Code,
    effect::{Ended, Outcome, Reconciled},
    fact::{CallHead, Fact, Held, HistoryRead, Parent, PayloadIx, Precondition, RunConfig, StopMode, Verdict},
    id::{ActivationId, Name, RunId, SessionId, VersionId},
    label::SealedLabel,
    record::{Payload, Source},
    ruling::{Behalf, Person, Ruled, Signed},
    sandbox::{Action, BoxLimits, BoxTotals},
    time::{Span, Timestamp},
};

/// What comes in from outside with each command.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The wall clock. The machine never lets a run's time decrease.
    pub now: Timestamp,
    /// The activation that decides.
    pub activation: ActivationId,
    /// What decides whether something may begin.
    pub gate: &'a dyn Gate,
}

/// A run to be made.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// The run.
    pub run: RunId,
    /// Its tenant.
    pub tenant: Name,
    /// Its session.
    pub session: SessionId,
    /// Its agent.
    pub agent: Name,
    /// Its agent's version.
    pub version: VersionId,
    /// The run and effect that start it.
    pub parent: Option<Parent>,
    /// Runs between it and the root of the chain.
    pub hops: u8,
    /// Control values.
    pub config: RunConfig,
    /// The input's text.
    pub input: Payload,
    /// Admit it at once, with what the session hands over: `None` queues it.
    pub admit: Option<Admit>,
    /// The mark of a parent that was restored from a backup.
    pub restored: Option<RestoreMark>,
    /// On whose behalf it works.
    pub behalf: Behalf,
    /// The label of its input; `None` when a person gave it.
    pub label: Option<SealedLabel>,
}

/// What a run takes over when it becomes its session's foreground run.
#[derive(Clone, Debug, Default)]
pub struct Admit {
    /// The session's head and what it hands over.
    pub base: Option<(RunId, Box<Carry>)>,
    /// What the session's budget still grants.
    pub grant: Limits,
}

/// A tool call of a reply, prepared by the engine: looked up, validated, digested.
#[derive(Clone, Debug)]
pub struct CallIn {
    /// What is frozen about it; the machine gives it its ordinal.
    pub head: CallHead,
    /// Why it cannot be made at all (unknown tool, arguments that do not fit), with what the model is told.
    pub invalid: Option<(Code, Payload)>,
}

/// Whether a failed model attempt may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// No, not with this model.
    No,
    /// Yes; not before this span, when the provider gave one.
    After(Option<Span>),
}

/// A failed model attempt.
#[derive(Clone, Debug)]
pub struct ModelFailure {
    /// Why.
    pub code: Code,
    /// The provider's words.
    pub detail: Payload,
    /// Whether to repeat.
    pub retry: Retry,
    /// Whether the provider may have charged for it: it is then settled at its whole reservation.
    pub charged: bool,
    /// A random number: how far the next attempt is moved within the room that is left for it, so that runs which failed
    /// together do not come back together.
    pub spread: u16,
}

/// Something asked of a run, or learnt by one that works for it.
#[derive(Clone, Debug)]
pub enum Command {
    /// The session's foreground is free: go.
    Admit(Admit),
    /// Work under way of other activations is lost: settle it by the rules.
    Recover,
    /// What this activation had promised and has not sent is not to be sent now: it is done afresh later.
    Unsent {
        /// Whether the model call is among it.
        model: bool,
        /// Intended effects.
        effects: Vec<u32>,
        /// Why it was not sent.
        why: Held,
    },
    /// Time has passed: fire what is due.
    Tick,
    /// The model replied.
    ModelReplied {
        /// The turn.
        turn: u32,
        /// The attempt.
        attempt: u32,
        /// The reply.
        reply: Payload,
        /// Tokens.
        usage: Usage,
        /// Its tool calls.
        calls: Vec<CallIn>,
        /// What is wrong with it as the final answer, by the output's JSON Schema; `None` when it fits, is not one, or
        /// none is demanded.
        misfit: Option<Payload>,
    },
    /// The planner replied.
    Planned {
        /// The turn.
        turn: u32,
        /// The attempt.
        attempt: u32,
        /// The reply.
        reply: Payload,
        /// Tokens.
        usage: Usage,
        /// The plan's text, or what is wrong with it.
        plan: Result<Payload, Payload>,
    },
    /// An attempt was not made: its provider takes no more now. It costs nothing and counts as no attempt.
    ModelDeferred {
        /// The turn.
        turn: u32,
        /// The attempt.
        attempt: u32,
        /// When it is due again.
        until: Timestamp,
        /// What it waits for, in words.
        why: Payload,
    },
    /// An attempt came to nothing.
    ModelFailed {
        /// The turn.
        turn: u32,
        /// The attempt.
        attempt: u32,
        /// Why.
        failure: ModelFailure,
    },
    /// An attempt at an effect came back.
    Outcome {
        /// The effect.
        effect: u32,
        /// The attempt it answers: [`Call::attempt`](super::Call::attempt) when it was dispatched (0 for a pure one).
        /// An answer of one attempt says nothing about another that is under way.
        attempt: u8,
        /// What the tool reports; `error` tells whether a returned text tells of an error.
        outcome: Outcome<Payload>,
        /// See `outcome`.
        error: bool,
        /// The workspace that it wrote and the box that it ran in.
        action: Option<Box<Action>>,
    },
    /// It was looked at what an effect would do.
    Previewed {
        /// The effect.
        effect: u32,
        /// What was found, in words, with what must hold for it to be done; or why nothing was found.
        found: Result<(Payload, Option<Precondition>), Payload>,
        /// The box that it ran in.
        action: Option<Box<Action>>,
    },
    /// The destination was asked about an effect.
    Reconciled {
        /// The effect.
        effect: u32,
        /// When the question was sent, by the wall clock. "Absent" counts only if it was asked after the settle time;
        /// an answer that took long on its way says nothing about now.
        asked: Timestamp,
        /// Its answer.
        answer: Reconciled<Payload>,
    },
    /// A child run ended.
    ChildFinished {
        /// The effect that started it.
        effect: u32,
        /// How it ended.
        ended: Ended,
        /// What the model is told.
        content: Payload,
        /// What it spent.
        spent: Spend,
        /// What its boxes used.
        boxes: BoxTotals,
        /// The label of what the model is told.
        label: Option<SealedLabel>,
        /// What it used beside; see [`crate::fact::ChildFinished::used`].
        used: Amounts,
    },
    /// A human answered.
    Approve {
        /// The effect.
        effect: u32,
        /// Yes or no.
        approved: bool,
        /// Who.
        by: Person,
        /// What they said.
        note: Option<String>,
        /// The signature, when it is signed; the engine has verified it.
        signed: Option<Box<Signed>>,
    },
    /// The person on whose behalf the run works did something about it: it may go on for them for a while.
    Renew {
        /// Who.
        by: Name,
    },
    /// An operator says: nothing new until `Resume`.
    Pause,
    /// An operator says: go on.
    Resume,
    /// An operator sets other limits for the run's boxes, those under way and those to come.
    LimitBoxes(BoxLimits),
    /// The run was taken out of a backup: it pauses, and what it may have done since is treated as such.
    Restore {
        /// The store's generation from now on.
        generation: u32,
        /// When the backup was taken.
        taken: Timestamp,
    },
    /// Stop.
    Stop {
        /// How hard.
        mode: StopMode,
        /// Effects that have left the engine; an intent not among them is withdrawn.
        dispatched: Vec<u32>,
    },
}

/// Why a command was not accepted; nothing happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It answers something that is not asked (any more): a late or duplicated answer.
    #[error("nothing is waiting for this")]
    Stale,
    /// The run has ended.
    #[error("the run has ended")]
    Ended,
    /// The command does not fit.
    #[error("{0}")]
    Conflict(&'static str),
}

/// What a command comes to.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What happened; empty when the command changes nothing (a pause of a paused run).
    pub facts: Vec<Fact>,
    /// The texts the facts point to.
    pub payloads: Vec<Payload>,
    /// The state after them. It becomes *the* state only when they are durable. It is large, and moves by its address.
    pub state: Box<State>,
    /// The time that the record carries.
    pub at: Timestamp,
}

/// Decides a command. Pure: equal arguments give equal decisions.
///
/// # Errors
/// A [`Refusal`] when the command does not fit the state.
pub fn decide(state: &State, command: Command, inputs: Inputs<'_>) -> Result<Decision, Refusal> {
    decide_under(state, command, inputs, Terms::default())
}

/// Decides a command for an activation that is about to end, or that only answers: what is learnt is recorded and what
/// follows is decided, but no model call, intent or child begins, because nobody would be there to pay for it. The
/// next activation begins them with any command, such as a `Tick`.
///
/// # Errors
/// A [`Refusal`] when the command does not fit the state.
pub fn decide_holding(state: &State, command: Command, inputs: Inputs<'_>) -> Result<Decision, Refusal> {
    decide_under(state, command, inputs, Terms { hold: true, offer: None })
}

/// What a decision may begin, and what pays for it.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Nothing begins; see [`decide_holding`].
    pub hold: bool,
    /// What the budgets above the run have left; `None` when there are none.
    pub offer: Option<Offer>,
}

/// Decides a command under terms.
///
/// # Errors
/// A [`Refusal`] when the command does not fit the state.
pub fn decide_under(state: &State, command: Command, inputs: Inputs<'_>, terms: Terms) -> Result<Decision, Refusal> {
    let mut draft = Draft::begin(Box::new(state.clone()), inputs, terms);
    match command {
        Command::Admit(admit) => life::start::admit(&mut draft, admit)?,
        Command::Recover => life::recover::recover(&mut draft),
        Command::Unsent { model, effects, why } => life::unsent::unsent(&mut draft, model, &effects, why),
        Command::Tick => step::timer::tick(&mut draft),
        Command::ModelReplied { turn, attempt, reply, usage, calls, misfit } => {
            step::model::replied(&mut draft, turn, attempt, reply, usage, calls, misfit)?;
        }
        Command::Planned { turn, attempt, reply, usage, plan } => {
            step::plan::planned(&mut draft, turn, attempt, reply, usage, plan)?;
        }
        Command::ModelDeferred { turn, attempt, until, why } => {
            step::model::deferred(&mut draft, turn, attempt, until, why)?;
        }
        Command::ModelFailed { turn, attempt, failure } => step::model::failed(&mut draft, turn, attempt, failure)?,
        Command::Outcome { effect, attempt, outcome, error, action } => {
            step::tool::outcome(&mut draft, effect, attempt, outcome, error, action)?;
        }
        Command::Previewed { effect, found, action } => step::preview::seen(&mut draft, effect, found, action)?,
        Command::Reconciled { effect, asked, answer } => step::tool::reconciled(&mut draft, effect, asked, answer)?,
        Command::ChildFinished { effect, ended, content, spent, boxes, label, used } => {
            step::child::finished(&mut draft, effect, ended, content, (spent, boxes, used), label)?;
        }
        Command::Approve { effect, approved, by, note, signed } => {
            step::approval::answered(&mut draft, effect, approved, by, note, signed)?;
        }
        Command::Renew { by } => step::delegation::renew(&mut draft, by)?,
        Command::Pause => life::pause::pause(&mut draft)?,
        Command::Resume => life::pause::resume(&mut draft)?,
        Command::LimitBoxes(limits) => life::limit::limit(&mut draft, limits)?,
        Command::Restore { generation, taken } => life::restore::restore(&mut draft, generation, taken)?,
        Command::Stop { mode, dispatched } => life::stop::stop(&mut draft, mode, &dispatched)?,
    }
    advance(&mut draft);
    if draft.facts.is_empty() {
        // Nothing happened, so no time has passed for the run either.
        *draft.state = state.clone();
    }
    Ok(draft.finish())
}

impl NewRun {
    /// Decides the first record of a run.
    pub fn decide(self, inputs: Inputs<'_>) -> Decision {
        self.decide_under(inputs, Terms::default())
    }

    /// Decides the first record of a run whose work the next activation begins; see [`decide_holding`].
    pub fn decide_holding(self, inputs: Inputs<'_>) -> Decision {
        self.decide_under(inputs, Terms { hold: true, offer: None })
    }

    /// Decides the first record of a run under terms.
    pub fn decide_under(self, inputs: Inputs<'_>, terms: Terms) -> Decision {
        let (state, life::start::Begin { input, admit, restored, label }) = life::start::prepare(self, inputs);
        let mut draft = Draft::begin(Box::new(state), inputs, terms);
        life::start::start(&mut draft, input, restored, label);
        if let Some(admit) = admit {
            life::start::admit(&mut draft, admit).expect("a new run is queued");
            advance(&mut draft);
        }
        draft.finish()
    }
}

/// A decision in the making: every fact is folded at once, so that the next one is decided on what is already decided.
pub(super) struct Draft<'a> {
    pub state: Box<State>,
    pub facts: Vec<Fact>,
    pub payloads: Vec<Payload>,
    pub now: Timestamp,
    pub activation: ActivationId,
    pub gate: &'a dyn Gate,
    /// This activation has written nothing yet.
    pub fresh: bool,
    /// Nothing may begin; see [`decide_holding`].
    pub hold: bool,
    /// What the budgets above have left; see [`Terms`].
    pub offer: Option<Offer>,
}

impl<'a> Draft<'a> {
    fn begin(mut state: Box<State>, inputs: Inputs<'a>, Terms { hold, offer }: Terms) -> Self {
        let now = inputs.now.max(state.last_at);
        let fresh = state.activation != inputs.activation;
        begin(&mut state, now, inputs.activation);
        Self {
            state,
            facts: Vec::with_capacity(4),
            payloads: Vec::with_capacity(2),
            now,
            activation: inputs.activation,
            gate: inputs.gate,
            fresh,
            hold,
            offer,
        }
    }

    /// Says that something happened.
    pub(super) fn emit(&mut self, fact: Fact) {
        if matches!(fact, Fact::RunCompleted(_) | Fact::RunFailed(_) | Fact::RunCancelled) {
            // A run that has ended holds nothing of the budgets above it.
            step::funds::give_back(self);
        }
        let env = Env { at: self.now, activation: self.activation, payloads: &self.payloads };
        apply(&mut self.state, env, &fact);
        self.facts.push(fact);
    }

    /// Adds a text and gives its index.
    pub(super) fn payload(&mut self, payload: Payload) -> PayloadIx {
        self.payloads.push(payload);
        PayloadIx::try_from(self.payloads.len() - 1).expect("a record has few payloads")
    }

    /// Adds a notice of the runtime.
    pub(super) fn notice(&mut self, text: impl Into<Bytes>) -> PayloadIx {
        self.payload(Payload::inline(text, Source::Runtime))
    }

    /// What is recorded of the policies behind a ruling; nothing where none were asked.
    pub(super) fn ruled(&mut self, ruling: &mut Ruling) -> Option<Box<Ruled>> {
        let why = ruling.why.take().map(|why| self.payload(Payload::inline(why, Source::Runtime)));
        let by = std::mem::take(&mut ruling.by);
        let asked = ruling.verdict != Verdict::Allow || !by.is_empty() || ruling.epoch != 0;
        asked.then(|| Box::new(Ruled { epoch: ruling.epoch, by, why }))
    }

    /// Records what counters said to the decision whose fact follows.
    pub(super) fn read(&mut self, effect: Option<u32>, ruling: &mut Ruling) {
        let read = std::mem::take(&mut ruling.read);
        if !read.is_empty() {
            self.emit(Fact::HistoryRead(HistoryRead { effect, read }));
        }
    }

    fn finish(mut self) -> Decision {
        if !self.facts.is_empty() {
            if !self.state.working() {
                step::funds::give_back(&mut self);
            }
            self.state.next_seq += 1;
        }
        Decision { facts: self.facts, payloads: self.payloads, state: self.state, at: self.now }
    }
}
