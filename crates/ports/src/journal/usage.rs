//! The words for what runs have used: kept with each settlement, asked for by agent, model, user or session.

use serde::{Deserialize, Serialize};
use stead_core::{
    budget::{MicroUsd, Spend},
    id::{Name, RunId, SessionId},
    time::Timestamp,
};

/// Usage is kept by whole hours (UTC): microseconds of one.
pub const HOUR: i64 = 3_600_000_000;

/// The hour that an instant is in, counted from 1970.
pub fn hour_of(at: Timestamp) -> i64 {
    at.0.div_euclid(HOUR)
}

/// Sums of settled model calls. Every number is a plain sum over facts, so that sums of sums are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Model calls that were answered.
    pub replies: u64,
    /// Model attempts that came to nothing.
    pub failures: u64,
    /// Tool calls that the answers asked for.
    pub tool_calls: u64,
    /// Input tokens of the answered calls, cached ones included.
    pub input: u64,
    /// Of the input, tokens read from the provider's cache.
    pub cached: u64,
    /// Of the input, tokens written to the provider's cache.
    pub cache_write: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Of the output, reasoning tokens.
    pub reasoning: u64,
    /// Money of the calls whose price is known, estimated ones included, in millionths of a dollar.
    pub usd: u64,
    /// Calls whose price is not known: their money is in no sum.
    pub unpriced: u64,
    /// Tokens of lost attempts, settled at what was set aside for them: nobody counted them.
    pub estimated_tokens: u64,
    /// Of `usd`, the part of lost attempts.
    pub estimated_usd: u64,
}

impl Used {
    /// The sum of the two.
    #[must_use]
    pub fn plus(self, o: Self) -> Self {
        Self {
            replies: self.replies.saturating_add(o.replies),
            failures: self.failures.saturating_add(o.failures),
            tool_calls: self.tool_calls.saturating_add(o.tool_calls),
            input: self.input.saturating_add(o.input),
            cached: self.cached.saturating_add(o.cached),
            cache_write: self.cache_write.saturating_add(o.cache_write),
            output: self.output.saturating_add(o.output),
            reasoning: self.reasoning.saturating_add(o.reasoning),
            usd: self.usd.saturating_add(o.usd),
            unpriced: self.unpriced.saturating_add(o.unpriced),
            estimated_tokens: self.estimated_tokens.saturating_add(o.estimated_tokens),
            estimated_usd: self.estimated_usd.saturating_add(o.estimated_usd),
        }
    }

    /// What all of it comes to; the money is not known once a call without a known price is in it.
    pub fn spent(&self) -> Spend {
        Spend {
            tokens: self.input.saturating_add(self.output).saturating_add(self.estimated_tokens),
            usd: (self.unpriced == 0).then_some(MicroUsd(self.usd)),
        }
    }

    /// As columns of a table, in the order of the fields.
    pub fn columns(&self) -> [u64; 12] {
        let Self { replies, failures, tool_calls, input, cached, output, reasoning, usd, .. } = *self;
        let (cache_write, unpriced) = (self.cache_write, self.unpriced);
        let (estimated_tokens, estimated_usd) = (self.estimated_tokens, self.estimated_usd);
        [
            replies,
            failures,
            tool_calls,
            input,
            cached,
            cache_write,
            output,
            reasoning,
            usd,
            unpriced,
            estimated_tokens,
            estimated_usd,
        ]
    }

    /// From columns of a table.
    pub fn from_columns(c: [u64; 12]) -> Self {
        let [replies, failures, tool_calls, input, cached, cache_write, output, reasoning, usd, rest @ ..] = c;
        let [unpriced, estimated_tokens, estimated_usd] = rest;
        Self {
            replies,
            failures,
            tool_calls,
            input,
            cached,
            cache_write,
            output,
            reasoning,
            usd,
            unpriced,
            estimated_tokens,
            estimated_usd,
        }
    }
}

/// What a run has settled with one model in one hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The model, as the manifest names it.
    pub model: Name,
    /// The hour, as [`hour_of`] counts.
    pub hour: i64,
    /// How much.
    pub used: Used,
}

/// All that a run has settled, when the index is to be told anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastRun {
    /// The run.
    pub run: RunId,
    /// Who started it, or the first run of those that started it; None when the index knows.
    pub user: Option<Name>,
    /// What it settled; each hour and model once.
    pub usage: Vec<Settled>,
}

/// What to group by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupBy {
    /// Each agent.
    pub agent: bool,
    /// Each model.
    pub model: bool,
    /// Each user: who started the run, or the first run of those that started it.
    pub user: bool,
    /// Each session.
    pub session: bool,
}

/// Which usage to sum.
#[derive(Clone, Debug, Default)]
pub struct UsageFilter {
    /// Of this tenant.
    pub tenant: Name,
    /// Grouped so; by nothing means one sum of all.
    pub by: GroupBy,
    /// Of this hour and later ones.
    pub since_hour: Option<i64>,
    /// Of hours before this one.
    pub until_hour: Option<i64>,
    /// At most so many groups, those with the most tokens first.
    pub limit: u32,
}

/// A group of usage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageRow {
    /// The agent, when grouped by it.
    pub agent: Option<Name>,
    /// The model, when grouped by it.
    pub model: Option<Name>,
    /// The user, when grouped by it and known.
    pub user: Option<Name>,
    /// The session, when grouped by it.
    pub session: Option<SessionId>,
    /// Runs that used something.
    pub runs: u64,
    /// The sums.
    pub used: Used,
}
