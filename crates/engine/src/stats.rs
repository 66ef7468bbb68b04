//! Counters of an engine; cheap to bump, read together.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use stead_core::{
    budget::{MicroUsd, Spend},
    code::{self, Code},
    fact::{AfterUnknown, Fact},
    id::Name,
    run::{Life, Phase, State},
};

use crate::{
    actor::Actor,
    outcomes::{OUTCOMES, outcome},
    providers::{OTHER, ProviderStats},
    timed::Timed,
    types::Stats,
};

/// The provider of models that have none: scripts and cassettes.
const NO_PROVIDER: &str = "none";

/// The live counters behind [`Stats`].
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) model_calls: AtomicU64,
    pub(crate) tool_calls: AtomicU64,
    started: AtomicU64,
    ended: [AtomicU64; 3],
    lasted: [Timed; 3],
    records: AtomicU64,
    replies: AtomicU64,
    failures: AtomicU64,
    rejected: AtomicU64,
    returned: AtomicU64,
    unknown: AtomicU64,
    effects: [AtomicU64; OUTCOMES.len()],
    pub(crate) slices_refused: AtomicU64,
    slices: AtomicU64,
    blocked: AtomicU64,
    asked: [AtomicU64; 4],
    tokens: AtomicU64,
    usd: AtomicU64,
    /// Whether a call of unknown price is in the sum.
    unpriced: AtomicBool,
    spent_by: Mutex<BTreeMap<Name, Spend>>,
    failed_by: Mutex<BTreeMap<(&'static str, Code), u64>>,
    attempts: Mutex<BTreeMap<Name, Arc<Timed>>>,
    calls: Mutex<BTreeMap<&'static str, Arc<Timed>>>,
    tool_errors: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

impl Counters {
    /// Counts a durable record: its facts, the states before and after it, and the provider whose model was asked before it.
    pub(crate) fn record(&self, facts: &[Fact], was: Option<&State>, now: &State, provider: impl Fn() -> Name) {
        self.records.fetch_add(1, Relaxed);
        for fact in facts {
            match fact {
                Fact::RunStarted(_) => bump(&self.started),
                Fact::ModelReplied(f) => {
                    bump(&self.replies);
                    self.spend(f.spent, provider());
                }
                // An attempt that was never made is none that failed.
                Fact::ModelFailed(f) if f.code == code::PROVIDER_LIMIT => {}
                Fact::AnswerRejected(_) => bump(&self.rejected),
                Fact::ModelFailed(f) => {
                    bump(&self.failures);
                    self.failed("model", f.code);
                    self.spend(f.spent, provider());
                }
                Fact::EffectReturned(_) => bump(&self.returned),
                Fact::EffectUnknown(f) if f.then == AfterUnknown::Tell => bump(&self.unknown),
                Fact::BudgetMoved(f) if f.taken.is_some() => bump(&self.slices),
                Fact::ApprovalRequested(_) if !fact.is_blocked() => bump(&self.asked[0]),
                Fact::ApprovalReminded(_) => bump(&self.asked[1]),
                Fact::ApprovalEscalated(_) => bump(&self.asked[2]),
                Fact::EffectDecided(f) if f.code == Some(code::ASKS_FULL) => {
                    bump(&self.asked[3]);
                    tracing::warn!(run = %now.run, agent = %now.agent, asked = now.asks, "the run may ask people nothing more now");
                }
                f if f.is_blocked() => bump(&self.blocked),
                Fact::RunCompleted(_) => bump(&self.ended[0]),
                Fact::RunFailed(f) => {
                    bump(&self.ended[1]);
                    self.failed("run", f.code);
                }
                Fact::RunCancelled => bump(&self.ended[2]),
                _ => {}
            }
            if let Some(outcome) = outcome(fact, was) {
                bump(&self.effects[outcome]);
            }
        }
        let how = match now.life {
            Life::Completed => &self.lasted[0],
            Life::Failed(_) => &self.lasted[1],
            Life::Cancelled => &self.lasted[2],
            Life::Queued | Life::Live => return,
        };
        if was.is_none_or(|was| !was.life.ended()) {
            how.add(now.last_at.since(now.started_at).0);
        }
    }

    fn spend(&self, spent: Spend, provider: Name) {
        self.tokens.fetch_add(spent.tokens, Relaxed);
        match spent.usd {
            Some(usd) => {
                self.usd.fetch_add(usd.0, Relaxed);
            }
            // Unknown is never 0: the sum is not known any more.
            None => self.unpriced.store(true, Relaxed),
        }
        let mut by = self.spent_by.lock();
        let sum = by.entry(provider).or_insert(Spend::ZERO);
        *sum = sum.plus(spent);
    }

    fn failed(&self, what: &'static str, code: Code) {
        *self.failed_by.lock().entry((what, code)).or_default() += 1;
    }

    /// An attempt at a model of that provider came back after so many microseconds.
    pub(crate) fn attempted(&self, provider: Option<Name>, micros: u64) {
        let timed = self.attempts.lock().entry(provider.unwrap_or_else(|| NO_PROVIDER.into())).or_default().clone();
        timed.add(micros);
    }

    /// A call of a tool of that kind came back after so many microseconds.
    pub(crate) fn called(&self, kind: &'static str, micros: u64) {
        let timed = self.calls.lock().entry(kind).or_default().clone();
        timed.add(micros);
    }

    /// A call of a tool of that kind came to something else than an answer.
    pub(crate) fn tool_failed(&self, kind: &'static str, how: &'static str) {
        *self.tool_errors.lock().entry((kind, how)).or_default() += 1;
    }

    /// All counters at about one moment.
    pub(crate) fn read(&self, loaded: u64, backlog: u64, providers: Vec<ProviderStats>) -> Stats {
        let get = |c: &AtomicU64| c.load(Relaxed);
        let usd = (!self.unpriced.load(Relaxed)).then(|| MicroUsd(get(&self.usd)));
        Stats {
            loaded,
            backlog,
            model_calls: get(&self.model_calls),
            tool_calls: get(&self.tool_calls),
            runs_started: get(&self.started),
            runs_ended: [get(&self.ended[0]), get(&self.ended[1]), get(&self.ended[2])],
            records: get(&self.records),
            model_replies: get(&self.replies),
            model_failures: get(&self.failures),
            effects_returned: get(&self.returned),
            effects_unknown: get(&self.unknown),
            effects_ended: OUTCOMES.into_iter().zip(self.effects.iter().map(get)).collect(),
            answers_rejected: get(&self.rejected),
            slices: get(&self.slices),
            slices_refused: get(&self.slices_refused),
            blocked: get(&self.blocked),
            asked: self.asked.each_ref().map(get),
            providers,
            spent: Spend { tokens: get(&self.tokens), usd },
            spent_by: self.spent_by.lock().clone(),
            failures: self.failed_by.lock().clone(),
            attempts: self.attempts.lock().iter().map(|(provider, timed)| (provider.clone(), timed.read())).collect(),
            tool_errors: self.tool_errors.lock().clone(),
            calls: self.calls.lock().iter().map(|(kind, timed)| (*kind, timed.read())).collect(),
            lasted: self.lasted.each_ref().map(Timed::read),
        }
    }
}

impl Actor {
    /// Counts a record that has become durable; `was` is the state before it.
    pub(crate) fn count(&self, facts: &[Fact], was: &State) {
        let provider = || match was.phase {
            Phase::Model { model, .. } => self.provider(model),
            _ => NO_PROVIDER.into(),
        };
        self.engine.0.counters.record(facts, Some(was), &self.state, provider);
    }

    /// How counters name the provider of a model; that of a version that cannot be loaded is not known.
    fn provider(&self, model: u8) -> Name {
        let providers = &self.engine.0.providers;
        match self.agent.models.get(usize::from(model)) {
            Some(model) => model.account().map_or_else(|| NO_PROVIDER.into(), |account| providers.label(account)),
            None => OTHER.into(),
        }
    }
}

fn bump(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// Counts something as under way for as long as it lives.
pub(crate) struct UnderWay<'a>(&'a AtomicU64);

impl<'a> UnderWay<'a> {
    pub(crate) fn new(counter: &'a AtomicU64) -> Self {
        bump(counter);
        Self(counter)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
