//! What runs have used.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::{
    budget::{MicroUsd, Spend},
    id::{Name, SessionId},
    time::Timestamp,
};

use crate::schema;

/// Sums over settled model calls. A call counts in the hour in which it was settled, and with the run that made it: a child's
/// calls with the child, never with its parent too. What a run that works has used is added
/// when it waits or ends, and after every 16 model calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsageReport {
    /// The first hour that is in it; `null` for the beginning.
    #[schemars(with = "Option<schema::Timestamp>")]
    pub since: Option<Timestamp>,
    /// The first hour that is not in it any more; `null` for none.
    #[schemars(with = "Option<schema::Timestamp>")]
    pub until: Option<Timestamp>,
    /// What it is grouped by.
    pub by: Vec<UsageBy>,
    /// The groups, those with the most tokens first.
    pub groups: Vec<UsageGroup>,
    /// Whether there are more groups than are listed.
    pub more: bool,
    /// The sum of all, those not listed included.
    pub total: UsageSums,
}

/// What usage can be grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UsageBy {
    /// Each agent.
    Agent,
    /// Each model, as the manifest names it.
    Model,
    /// Each user: who started the run, or the first of the runs that started it.
    User,
    /// Each session.
    Session,
}

impl UsageBy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Agent, Self::Model, Self::User, Self::Session];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Model => "model",
            Self::User => "user",
            Self::Session => "session",
        }
    }

    /// What a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.as_str() == word)
    }
}

/// One group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsageGroup {
    /// The agent, when grouped by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub agent: Option<Name>,
    /// The model, when grouped by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub model: Option<Name>,
    /// The user, when grouped by it; absent for runs that nobody in particular started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub user: Option<Name>,
    /// The session, when grouped by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::SessionId>")]
    pub session: Option<SessionId>,
    /// The sums.
    #[serde(flatten)]
    pub sums: UsageSums,
}

/// Sums of model calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsageSums {
    /// Runs that used something in the period.
    pub runs: u64,
    /// Model calls that were answered.
    pub model_calls: u64,
    /// Model attempts that came to nothing.
    pub failed_calls: u64,
    /// Tool calls that the answers asked for, denied ones included.
    pub tool_calls: u64,
    /// Input tokens, cached ones included.
    pub input: u64,
    /// Of the input, tokens read from the provider's cache.
    pub cached: u64,
    /// Of the input, tokens written to the provider's cache.
    #[serde(default)]
    pub cache_write: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Of the output, reasoning tokens.
    pub reasoning: u64,
    /// Everything together: input, output, and what is estimated. `usd` is null once a call of unknown price is in it.
    #[schemars(with = "schema::Spend")]
    pub spent: Spend,
    /// Of that, what lost attempts were settled at: all that was set aside for them, because nobody counted.
    #[schemars(with = "schema::Spend")]
    pub estimated: Spend,
    /// Money of the calls whose price is known, in millionths of a dollar.
    #[schemars(with = "schema::MicroUsd")]
    pub known_usd: MicroUsd,
    /// Calls whose price is not known.
    pub unpriced_calls: u64,
}

impl Default for UsageSums {
    fn default() -> Self {
        Self {
            runs: 0,
            model_calls: 0,
            failed_calls: 0,
            tool_calls: 0,
            input: 0,
            cached: 0,
            cache_write: 0,
            output: 0,
            reasoning: 0,
            spent: Spend::ZERO,
            estimated: Spend::ZERO,
            known_usd: MicroUsd(0),
            unpriced_calls: 0,
        }
    }
}
