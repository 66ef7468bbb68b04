//! Agents and their versions.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::{
    budget::Limits as CoreLimits,
    effect::EffectClass,
    id::{Name, VersionId},
    time::Timestamp,
};

use crate::{run::Limits, schema};

/// Makes a version of an agent from its files and lets new runs use it. Applying equal files again changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyAgent {
    /// The agent.
    pub bundle: Bundle,
    /// Absolute path of the manifest's folder on the server's machine: relative database paths and tool commands start
    /// there. Without it they start in the agent's own folder of the server's data directory. No part of the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// The alias that names the version from now on; `live`, which new runs use, when absent. Another one leaves `live` where
    /// it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub alias: Option<Name>,
}

/// A manifest with every file that it names, as one document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// Version of this form: 1.
    pub format: u32,
    /// Text of `agent.yaml`.
    pub manifest: String,
    /// Texts of the files that it names, by the name that it uses.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Agents of its own folder, by the path that it uses.
    #[serde(default)]
    pub agents: BTreeMap<String, Bundle>,
    /// Left empty: the server asks the MCP servers itself and pins what they offer.
    #[serde(default)]
    pub pinned: BTreeMap<String, Vec<PinnedTool>>,
}

/// A tool as its MCP server offered it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PinnedTool {
    /// Its full name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments.
    pub schema: serde_json::Value,
    /// JSON Schema of its results, where the server tells one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<serde_json::Value>,
}

/// An agent version in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentSummary {
    /// The agent's name.
    #[schemars(with = "String")]
    pub name: Name,
    /// The version.
    #[schemars(with = "schema::VersionId")]
    pub version: VersionId,
    /// When the version was first applied.
    #[schemars(with = "schema::Timestamp")]
    pub created: Timestamp,
    /// Whether new runs use this version.
    pub live: bool,
    /// The aliases that name it. Told where an agent's versions are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub aliases: Vec<Name>,
}

/// An agent version with what it is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Agent {
    /// The agent's name.
    #[schemars(with = "String")]
    pub name: Name,
    /// The version.
    #[schemars(with = "schema::VersionId")]
    pub version: VersionId,
    /// When the version was first applied.
    #[schemars(with = "schema::Timestamp")]
    pub created: Timestamp,
    /// Whether new runs use this version.
    pub live: bool,
    /// The alias that waits for a second person to let it name this version. Told where it was just applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub proposed: Option<Name>,
    /// Its instructions.
    pub instructions: String,
    /// Its models, first choice first.
    pub models: Vec<ModelInfo>,
    /// Its tools, by name.
    pub tools: Vec<ToolInfo>,
    /// Limits of each run.
    pub limits: Limits,
    /// JSON Schema that each run's input must satisfy. An input whose schema has the `type` `string` is that text; every other
    /// is read as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<serde_json::Value>,
    /// Programs of MCP servers over stdio, of this agent and of those that it calls, as their manifests name them. They run
    /// on the server's machine as the server's user, in no sandbox: their manifests say `sandbox: none`, and the operator allows that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsandboxed: Vec<String>,
    /// What nobody watches: other people's words and the world outside meet in this agent, and nothing of it is traced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untraced: Option<Untraced>,
}

/// Tools of an agent between which nothing stands: whoever writes what the first say may have it do what the others do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Untraced {
    /// Full names of tools whose results nobody vouches for.
    pub reads: Vec<String>,
    /// Full names of tools that do something outside.
    pub acts: Vec<String>,
}

impl fmt::Display for Untraced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (reads, acts) = (some(&self.reads), some(&self.acts));
        write!(
            f,
            "it reads what nobody vouches for ({reads}) and acts outside ({acts}), and its manifest has nothing traced"
        )
    }
}

/// The first names of a list.
fn some(names: &[String]) -> String {
    const TOLD: usize = 4;
    let mut out = names.iter().take(TOLD).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > TOLD {
        out.push_str(&format!(" and {} more", names.len() - TOLD));
    }
    out
}

/// A model of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelInfo {
    /// As the manifest names it.
    #[schemars(with = "String")]
    pub name: Name,
    /// Whether this is a scripted model and no AI.
    pub scripted: bool,
    /// Whether its price is known. A money limit refuses a model without a known price.
    pub priced: bool,
}

/// A tool of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolInfo {
    /// Its full name.
    #[schemars(with = "String")]
    pub name: Name,
    /// What it does, as the model is told.
    pub description: String,
    /// What it promises about repetition.
    #[schemars(with = "schema::EffectClass")]
    pub class: EffectClass,
    /// Whether a human must approve each call.
    pub ask: bool,
    /// JSON Schema of its arguments.
    pub schema: serde_json::Value,
    /// The agent version it stands for, when it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::VersionId>")]
    pub agent: Option<VersionId>,
}

impl From<&CoreLimits> for Limits {
    fn from(l: &CoreLimits) -> Self {
        Self {
            tokens: l.tokens,
            usd: l.usd,
            tool_calls: l.tool_calls,
            active: l.active,
            deadline: l.deadline,
            children: l.children,
            cpu: l.cpu,
            traffic: l.traffic,
            disk: l.disk,
        }
    }
}

impl From<&Limits> for CoreLimits {
    fn from(l: &Limits) -> Self {
        Self {
            tokens: l.tokens,
            usd: l.usd,
            tool_calls: l.tool_calls,
            active: l.active,
            deadline: l.deadline,
            children: l.children,
            cpu: l.cpu,
            traffic: l.traffic,
            disk: l.disk,
        }
    }
}
