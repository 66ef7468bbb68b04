//! What operators turn off and on again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::{id::Name, time::Timestamp};

use crate::schema;

/// What can be turned off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Switched {
    /// Everything in the tenant: its runs hold, and none is started.
    Tenant,
    /// An agent in all its versions: runs of it, and those below them, hold.
    Agent,
    /// One version of an agent.
    Version,
    /// A tool by its name, or all tools of an entry of manifests by the entry's name: its calls are denied.
    Tool,
    /// A provider of models, by the name of its account: its calls are denied, and the next model of a chain is asked.
    Provider,
    /// A run and those below it hold.
    Run,
    /// A person: their requests are refused, and the runs that work on their behalf hold.
    Person,
    /// A token of a run, by its `jti`: this server sends it nowhere any more, and says of it that it is inactive.
    Token,
}

/// Turns something off, or on again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TurnSwitch {
    /// What it is about.
    pub what: Switched,
    /// Which one of these: a name, a run's id, a version in full.
    #[schemars(with = "String")]
    pub name: Name,
    /// Whether it is on from now on.
    pub on: bool,
    /// Why; whoever meets the switch is told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The tenant; that of the token when absent. Another one only by the data directory's own token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub tenant: Option<Name>,
}

/// Stops all runs that there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelAll {
    /// Must be true: a body without it stops nothing.
    pub all: bool,
    /// Whether effects under way are abandoned rather than awaited.
    #[serde(default)]
    pub kill: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The tenant; that of the token when absent. Another one only by the data directory's own token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub tenant: Option<Name>,
}

/// What somebody did with a switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Switch {
    /// Its place in the order of all that was turned.
    pub number: u64,
    /// The tenant.
    #[schemars(with = "String")]
    pub tenant: Name,
    /// What it is about: `runs` for a stop of all runs, else as in the request.
    pub what: String,
    /// Which one of these; of `runs` how they are stopped, `cancel` or `kill`.
    #[schemars(with = "String")]
    pub name: Name,
    /// Whether it was turned on again.
    pub on: bool,
    /// Who.
    #[schemars(with = "String")]
    pub by: Name,
    /// When.
    #[schemars(with = "schema::Timestamp")]
    pub at: Timestamp,
    /// Why, in their words.
    pub reason: String,
    /// Whether every run that must stop, or go on, has been told.
    pub heard: bool,
}

/// What is off now, and what was turned before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Switches {
    /// What is off, in the order in which it was turned off.
    pub off: Vec<Switch>,
    /// What was turned, the last first.
    pub past: Vec<Switch>,
    /// Where the next page of `past` begins, when there is one: the parameter `before`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}
