//! The types of `tools`. Their fields carry the names of the keys, and those of the adapters' own configuration.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use stead_core::{
    budget::Limits,
    effect::{EffectClass, OnUnknown},
    grant::GrantRule,
    time::Span,
};

use crate::{
    manifest::{Rules, SecretRef},
    manifest_sandbox::{Files, Mode, Sandbox},
};

/// One tool.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Tool {
    /// What it is.
    #[serde(flatten)]
    pub kind: Kind,
    /// What it is for, for the model.
    pub description: Option<String>,
    /// Offer only these operations.
    pub only: Option<Vec<String>>,
    /// Effect class of all operations.
    pub effect: Option<EffectClass>,
    /// Rules of single operations.
    #[serde(default)]
    pub effects: BTreeMap<String, Effect>,
    /// A human approves every call, unless the operation says otherwise.
    #[serde(default)]
    pub ask: bool,
    /// The destination's credential.
    pub auth: Option<Auth>,
    /// Who speaks in which part of a result.
    #[serde(default)]
    pub trust: BTreeMap<String, Trust>,
    /// Who may read what comes from it.
    #[serde(default)]
    pub readers: Vec<String>,
    /// How long one attempt may take.
    #[serde(default = "half_a_minute")]
    pub timeout: Span,
    /// Bytes of output kept.
    #[serde(default = "mebibyte")]
    pub max_output: usize,
    /// Bytes of output shown to the model.
    #[serde(default = "preview")]
    pub max_shown: usize,
    /// Limits of a child run.
    pub budget: Option<Limits>,
    /// What a child run is granted; everything that its own manifest lets it do, when silent.
    pub grant: Option<GrantRule>,
    /// JSON Schema of each argument of a command.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    /// Arguments of a command that may be left out.
    #[serde(default)]
    pub optional: Vec<String>,
    /// What a command finds on its standard input, with `{{args.NAME}}`.
    pub stdin: Option<String>,
    /// Environment variables of a command; see [`Tool::variables`].
    #[serde(default)]
    pub env: Vec<String>,
    /// What a command may do with the session's workspace; nothing when silent.
    pub workspace: Option<Mode>,
    /// Where it runs, where that is not where the agent's other tools run.
    pub sandbox: Option<Sandbox>,
}

/// An environment variable of what a tool starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable<'m> {
    /// Its name.
    pub name: &'m str,
    /// Where its value comes from, when that is not the runtime's own variable of that name.
    pub from: Option<SecretRef>,
}

/// Variables that a box has of its own, whatever is handed on: those of the host name places that are not inside.
const OF_THE_BOX: [&str; 2] = ["HOME", "PATH"];

impl<'m> Variable<'m> {
    /// Whether a box that has it holds a value of the host's: a bare name hands the value itself on, a reference only what stands for it.
    pub fn is_of_the_host(&self) -> bool {
        self.from.is_none() && !OF_THE_BOX.contains(&self.name)
    }

    /// `NAME`, or `NAME=REFERENCE`.
    pub(crate) fn of(entry: &'m str) -> Self {
        match entry.split_once('=') {
            Some((name, reference)) => Self { name, from: Some(SecretRef::new(reference)) },
            None => Self { name: entry, from: None },
        }
    }
}

/// A destination's credential.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// The credential itself.
    Secret(SecretRef),
    /// What a token is fetched with (RFC 6749, section 4.4).
    OAuth2(OAuth2),
    /// A token of the run, made for each effect, that says on whose behalf it is done.
    Delegate(DelegateTo),
}

impl Auth {
    /// Where the secret in it is, if it has one.
    pub fn reference(&self) -> Option<&SecretRef> {
        match self {
            Self::Secret(reference) => Some(reference),
            Self::OAuth2(client) => Some(&client.client_secret),
            Self::Delegate(_) => None,
        }
    }
}

/// For whom a delegated token is made.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DelegateTo {
    /// The audience: the destination as its tokens name it.
    pub audience: String,
    /// What the token shall allow.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The resource that an authorization server is asked for.
    pub resource: Option<String>,
}

/// A client of an authorization server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OAuth2 {
    /// The token endpoint.
    pub token_url: String,
    /// The client's name.
    pub client_id: String,
    /// Where its secret is.
    pub client_secret: SecretRef,
    /// What the token shall allow.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// `header` or `body`.
    #[serde(default = "header")]
    pub send: String,
}

/// What a tool is.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A database.
    Sql(Sql),
    /// An HTTP service.
    Http(Http),
    /// An MCP server.
    Mcp(Mcp),
    /// Another agent: its name, or `./FOLDER` inside of this one's.
    Agent(String),
    /// A program with its arguments, run in a box.
    Command(Vec<String>),
    /// Files of the session's workspace.
    Files(Files),
}

/// The one operation of a command.
pub const RUN: &str = "run";

/// A database.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Sql {
    /// `sqlite:PATH` or `postgres://user@host/db`. May name the data folder (see [`crate::Places`]).
    pub url: String,
    /// Kinds of statements: `SELECT`, `INSERT`, `UPDATE`, `DELETE`.
    #[serde(default = "select")]
    pub allow: Vec<String>,
    /// Named queries; without them the model writes SQL.
    #[serde(default)]
    pub queries: BTreeMap<String, SqlQuery>,
    /// Most rows of one answer.
    #[serde(default = "two_hundred")]
    pub max_rows: u32,
    /// File of SQL that fills a database file which does not exist yet.
    pub seed: Option<String>,
}

/// A named query.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct SqlQuery {
    /// One statement with `:name` parameters.
    pub sql: String,
    /// What it does, for the model.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of each parameter.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    /// Parameters that may be left out.
    #[serde(default)]
    pub optional: Vec<String>,
}

/// An HTTP service.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Http {
    /// Where it is; with `openapi` where the document says, when silent. May name a service (see [`crate::Places`]).
    pub base_url: Option<String>,
    /// Its operations, described here.
    #[serde(default)]
    pub operations: BTreeMap<String, HttpOperation>,
    /// The file with its OpenAPI document, which describes them instead.
    pub openapi: Option<String>,
    /// Ids of the document's operations that the agent has; no others.
    #[serde(default)]
    pub only: Vec<String>,
}

/// One operation of an HTTP service.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct HttpOperation {
    /// `GET`, `HEAD`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// The path, with `{{args.NAME}}`.
    pub path: String,
    /// What it does, for the model.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of each argument.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    /// Arguments that may be left out.
    #[serde(default)]
    pub optional: Vec<String>,
    /// Query values.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The JSON body.
    pub body: Option<Value>,
}

/// An MCP server: a program spoken to over stdio, or a URL.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Mcp {
    /// Program and arguments; empty when there is a URL.
    #[serde(default)]
    pub command: Vec<String>,
    /// Its endpoint (streamable HTTP). May name a service (see [`crate::Places`]).
    pub url: Option<String>,
    /// Headers sent to it.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Whether `http://` may lead off this machine.
    #[serde(default)]
    pub plain_http: bool,
    /// Environment variables that it has: `NAME`, or `NAME=REFERENCE`; see [`Tool::variables`].
    #[serde(default)]
    pub env: Vec<String>,
    /// Its working directory, inside of the manifest's folder.
    pub cwd: Option<String>,
    /// How long it may take to start.
    #[serde(default = "half_a_minute")]
    pub start_timeout: Span,
}

/// What the manifest says about one operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Effect {
    /// Effect class.
    pub class: Option<EffectClass>,
    /// The argument that is the business key.
    pub key: Option<String>,
    /// How long the destination remembers a key.
    pub key_ttl: Option<Span>,
    /// How bad a mistake is.
    pub risk: Option<Risk>,
    /// A human approves.
    pub ask: Option<bool>,
    /// Who speaks in which part of its result.
    #[serde(default)]
    pub trust: BTreeMap<String, Trust>,
    /// Arguments that it carries.
    #[serde(default)]
    pub content: Vec<String>,
    /// Arguments that name who reads the content.
    pub recipients: Option<Vec<String>>,
    /// Who may read what comes from it.
    #[serde(default)]
    pub readers: Vec<String>,
    /// What follows an unknown outcome.
    pub on_unknown: Option<OnUnknown>,
    /// The operation that tells whether it happened.
    pub reconcile: Option<String>,
    /// When an "absent" of `reconcile` counts.
    pub settle: Option<Span>,
    /// The operation that takes it back.
    pub compensate: Option<String>,
    /// Attempts before it is given up.
    pub attempts: Option<u8>,
    /// How long one attempt may take.
    pub timeout: Option<Span>,
    /// What looks at what it would do, before people are asked.
    pub preview: Option<Preview>,
}

/// A look at what an operation would do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Preview {
    /// The operation that looks: one of the same tool, `TOOL.OPERATION`, or the name of a tool that has one only.
    pub call: String,
    /// Its arguments; `None` hands on those that both have.
    pub with: Option<BTreeMap<String, Value>>,
    /// Which part of its answer people are shown.
    pub show: Option<String>,
    /// What of its answer must still hold when the operation is done.
    pub binds: Option<Binds>,
    /// How long it may take.
    pub timeout: Option<Span>,
}

/// See [`Preview::binds`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binds {
    /// The entity tag that came with it.
    Etag,
    /// The number that it is: so many rows are changed.
    Rows,
}

impl Preview {
    /// The tool and the operation that look, for a preview of an operation of the tool named `own`; `None` when there is none such.
    pub fn target<'m>(&'m self, tools: &'m BTreeMap<String, Tool>, own: &'m str) -> Option<(&'m str, &'m str)> {
        let has = |tool: &str, operation: &str| {
            let known = tools.get(tool).map(|tool| tool.operations());
            known.is_some_and(|known| known.is_none_or(|known| known.contains(&operation)))
        };
        let call = self.call.as_str();
        let known = tools.get(own).and_then(Tool::operations);
        if known.is_some_and(|known| known.contains(&call)) {
            return Some((own, call));
        }
        if let Some((tool, operation)) = call.split_once('.')
            && has(tool, operation)
        {
            return Some((tool, operation));
        }
        if let Some((name, tool)) = tools.get_key_value(call)
            && let Some([only]) = tool.operations().as_deref()
        {
            return Some((name.as_str(), *only));
        }
        has(own, call).then_some((own, call))
    }
}

pub use stead_core::effect::Risk;

/// Who speaks in a part of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// The operator of the tool.
    Trusted,
    /// A system, of what it sets itself: usable in the expressions of a plan, and no authority.
    Attested,
    /// Anyone.
    Untrusted,
}

impl Tool {
    /// The rules of an operation.
    pub fn rules(&self, operation: &str) -> Rules {
        let own = self.effects.get(operation).cloned().unwrap_or_default();
        Rules {
            class: own.class.or(self.effect),
            key: own.key,
            key_ttl: own.key_ttl,
            risk: own.risk.unwrap_or_default(),
            ask: own.ask.unwrap_or(self.ask),
            on_unknown: own.on_unknown.unwrap_or_default(),
            reconcile: own.reconcile,
            settle: own.settle.unwrap_or_default(),
            compensate: own.compensate,
            attempts: own.attempts.unwrap_or(3),
            timeout: own.timeout.unwrap_or(self.timeout),
        }
    }

    /// Whether `only` lets that operation through.
    pub fn offers(&self, operation: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.iter().any(|o| o == operation))
    }

    /// The operations that the manifest itself defines; `None` when only the destination knows (MCP).
    pub fn operations(&self) -> Option<Vec<&str>> {
        match &self.kind {
            Kind::Sql(sql) if sql.queries.is_empty() => Some(vec!["query"]),
            Kind::Sql(sql) => Some(sql.queries.keys().map(String::as_str).collect()),
            Kind::Http(http) if http.openapi.is_some() => Some(http.only.iter().map(String::as_str).collect()),
            Kind::Http(http) => Some(http.operations.keys().map(String::as_str).collect()),
            Kind::Mcp(_) => None,
            Kind::Agent(_) => Some(Vec::new()),
            Kind::Command(_) => Some(vec![RUN]),
            Kind::Files(files) => Some(files.operations().to_vec()),
        }
    }
}

fn header() -> String {
    "header".into()
}

fn select() -> Vec<String> {
    vec!["SELECT".to_owned()]
}
const fn two_hundred() -> u32 {
    200
}
const fn half_a_minute() -> Span {
    Span::from_secs(30)
}
const fn mebibyte() -> usize {
    1 << 20
}
const fn preview() -> usize {
    32 << 10
}
