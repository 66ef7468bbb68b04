//! A loaded agent version: models, tools and rules, ready for the engine. Whoever wires a server builds these from
//! manifests; the engine only asks for them by version.

use std::{collections::BTreeMap, fmt, sync::Arc};

use stead_core::{
    budget::Limits,
    code::Code,
    effect::{EffectClass, Risk},
    fact::{CallRules, RunConfig},
    id::{Name, VersionId},
    message::{OutputSchema, ToolDef},
    sandbox::Tier,
    time::Span,
};

use stead_provenance::{declare::Tool as Declared, entitle::Entitlements};

use crate::{BoxFuture, input::InputSchema, model::Model, tool::Tool};

/// Checks arguments against a tool's schema; the error says where and what, for the model to mend.
pub type ArgumentCheck = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// What an agent's answer must look like, and the check of it; its error says where and what, for the model to mend.
#[derive(Clone)]
pub struct AnswerSchema {
    /// As providers are told it.
    pub schema: Arc<OutputSchema>,
    /// The check of the whole text of an answer.
    pub check: ArgumentCheck,
}

impl fmt::Debug for AnswerSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerSchema").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// What stands behind a tool's name.
#[derive(Clone)]
pub enum Behind {
    /// An adapter.
    Tool(Arc<dyn Tool>),
    /// Another agent: calling it starts a child run of this version, whose input is this part of the arguments.
    Agent(VersionId, Handed),
}

/// What an agent behind a tool is given as its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handed {
    /// The text `input` of the arguments.
    Text,
    /// The value `input` of the arguments, as JSON.
    Value,
    /// The arguments themselves, as JSON.
    Arguments,
}

/// Something that a call does beside being made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Also {
    /// It starts a run of this agent.
    StartAgent(Name),
    /// It works in a box.
    CreateSandbox {
        /// The tier that the manifest names, or the usual one.
        tier: Tier,
        /// Thousandths of a processor; 0 when nothing limits it.
        cpu_millis: u64,
        /// Bytes of memory; 0 when nothing limits it.
        memory_bytes: u64,
        /// Whether it reaches anything outside.
        network: bool,
    },
    /// It speaks to a host.
    Connect {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// The HTTP method, where that is known; empty otherwise, and when it is not HTTP.
        method: String,
        /// The path, where that is known.
        path: String,
        /// Whether each request asks for itself before it is sent ([`crate::connect`]): then policies that read what is not known
        /// here are asked only there.
        each: bool,
    },
    /// It uses a secret.
    UseSecret {
        /// `NAME` or `NAME#FIELD`.
        secret: String,
        /// The host that is shown it; empty when it goes to none.
        host: String,
    },
}

/// How it is looked at what a call would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The tool that looks, by its full name; one of the class `pure`.
    pub tool: Name,
    /// Its arguments: a text `$.a.b` stands for that value of the call's own. `None` hands on those of the call that it has, too.
    pub with: Option<serde_json::Map<String, serde_json::Value>>,
    /// Which part of its answer people are shown, as a JSON pointer (RFC 6901); the whole when silent.
    pub show: Option<String>,
    /// What of its answer must still hold when the call is made.
    pub binds: Option<Binds>,
    /// How long it may take.
    pub timeout: Span,
}

/// See [`Preview::binds`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binds {
    /// The entity tag that came with it.
    Etag,
    /// The number that it is: so many rows are changed.
    Rows,
}

/// A tool with everything the manifest says about it.
#[derive(Clone)]
pub struct BoundTool {
    /// Name, description and schema as offered to the model.
    pub def: ToolDef,
    /// First 16 bytes of the SHA-256 of the schema's canonical JSON.
    pub schema_digest: [u8; 16],
    /// The entry of the manifest that it comes from.
    pub toolset: Name,
    /// What its effects promise.
    pub class: EffectClass,
    /// How bad a mistake is.
    pub risk: Risk,
    /// What a call of it does beside, as far as that is known before it is made: policies are asked about each.
    pub also: Arc<[Also]>,
    /// The machine's rules for it.
    pub rules: CallRules,
    /// Where in the arguments the business key stands (`$.order_id`).
    pub key: Option<String>,
    /// What looks at what a call would do, before people are asked about it. `rules` name its tool, too.
    pub preview: Option<Arc<Preview>>,
    /// How long one attempt may take.
    pub timeout: Span,
    /// Bytes of output kept.
    pub max_output: usize,
    /// Bytes of output the model is shown; more is cut to a preview, the whole stays in a blob.
    pub max_shown: usize,
    /// The check of its arguments.
    pub check: ArgumentCheck,
    /// The adapter or agent.
    pub behind: Behind,
}

impl fmt::Debug for BoundTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundTool").field("name", &self.def.name).field("class", &self.class).finish_non_exhaustive()
    }
}

/// What a manifest says of where values come from.
#[derive(Debug, Default)]
pub struct Provenance {
    /// What is declared of each tool, by its full name.
    pub tools: BTreeMap<String, Declared>,
    /// Who may read what came from where.
    pub entitled: Entitlements,
}

/// A loaded agent version.
pub struct Agent {
    /// Its name.
    pub name: Name,
    /// Its version.
    pub version: VersionId,
    /// Its instructions.
    pub instructions: Arc<str>,
    /// Control values, copied into each run at its start.
    pub config: RunConfig,
    /// Limits of one session over all its runs.
    pub session_limits: Limits,
    /// One model for each of `config.models`.
    pub models: Vec<Arc<dyn Model>>,
    /// How long one attempt at a model may take.
    pub model_timeout: Span,
    /// What a run's input must look like, when the manifest says so.
    pub input: Option<InputSchema>,
    /// What its answer must look like, when the manifest says so.
    pub output: Option<AnswerSchema>,
    /// What is declared of where values come from; `None` when the manifest does not ask for it: then nothing is traced.
    pub provenance: Option<Provenance>,
    /// The confidence below which a human is asked, in ten-thousandths; `None` when the manifest asks for none. Models then
    /// say with each call how sure they are.
    pub ask_below: Option<u16>,
    /// Whether its loop runs elsewhere: each run is one call of its model with what a client said, and goes on with no other.
    pub relays: bool,
    /// Its tools, sorted by name.
    pub tools: Vec<BoundTool>,
    /// The definitions of `tools`, in that order.
    pub defs: Arc<[ToolDef]>,
}

impl Agent {
    /// The tool of that full name.
    pub fn tool(&self, name: &str) -> Option<&BoundTool> {
        self.tools.binary_search_by(|t| t.def.name.as_str().cmp(name)).ok().map(|i| &self.tools[i])
    }
}

/// Why an agent version cannot be loaded.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct AgentError {
    /// The stable code.
    pub code: Code,
    /// What is wrong, and what to do.
    pub detail: String,
}

/// Gives the engine agent versions. Implementations cache; loading twice gives the same agent.
pub trait Agents: Send + Sync + 'static {
    /// The agent of that version.
    fn load(&self, tenant: &Name, version: VersionId) -> BoxFuture<'_, Result<Arc<Agent>, AgentError>>;
}
