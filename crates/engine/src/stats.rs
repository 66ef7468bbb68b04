//! Counters of an engine; cheap to bump, read together.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use stead_core::{
    budget::{MicroUsd, Spend},
    code,
    fact::{AfterUnknown, Fact},
};

use crate::{providers::ProviderStats, types::Stats};

/// The live counters behind [`Stats`].
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) model_calls: AtomicU64,
    pub(crate) tool_calls: AtomicU64,
    started: AtomicU64,
    ended: [AtomicU64; 3],
    records: AtomicU64,
    replies: AtomicU64,
    failures: AtomicU64,
    rejected: AtomicU64,
    returned: AtomicU64,
    unknown: AtomicU64,
    pub(crate) slices_refused: AtomicU64,
    slices: AtomicU64,
    blocked: AtomicU64,
    tokens: AtomicU64,
    usd: AtomicU64,
}

impl Counters {
    /// Counts a durable record.
    pub(crate) fn record(&self, facts: &[Fact]) {
        self.records.fetch_add(1, Relaxed);
        for fact in facts {
            match fact {
                Fact::RunStarted(_) => bump(&self.started),
                Fact::ModelReplied(f) => {
                    bump(&self.replies);
                    self.spend(f.spent);
                }
                // An attempt that was never made is none that failed.
                Fact::ModelFailed(f) if f.code == code::PROVIDER_LIMIT => {}
                Fact::AnswerRejected(_) => bump(&self.rejected),
                Fact::ModelFailed(f) => {
                    bump(&self.failures);
                    self.spend(f.spent);
                }
                Fact::EffectReturned(_) => bump(&self.returned),
                Fact::EffectUnknown(f) if f.then == AfterUnknown::Tell => bump(&self.unknown),
                Fact::BudgetMoved(f) if f.taken.is_some() => bump(&self.slices),
                f if f.is_blocked() => bump(&self.blocked),
                Fact::RunCompleted(_) => bump(&self.ended[0]),
                Fact::RunFailed(_) => bump(&self.ended[1]),
                Fact::RunCancelled => bump(&self.ended[2]),
                _ => {}
            }
        }
    }

    fn spend(&self, spent: Spend) {
        self.tokens.fetch_add(spent.tokens, Relaxed);
        // Unknown money is left out of the sum; the runs themselves show it as unknown.
        self.usd.fetch_add(spent.usd.unwrap_or_default().0, Relaxed);
    }

    /// All counters at about one moment.
    pub(crate) fn read(&self, loaded: u64, backlog: u64, providers: Vec<ProviderStats>) -> Stats {
        let get = |c: &AtomicU64| c.load(Relaxed);
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
            answers_rejected: get(&self.rejected),
            slices: get(&self.slices),
            slices_refused: get(&self.slices_refused),
            blocked: get(&self.blocked),
            providers,
            spent: Spend { tokens: get(&self.tokens), usd: Some(MicroUsd(get(&self.usd))) },
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
