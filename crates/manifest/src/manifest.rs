//! What `agent.yaml` says, as types. Every value has been checked; silence is `None` or the documented default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stead_core::{
    budget::{AtLimit, Limits, MicroUsd, Price},
    effect::{EffectClass, OnUnknown},
    id::Name,
    time::Span,
};

pub use crate::{
    manifest_sandbox::{Confinement, Egress, Files, Inject, Injected, Mode, Sandbox},
    manifest_tools::{
        Auth, Binds, DelegateTo, Effect, Http, HttpOperation, Kind, Mcp, OAuth2, Preview, RUN, Risk, Sql, SqlQuery,
        Tool, Trust, Variable,
    },
};

/// A whole manifest.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Manifest {
    /// The agent's name.
    pub name: Name,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Its model.
    pub model: Model,
    /// `./FILE`, or the text itself; [`crate::Bundle::instructions`] gives the text in either case.
    pub instructions: String,
    /// File with the JSON Schema of the input.
    pub input: Option<String>,
    /// What the answer must look like.
    pub output: Option<Output>,
    /// Its tools, by name.
    #[serde(default)]
    pub tools: BTreeMap<String, Tool>,
    /// Files of the manifest's folder that its boxes find.
    #[serde(default)]
    pub include: Vec<String>,
    /// Where its commands and MCP servers run.
    #[serde(default)]
    pub sandbox: Sandbox,
    /// Limits of one run.
    #[serde(default)]
    pub budget: RunBudget,
    /// Limits of a session.
    #[serde(default)]
    pub session: Session,
    /// Model turns after which a run fails.
    #[serde(default = "fifty")]
    pub max_turns: u32,
    /// What a model call may carry.
    #[serde(default)]
    pub context: Context,
    /// How humans are asked.
    #[serde(default)]
    pub approvals: Approvals,
    /// Whether it is traced where values come from. What silence means is a matter of the version: [`crate::Bundle::tracing`].
    pub provenance: Option<Tracing>,
    /// Folder with policies of this agent alone; [`crate::Bundle::policy`] gives its files.
    pub policy: Option<String>,
    /// Whether its loop runs elsewhere, and a run is one call of its model.
    #[serde(default)]
    pub gateway: bool,
    /// How sure the model must be.
    pub confidence: Option<Confidence>,
    /// What a run on a developer's machine needs besides.
    #[serde(default)]
    pub dev: Dev,
}

/// See [`Manifest::provenance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tracing {
    /// It is not.
    Off,
    /// It is; once other people's words have been read, a human is asked about every effect.
    Trace,
    /// The same, but for what a plan has that is drawn from the task alone.
    Plan,
}

/// See [`Manifest::output`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Output {
    /// File with the JSON Schema of the answer.
    pub schema: String,
    /// Turns in which an answer that does not satisfy it may be repaired.
    #[serde(default = "two")]
    pub repairs: u8,
}

/// The chain of models.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Model {
    /// The first choice.
    #[serde(flatten)]
    pub first: ModelChoice,
    /// What follows when it does not answer.
    #[serde(default)]
    pub fallback: Vec<ModelChoice>,
    /// Attempts at one model before the next.
    #[serde(default = "four")]
    pub attempts: u8,
    /// How long one attempt may take.
    #[serde(default = "two_minutes")]
    pub timeout: Span,
}

impl Model {
    /// All models, first choice first.
    pub fn chain(&self) -> impl Iterator<Item = &ModelChoice> {
        std::iter::once(&self.first).chain(&self.fallback)
    }
}

/// One model of the chain.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ModelChoice {
    /// Which.
    #[serde(flatten)]
    pub source: ModelSource,
    /// Where the provider answers, when not at its usual address. May name a service (see [`crate::Places`]).
    pub base_url: Option<String>,
    /// The provider's key; its usual environment variable, or the secret of that name, when silent.
    pub key: Option<SecretRef>,
    /// Most tokens of one reply.
    #[serde(default = "four_thousand")]
    pub max_output_tokens: u64,
    /// What it charges.
    pub price: Option<PriceList>,
    /// How freely words are chosen; the provider's choice when silent.
    pub temperature: Option<Temperature>,
    /// Whether a cassette answers by order alone, whatever it is asked.
    #[serde(default)]
    pub loose: bool,
    /// How much it thinks: `low`, `medium` or `high`; the provider's choice when silent.
    pub reasoning: Option<String>,
}

/// A temperature from 0 to 2, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Temperature(u32);

impl Temperature {
    /// As providers take it.
    pub fn degrees(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

/// A model, or what stands for one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub enum ModelSource {
    /// `provider:model`, such as `openai:gpt-5-mini` or `rehearsal:auto`.
    #[serde(rename = "use")]
    Provider(Name),
    /// A file with a rehearsal script.
    #[serde(rename = "rehearsal")]
    Script(String),
    /// A file with a cassette.
    #[serde(rename = "cassette")]
    Cassette(String),
}

/// A price as the manifest gives it, in micro-dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct PriceList {
    /// Input tokens.
    pub input: MicroUsd,
    /// Input tokens from the cache; as `input` when silent.
    pub cached: Option<MicroUsd>,
    /// Input tokens written to the cache; as `input` when silent.
    pub cache_write: Option<MicroUsd>,
    /// Output tokens.
    pub output: MicroUsd,
}

impl From<PriceList> for Price {
    fn from(p: PriceList) -> Self {
        Self {
            input: p.input.0,
            cached: p.cached.unwrap_or(p.input).0,
            output: p.output.0,
            cache_write: p.cache_write.map(|w| w.0),
        }
    }
}

/// Where a secret comes from: `env://NAME`, `secret://NAME` or `secret://NAME#FIELD`. Never the secret.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretRef(String);

/// What a [`SecretRef`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretPlace<'a> {
    /// An environment variable of the runtime.
    Env(&'a str),
    /// A secret that its operator set.
    Secret(&'a str),
}

impl SecretRef {
    /// A reference; its form is the reader's matter.
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The reference to that environment variable.
    pub fn env(name: &str) -> Self {
        Self(format!("env://{name}"))
    }

    /// The reference that [`SecretRef::as_str`] wrote.
    pub fn read(text: &str) -> Option<Self> {
        let known = text.starts_with("env://") || text.starts_with("secret://");
        known.then(|| Self::new(text))
    }

    /// As the manifest writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same without its field.
    pub fn whole(&self) -> &str {
        self.0.split('#').next().unwrap_or(&self.0)
    }

    /// The field of the secret, which then is a JSON object.
    pub fn field(&self) -> Option<&str> {
        self.0.split_once('#').map(|(_, field)| field)
    }

    /// What it names.
    pub fn place(&self) -> SecretPlace<'_> {
        match self.0.strip_prefix("secret://") {
            Some(name) => SecretPlace::Secret(name.split('#').next().unwrap_or(name)),
            None => SecretPlace::Env(self.0.strip_prefix("env://").unwrap_or(&self.0)),
        }
    }
}

/// See [`Manifest::budget`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct RunBudget {
    /// The limits.
    #[serde(flatten)]
    pub limits: Limits,
    /// What a run does at one.
    #[serde(default)]
    pub at_limit: AtLimit,
}

/// See [`Manifest::session`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Session {
    /// Limits of all runs of a session together.
    #[serde(default)]
    pub budget: Limits,
}

/// See [`Manifest::context`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Context {
    /// Tokens before old tool results are cleared from the model's view.
    #[serde(default = "hundred_thousand")]
    pub tokens: u64,
}

impl Default for Context {
    fn default() -> Self {
        Self { tokens: hundred_thousand() }
    }
}

/// See [`Manifest::approvals`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Approvals {
    /// How long a human may take; `None` for ever.
    pub ttl: Option<Span>,
    /// Most questions of one run that may be open at once.
    pub max_open: Option<u32>,
    /// Most questions of one run in all.
    pub max_per_run: Option<u32>,
}

/// See [`Manifest::confidence`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Confidence {
    /// A call is put before a human when the model is less sure than this, or does not say.
    pub ask_below: Share,
}

/// A share of one, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct Share(u32);

impl Share {
    /// Millionths, 0 to 1,000,000.
    pub fn millionths(self) -> u32 {
        self.0
    }

    /// From 0 to 1.
    pub fn of_one(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

/// See [`Manifest::dev`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Dev {
    /// Helper processes, by name.
    #[serde(default)]
    pub services: BTreeMap<String, Service>,
}

/// A helper process of `stead run` and `stead dev`: it prints its URL as its first line and ends with them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Service {
    /// Program and arguments. The program `stead` is the running binary itself.
    pub command: Vec<String>,
    /// Names of environment variables handed on.
    #[serde(default)]
    pub env: Vec<String>,
}

/// Rules of one operation, with the tool's own filled in where it is silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Effect class; `None` leaves it to the adapter's default.
    pub class: Option<EffectClass>,
    /// The argument that is the business key.
    pub key: Option<String>,
    /// How long the destination remembers a key.
    pub key_ttl: Option<Span>,
    /// How bad a mistake is.
    pub risk: Risk,
    /// A human approves.
    pub ask: bool,
    /// What follows an unknown outcome.
    pub on_unknown: OnUnknown,
    /// The operation that tells whether it happened.
    pub reconcile: Option<String>,
    /// When an "absent" of `reconcile` counts.
    pub settle: Span,
    /// The operation that takes it back.
    pub compensate: Option<String>,
    /// Attempts before it is given up.
    pub attempts: u8,
    /// How long one attempt may take.
    pub timeout: Span,
}

const fn fifty() -> u32 {
    50
}
const fn two() -> u8 {
    2
}
const fn four() -> u8 {
    4
}
const fn four_thousand() -> u64 {
    4_096
}
const fn hundred_thousand() -> u64 {
    100_000
}
const fn two_minutes() -> Span {
    Span::from_secs(120)
}
