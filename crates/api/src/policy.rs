//! Policy sets: each applied under its tenant's next epoch, checked against the tools of its agents.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stead_core::{
    effect::EffectClass,
    id::{EffectId, Name, VersionId},
    time::Timestamp,
};

use crate::{problem::Place, schema};

/// The files of a policy set, by their names below its folder: `refunds.cedar`, `gates/large.cedar`, `history.yaml`,
/// `tools.yaml`, `tests.yaml`.
pub type PolicyFiles = BTreeMap<String, String>;

/// Applies a policy set, whole or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyPolicies {
    /// Its files.
    pub files: PolicyFiles,
}

/// Looks at a policy set without applying it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckPolicies {
    /// Its files.
    pub files: PolicyFiles,
}

/// Decides recorded calls again under a policy set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayPolicies {
    /// Its files.
    pub files: PolicyFiles,
    /// How far back: `7d`, `12h`; at most 90 days.
    pub since: String,
    /// Only runs of this agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub agent: Option<Name>,
}

/// How far an entry has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum PolicyStatus {
    /// It decides now.
    InForce,
    /// It decided until a later one came.
    Past,
    /// It waits for a second person.
    Proposed,
    /// It waited, and a later one came into force meanwhile.
    Overtaken,
}

impl PolicyStatus {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InForce => "in force",
            Self::Past => "past",
            Self::Proposed => "proposed",
            Self::Overtaken => "overtaken",
        }
    }
}

/// A policy set that was applied or proposed. It never changes, but for the second person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicySet {
    /// Its place in the order of the tenant's sets, from 1.
    pub epoch: u64,
    /// `pol_` and the SHA-256 of its files.
    pub digest: String,
    /// How far it has come.
    pub status: PolicyStatus,
    /// Who applied or proposed it.
    #[schemars(with = "String")]
    pub by: Name,
    /// When.
    #[schemars(with = "schema::Timestamp")]
    pub at: Timestamp,
    /// The epoch whose files these are, when it went back to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<u64>,
    /// Who confirmed it, when it took a second person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub confirmed_by: Option<Name>,
    /// When that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Timestamp>")]
    pub confirmed_at: Option<Timestamp>,
}

/// A policy set with its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicySetFiles {
    /// The entry.
    #[serde(flatten)]
    pub set: PolicySet,
    /// Its files.
    pub files: PolicyFiles,
    /// The tools of the tenant's agents that it was checked against.
    pub tools: Vec<PolicyTool>,
}

/// A tool as policies know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyTool {
    /// As the model calls it.
    pub name: String,
    /// The entry of the manifest that it comes from.
    pub toolset: String,
    /// What its effects promise.
    #[schemars(with = "schema::EffectClass")]
    pub class: EffectClass,
    /// How bad a mistake is: `normal`, `high` or `critical`.
    pub risk: String,
    /// JSON Schema of its arguments.
    pub schema: Value,
}

/// A policy set was applied or proposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppliedPolicies {
    /// The entry.
    #[serde(flatten)]
    pub set: PolicySet,
    /// What deserves a second look, tools that an agent can never use among it.
    pub warnings: Vec<Place>,
}

/// What a policy set would be here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyCheck {
    /// `pol_` and the SHA-256 of its files.
    pub digest: String,
    /// The epoch that is in force; 0 for the default policy alone.
    pub in_force: u64,
    /// What deserves a second look, tools that an agent can never use among it.
    pub warnings: Vec<Place>,
    /// The tools of the tenant's agents that it was checked against.
    pub tools: Vec<PolicyTool>,
}

/// A decision that would turn out otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyFlip {
    /// The call.
    #[schemars(with = "schema::EffectId")]
    pub effect: EffectId,
    /// The agent that made it.
    #[schemars(with = "String")]
    pub agent: Name,
    /// Its version.
    #[schemars(with = "schema::VersionId")]
    pub version: VersionId,
    /// The tool.
    pub tool: String,
    /// Its arguments; cut after 1,000 characters.
    pub arguments: String,
    /// When it was decided.
    #[schemars(with = "schema::Timestamp")]
    pub at: Timestamp,
    /// What it was: `allow`, `deny` or `ask`.
    pub was: String,
    /// What it would be.
    pub now: String,
    /// The policies that would decide so.
    pub by: Vec<String>,
    /// What the model or the human would be told, when it would not be allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
}

/// What came of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyReplay {
    /// Runs that were read.
    pub runs: u64,
    /// Decisions that were made again.
    pub decided: u64,
    /// Decisions that could not be made again: their arguments are gone, or nobody can load the agent's version.
    pub skipped: u64,
    /// Whether there was more than one replay takes: what is older was left out.
    pub truncated: bool,
    /// Those that would turn out otherwise, oldest first; at most 1,000.
    pub flips: Vec<PolicyFlip>,
    /// How many would in all.
    pub flipped: u64,
}
