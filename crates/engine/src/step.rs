//! What led to a step of a run, and what became of it: what the model saw, the call, the decision, the outcome.

use stead_core::{
    budget::Spend,
    effect::EffectClass,
    fact::Fact,
    id::{EffectId, Name, RunId},
    record::{Payload, Record, Source},
};

use crate::{
    Engine, load, payload,
    types::{EngineError, FactEvent},
};

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A model turn.
    Turn(u32),
    /// An effect, by its ordinal.
    Effect(u32),
}

/// What led to a step, and what became of it.
#[derive(Clone, Debug)]
pub struct StepView {
    /// The turn, or that of the effect.
    pub turn: u32,
    /// What the model saw in that turn.
    pub seen: SeenSummary,
    /// Facts of the turn: requests, replies, failures, and what was cleared before them; or of the effect: its decision,
    /// approvals, intents, outcomes.
    pub facts: Vec<FactEvent>,
    /// What the turn's model calls cost.
    pub spent: Spend,
    /// Whether a part of that is an estimate.
    pub estimated: bool,
    /// The effect.
    pub effect: Option<EffectSummary>,
}

/// What a model saw, in short.
#[derive(Clone, Debug)]
pub struct SeenSummary {
    /// Messages.
    pub messages: u32,
    /// Estimated tokens of them, and of instructions and tools.
    pub tokens: u64,
    /// Old results whose text was cleared.
    pub cleared: u32,
    /// Who said the last message.
    pub last_source: Option<Source>,
}

/// A call that the model made.
#[derive(Clone, Debug)]
pub struct EffectSummary {
    /// Its name.
    pub effect: EffectId,
    /// The tool.
    pub tool: Name,
    /// What it promises about repetition.
    pub class: EffectClass,
    /// The business key, when it has one.
    pub key: Option<Name>,
    /// The exact arguments: what policies wrote, where they wrote anything, and else the model's own.
    pub arguments: String,
}

impl Engine {
    /// What led to a step of a run, and what became of it.
    ///
    /// # Errors
    /// When the run or the step does not exist, or the run cannot be read.
    pub async fn why_step(&self, run: RunId, step: Step) -> Result<StepView, EngineError> {
        let records = load::records(self.journal(), run).await?;
        let missing = |what: String| EngineError::NotFound { what };
        let (turn, effect) = match step {
            Step::Turn(turn) => (turn, None),
            Step::Effect(n) => {
                let id = EffectId { run, n };
                let effect = self.effect_of(id, &records).await?.ok_or_else(|| missing(id.to_string()))?;
                (effect.0, Some(effect.1))
            }
        };
        let context = self.context_of(run, turn).await?;
        let (mut facts, mut spent, mut estimated) = (Vec::new(), Spend::ZERO, false);
        for record in &records {
            for (index, fact) in (0..).zip(&record.facts) {
                match fact {
                    Fact::ModelReplied(f) if f.turn == turn => spent = spent.plus(f.spent),
                    Fact::ModelFailed(f) if f.turn == turn => {
                        spent = spent.plus(f.spent);
                        estimated |= f.estimated;
                    }
                    _ => {}
                }
                let wanted = match step {
                    Step::Turn(turn) => {
                        of_turn(fact) == Some(turn) || cleared_for(record, index, turn) || read_for(record, index, turn)
                    }
                    Step::Effect(n) => of_effect(fact) == Some(n),
                };
                if wanted {
                    facts.push(self.event(record, index, fact).await?);
                }
            }
        }
        Ok(StepView { turn, seen: context, facts, spent, estimated, effect })
    }

    async fn context_of(&self, run: RunId, turn: u32) -> Result<SeenSummary, EngineError> {
        let requested = |fact: &Fact| matches!(fact, Fact::ModelRequested(f) if f.turn == turn).then_some(());
        let stopped = load::up_to_last(self.journal(), run, requested).await?;
        let stopped = stopped.ok_or_else(|| EngineError::NotFound { what: format!("turn {turn} of {run}") })?;
        let state = &stopped.state;
        let seen = || stead_core::context::view(state);
        Ok(SeenSummary {
            messages: u32::try_from(seen().count()).unwrap_or(u32::MAX),
            tokens: state.view_tokens.saturating_add(state.config.overhead_tokens),
            cleared: u32::try_from(seen().filter(|s| s.is_cleared()).count()).unwrap_or(u32::MAX),
            last_source: seen().last().and_then(|s| s.entry().payload.source),
        })
    }

    /// An effect and the turn that asked for it.
    async fn effect_of(
        &self,
        effect: EffectId,
        records: &[Record],
    ) -> Result<Option<(u32, EffectSummary)>, EngineError> {
        for record in records {
            for fact in &record.facts {
                let Fact::ModelReplied(f) = fact else { continue };
                let Some(index) = f.calls.iter().position(|c| c.effect == effect.n) else { continue };
                let head = &f.calls[index];
                let arguments = match record.payloads.get(usize::from(f.payload)) {
                    Some(payload) => {
                        let bytes = payload::open_whole(self.journal(), &record.header.tenant, payload).await?;
                        // Of an erased reply nothing is left.
                        let reply: stead_core::message::Reply = serde_json::from_slice(&bytes).unwrap_or_default();
                        reply.calls.get(index).map(|c| c.arguments.get().to_owned())
                    }
                    None => None,
                };
                let arguments = match rewritten(records, effect.n) {
                    Some((record, payload)) => {
                        let bytes = payload::open_whole(self.journal(), &record.header.tenant, payload).await?;
                        Some(String::from_utf8_lossy(&bytes).into_owned())
                    }
                    None => arguments,
                };
                return Ok(Some((
                    f.turn,
                    EffectSummary {
                        effect,
                        tool: head.tool.clone(),
                        class: head.class,
                        key: head.key.clone(),
                        arguments: arguments.unwrap_or_default(),
                    },
                )));
            }
        }
        Ok(None)
    }

    async fn event(&self, record: &Record, index: u32, fact: &Fact) -> Result<FactEvent, EngineError> {
        let text = match fact.payload().and_then(|p| record.payloads.get(usize::from(p))) {
            Some(payload) => Some(payload::open(self.journal(), &record.header.tenant, payload).await?),
            None => None,
        };
        let text = text.map(|t| String::from_utf8_lossy(&t).into_owned());
        let leaf = self.journal().read(record.header.run, record.header.seq, 1).await?;
        let leaf = leaf.first().map_or(stead_core::run::GENESIS, |r| r.leaf);
        Ok(FactEvent::new(&record.header, leaf, index, fact.clone(), text).with_why(record))
    }
}

/// What policies put in the place of a call's arguments.
fn rewritten(records: &[Record], effect: u32) -> Option<(&Record, &Payload)> {
    let of = |fact: &Fact| match fact {
        Fact::EffectDecided(f) if f.effect == effect => f.rewritten.as_deref().map(|r| r.arguments),
        _ => None,
    };
    records.iter().rev().find_map(|record| {
        let payload = record.facts.iter().find_map(of)?;
        Some((record, record.payloads.get(usize::from(payload))?))
    })
}

/// The turn that a fact is about.
fn of_turn(fact: &Fact) -> Option<u32> {
    match fact {
        Fact::ModelRequested(f) => Some(f.turn),
        Fact::ModelReplied(f) => Some(f.turn),
        Fact::ModelFailed(f) => Some(f.turn),
        Fact::AnswerRejected(f) => Some(f.turn),
        Fact::ModelDenied(f) => Some(f.turn),
        _ => None,
    }
}

/// Whether a fact clears old results for the request of that turn, which follows in the same record.
fn cleared_for(record: &Record, index: u32, turn: u32) -> bool {
    let rest = record.facts.get(index as usize..).unwrap_or_default();
    matches!(rest.first(), Some(Fact::ContextCompacted(_)))
        && rest.iter().any(|f| matches!(f, Fact::ModelRequested(f) if f.turn == turn))
}

/// Whether a fact says what counters told the decision about a model of that turn, whose fact is the next one.
fn read_for(record: &Record, index: u32, turn: u32) -> bool {
    let at = |n: usize| record.facts.get(n);
    matches!(at(index as usize), Some(Fact::HistoryRead(f)) if f.effect.is_none())
        && at(index as usize + 1).and_then(of_turn) == Some(turn)
}

/// The effect that a fact is about.
fn of_effect(fact: &Fact) -> Option<u32> {
    match fact {
        Fact::HistoryRead(f) => f.effect,
        Fact::ApprovalsUsed(f) => Some(f.effect),
        Fact::PreviewDecided(f) => Some(f.effect),
        Fact::Previewed(f) => Some(f.effect),
        Fact::ApprovalReminded(f) => Some(f.effect),
        Fact::ApprovalEscalated(f) => Some(f.effect),
        Fact::EffectDecided(f) => Some(f.effect),
        Fact::ApprovalRequested(f) => Some(f.effect),
        Fact::ApprovalGiven(f) => Some(f.effect),
        Fact::ApprovalExpired(f) | Fact::EffectWithdrawn(f) => Some(f.effect),
        Fact::EffectIntended(f) => Some(f.effect),
        Fact::EffectReturned(f) | Fact::EffectRefused(f) => Some(f.effect),
        Fact::EffectNotSent(f) => Some(f.effect),
        Fact::EffectUnknown(f) => Some(f.effect),
        Fact::EffectReconciled(f) => Some(f.effect),
        Fact::ChildStarted(f) => Some(f.effect),
        Fact::ChildFinished(f) => Some(f.effect),
        _ => None,
    }
}
