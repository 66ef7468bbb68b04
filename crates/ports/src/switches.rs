//! The switches port: what operators have turned off, and turned on again, in the order in which they did. Nothing in it is ever
//! changed or removed, so that it also tells who did what, when and why.
//!
//! A row with [`What::Runs`] turns nothing on or off for good: it stops every run whose chain began before it.
//!
//! Not here: what a switch keeps from happening. That is for the engine, which looks at them last of all before an effect begins.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use stead_core::{id::Name, time::Timestamp};

use crate::journal::StoreError;

/// Rows that are kept; their numbers are 1 to this.
pub const MAX_SWITCHES: u64 = 1_000_000;

/// What a switch is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// All runs of the tenant that have begun so far: they are stopped.
    Runs,
    /// Everything in the tenant.
    Tenant,
    /// An agent, in all its versions.
    Agent,
    /// One version of an agent.
    Version,
    /// A tool by its name, or all tools of an entry of manifests by the entry's name.
    Tool,
    /// A provider of models, by the name of its account.
    Provider,
    /// One run and those below it.
    Run,
    /// A person: their calls, and the runs that work on their behalf.
    Person,
    /// What a person let runs do on their behalf: the runs alone, not their calls. The server turns it when it sees that they may have
    /// no runs any more.
    Delegation,
    /// A token of a run, by its `jti`.
    Token,
}

impl What {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Runs,
        Self::Tenant,
        Self::Agent,
        Self::Version,
        Self::Tool,
        Self::Provider,
        Self::Run,
        Self::Person,
        Self::Delegation,
        Self::Token,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Tenant => "tenant",
            Self::Agent => "agent",
            Self::Version => "version",
            Self::Tool => "tool",
            Self::Provider => "provider",
            Self::Run => "run",
            Self::Person => "person",
            Self::Delegation => "delegation",
            Self::Token => "token",
        }
    }

    /// What the word is for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.as_str() == word)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What somebody does with a switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSwitch {
    /// The tenant.
    pub tenant: Name,
    /// What it is about.
    pub what: What,
    /// Which one of these; for [`What::Runs`] how they are stopped, `cancel` or `kill`; for [`What::Tenant`] its name.
    pub name: Name,
    /// Whether it is turned on again.
    pub on: bool,
    /// Who.
    pub by: Name,
    /// When.
    pub at: Timestamp,
    /// Why, in their words.
    pub reason: String,
}

/// What somebody did with a switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchRow {
    /// Its place in the order of all rows of all tenants, from 1.
    pub n: u64,
    /// What was done.
    pub switch: NewSwitch,
    /// Whether all runs that it stops, or wakes, have heard of it.
    pub heard: bool,
}

/// What operators have turned off and on.
#[async_trait]
pub trait SwitchStore: Send + Sync + 'static {
    /// Keeps a row under the next number and tells that; durable when it returns. `None` when there are [`MAX_SWITCHES`].
    async fn put_switch(&self, switch: NewSwitch) -> Result<Option<u64>, StoreError>;

    /// Rows after a number, in their order, of all tenants.
    async fn switches(&self, after: u64, limit: u32) -> Result<Vec<SwitchRow>, StoreError>;

    /// The last number; 0 when there is none.
    async fn last_switch(&self) -> Result<u64, StoreError>;

    /// Rows of a tenant before a number, the last one first.
    async fn past_switches(&self, tenant: &Name, before: Option<u64>, limit: u32)
    -> Result<Vec<SwitchRow>, StoreError>;

    /// Notes that all runs have heard of a row.
    async fn switch_heard(&self, n: u64) -> Result<(), StoreError>;
}
