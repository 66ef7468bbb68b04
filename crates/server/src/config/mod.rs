//! `stead.toml`: what a server listens on, where its data is, who may talk to it and how much.
//!
//! Unknown keys are errors, told with file, line, column and the nearest key. `stead schema server` prints
//! [`schema`]; `docs/config.md` explains each key.
//!
//! ```
//! let text = "listen = \"127.0.0.1:7411\"\ndata_dir = \"/var/lib/stead\"\n";
//! let config = stead_server::config::Config::parse(text, "stead.toml".as_ref()).expect("is right");
//! assert_eq!(config.listen.port(), 7411);
//! ```

mod approvals;
mod audit;
mod budgets;
mod database;
mod delegation;
mod encrypt;
mod notices;
mod oidc;
mod providers;
mod public;
mod read;
mod sandbox;
mod sandboxes;
mod secrets;
mod telemetry;
mod tokens;
pub mod units;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use approvals::{Approvals, SignedAnswers};
pub use audit::{Audit, PublishTo, Witness};
pub use budgets::Budget;
pub use database::DatabaseUrl;
pub use delegation::{Audience, ClientAuth, Exchange};
pub use encrypt::Encrypt;
pub(crate) use notices::mail_server;
pub use notices::{Format, Notice};
pub(crate) use oidc::is_url as is_provider_url;
pub use oidc::{Group, Oidc};
pub use providers::Provider;
pub(crate) use public::Place;
pub use read::ConfigError;
pub use sandbox::{Microvm, Sandbox, SandboxMax, Tier};
pub use sandboxes::{Sandboxes, Template};
pub use secrets::{Secrets, Vault};
pub use telemetry::{Content, Protocol, Telemetry};
pub use tokens::{TokenEntry, TokenFile, hash_token};
use units::{Size, Time};

/// The port of a server that is not told another.
pub const DEFAULT_PORT: u16 = 7411;

/// A server's configuration.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "stead.toml", rename = "Config")]
pub struct Config {
    /// Address and port to listen on. Off loopback this needs `tls` or `behind_proxy`.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Folder of the journal and of the server's own files, relative to this file.
    pub data_dir: PathBuf,
    /// PostgreSQL instead of the SQLite file in `data_dir`: `postgres://user@host/database`. A password is better kept
    /// in the environment (`PGPASSWORD` or `STEAD_DATABASE`, which replaces this key).
    #[serde(skip_serializing)]
    pub database: Option<DatabaseUrl>,
    /// Encrypts what the store keeps, under the key at this place: `file:PATH`, relative to this file, or `env:NAME`, a variable of
    /// the environment; 32 random bytes as base64. `STEAD_ENCRYPT` in the environment replaces this key.
    pub encrypt: Option<Encrypt>,
    /// The URL under which people reach this server, as `https://stead.example.com`: without a path, and with a name, because passkeys are
    /// made for names. `http` is for `localhost` alone. The server's own port on `localhost` when silent.
    pub public_url: Option<String>,
    /// A proxy in front of this server does TLS: listening off loopback without `tls` is meant.
    pub behind_proxy: bool,
    /// Serves `/metrics` without a token; otherwise it needs one with the right `metrics`.
    pub metrics_open: bool,
    /// How long a shutdown waits for requests under way, and then for work that was sent.
    pub drain_timeout: Time,
    /// Certificate and key of the server.
    pub tls: Option<Tls>,
    /// Who may talk to the server.
    pub auth: Auth,
    /// What agents may have of this host.
    pub agents: Agents,
    /// Where secrets may be.
    pub secrets: Secrets,
    /// What the boxes of agents may be on this host, and how much they may take of it.
    pub sandbox: Sandbox,
    /// Bounds of what callers may send and hold.
    pub limits: Limits,
    /// Bounds of the engine.
    pub engine: Engine,
    /// How much model providers are asked, each by its name, or by `host:port` for another endpoint.
    pub providers: BTreeMap<String, Provider>,
    /// Session sandboxes: how many there may be, and what callers may have.
    pub sandboxes: Sandboxes,
    /// What tenants and agents may use.
    pub budgets: Vec<Budget>,
    /// How policies are applied.
    pub policy: Policy,
    /// What the audit log is called, and who is told of its checkpoints.
    pub audit: Audit,
    /// How the texts of people are erased.
    pub erasure: Erasure,
    /// Who the runs of this server are to others.
    pub identity: Identity,
    /// How people approve.
    pub approvals: Approvals,
    /// To whom it is told by OpenTelemetry what runs do.
    pub telemetry: Telemetry,
}

/// Who the runs of this server are to others.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Identity")]
pub struct Identity {
    /// The name under which this installation vouches for its runs: the trust domain of their SPIFFE ids.
    #[schemars(length(min = 1, max = 255), regex(pattern = "^[a-z0-9._-]+$"))]
    pub trust_domain: String,
    /// The URL under which others reach `/.well-known/jwks.json` of this server, as tokens say it in `iss`; the server's own when silent.
    pub issuer: Option<String>,
    /// How long runs may work on behalf of a person of the identity provider before that person is asked again, unless they do something
    /// about the run meanwhile: `1s` to `90d`.
    pub delegation: Time,
    /// For whom manifests may have delegated tokens made; nobody when silent.
    pub audiences: Vec<Audience>,
    /// The token service that makes them; this server when silent.
    pub exchange: Option<Box<Exchange>>,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            trust_domain: "stead.local".to_owned(),
            issuer: None,
            delegation: Time(Duration::from_secs(8 * 3_600)),
            audiences: Vec::new(),
            exchange: None,
        }
    }
}

/// How policies are applied.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Policy")]
pub struct Policy {
    /// A policy set that one person applies is proposed, and decides once another one, whose token has another subject, has
    /// confirmed it (`stead policy confirm`).
    pub four_eyes: bool,
}

/// How the texts of people are erased.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Erasure")]
pub struct Erasure {
    /// An erasure that one person asks for is proposed, and begins once another one, whose token has another subject, has confirmed it
    /// (`stead audit erase --confirm`).
    pub four_eyes: bool,
}

/// TLS of the server.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Tls")]
pub struct Tls {
    /// PEM file of the certificate chain, the server's own first.
    pub cert: PathBuf,
    /// PEM file of the private key.
    pub key: PathBuf,
}

/// Who may talk to the server.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Auth")]
pub struct Auth {
    /// File of further `[[tokens]]`, relative to this file.
    pub tokens_file: Option<PathBuf>,
    /// Tokens: the `sha256` of each one's text, its `subject`, `tenant` (`default` when silent) and `rights`.
    pub tokens: Vec<TokenEntry>,
    /// An identity provider whose people may come with its tokens.
    pub oidc: Option<Box<Oidc>>,
}

/// What agents may have of this host.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Agents")]
pub struct Agents {
    /// Names of the environment variables that manifests may use as secrets (`env://NAME`, and the `env` of an MCP server that says
    /// `sandbox: none`). Who may apply an agent may send them anywhere. A provider's usual variable need not be listed for the provider's own
    /// endpoint. What a sandbox may see is listed in `sandbox.env`.
    #[schemars(inner(regex(pattern = "^[A-Za-z_][A-Za-z0-9_]{0,127}$")))]
    pub env: BTreeSet<String>,
    /// Names of the secrets that manifests may name (`secret://NAME`). Who may apply an agent may send them anywhere. The
    /// secret of a provider's usual variable need not be listed for the provider's own endpoint.
    #[schemars(inner(regex(pattern = "^[A-Za-z_][A-Za-z0-9_.-]{0,127}$")))]
    pub secrets: BTreeSet<String>,
    /// Addresses that tools and models may reach although they are guarded: link-local ones, and those at which clouds
    /// hand out their machines' credentials.
    pub addresses: BTreeSet<IpAddr>,
    /// An agent version that one person applies, an alias that one person moves and a rollback are proposed, and count once another
    /// one, whose token has another subject, has confirmed them (`stead agents confirm`).
    pub four_eyes: bool,
}

/// Bounds of what callers may send and hold.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Limits")]
pub struct Limits {
    /// Bytes of a request body.
    pub body: Size,
    /// Bytes of the body that applies an agent: its manifest and files.
    pub bundle: Size,
    /// Bytes of all files that one run is given, before their encoding.
    pub attachments: Size,
    /// Levels of nesting of a JSON body.
    #[schemars(range(min = 1, max = 100))]
    pub json_depth: usize,
    /// Requests under way at once, streams not counted.
    #[schemars(range(min = 1))]
    pub requests: usize,
    /// Followers of runs at once.
    #[schemars(range(min = 1))]
    pub followers: usize,
    /// Connections at once; more wait in the kernel's queue.
    #[schemars(range(min = 1))]
    pub connections: usize,
    /// How long a request may take, without the time that it asked to wait.
    pub request_timeout: Time,
    /// How long a follower may take to accept a piece of its stream.
    pub follower_timeout: Time,
}

/// Bounds of the engine.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Engine")]
pub struct Engine {
    /// Runs in memory at once.
    #[schemars(range(min = 1))]
    pub max_active: usize,
    /// Model calls under way at once.
    #[schemars(range(min = 1))]
    pub max_model_calls: usize,
    /// Tool calls under way at once.
    #[schemars(range(min = 1))]
    pub max_tool_calls: usize,
    /// Runs that may wait for memory before starts are refused.
    #[schemars(range(min = 1))]
    pub max_backlog: usize,
    /// Queued runs of one session before a start in it is refused.
    #[schemars(range(min = 1))]
    pub max_session_queue: u32,
    /// Runs between a run and the root of its causal chain.
    #[schemars(range(min = 1))]
    pub max_hops: u8,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DEFAULT_PORT),
            data_dir: ".stead".into(),
            database: None,
            encrypt: None,
            public_url: None,
            behind_proxy: false,
            metrics_open: false,
            drain_timeout: Time(Duration::from_secs(30)),
            tls: None,
            auth: Auth::default(),
            agents: Agents::default(),
            secrets: Secrets::default(),
            sandbox: Sandbox::default(),
            limits: Limits::default(),
            engine: Engine::default(),
            providers: BTreeMap::new(),
            sandboxes: Sandboxes::default(),
            budgets: Vec::new(),
            policy: Policy::default(),
            audit: Audit::default(),
            erasure: Erasure::default(),
            identity: Identity::default(),
            approvals: Approvals::default(),
            telemetry: Telemetry::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: Size(1 << 20),
            bundle: Size(16 << 20),
            attachments: Size(8 << 20),
            json_depth: 64,
            requests: 4_096,
            followers: 4_096,
            connections: 16_384,
            request_timeout: Time(Duration::from_secs(30)),
            follower_timeout: Time(Duration::from_secs(30)),
        }
    }
}

impl Default for Engine {
    fn default() -> Self {
        let engine = stead_engine::Options::default();
        Self {
            max_active: engine.max_active,
            max_model_calls: engine.max_model_calls,
            max_tool_calls: engine.max_tool_calls,
            max_backlog: engine.max_backlog,
            max_session_queue: engine.max_session_queue,
            max_hops: engine.max_hops,
        }
    }
}

impl Config {
    /// The bounds as the engine takes them.
    pub fn engine_options(&self, holder: &str) -> stead_engine::Options {
        let engine = &self.engine;
        stead_engine::Options {
            holder: holder.into(),
            max_active: engine.max_active,
            max_model_calls: engine.max_model_calls,
            max_tool_calls: engine.max_tool_calls,
            max_backlog: engine.max_backlog,
            max_session_queue: engine.max_session_queue,
            max_hops: engine.max_hops,
            providers: providers::rates(&self.providers),
            max_open_asks: self.approvals.max_open_per_run,
            max_asks: self.approvals.max_per_run,
            propagate: self.telemetry.propagate,
            ..Default::default()
        }
    }
}

/// JSON Schema (2020-12) of `stead.toml`.
pub fn schema() -> serde_json::Value {
    schemars::generate::SchemaSettings::draft2020_12()
        .for_deserialize()
        .into_generator()
        .into_root_schema_for::<Config>()
        .to_value()
}
