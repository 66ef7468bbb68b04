//! Session sandboxes: boxes that stay. Their commands are in `exec`, their files in `file`.

mod exec;
mod file;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stead_core::{
    id::{Name, SandboxId, TreeId},
    sandbox::{Property, Tier},
    time::{Span, Timestamp},
};

pub use self::{
    exec::{
        Exec, ExecEnd, ExecOutput, ExecState, OutputChunk, OutputExit, OutputLost, OutputSource, SignalExec, StartExec,
        TerminalSize,
    },
    file::{FileChange, FileEntry, FileHappened, FileKind, FileListing, FileWritten, MakeFolder, MoveFile},
};
use crate::schema;

/// Makes a sandbox. What is absent is as the template says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CreateSandbox {
    /// The template; `default` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub template: Option<Name>,
    /// The tree that its workspace begins with, from a snapshot; nothing when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::TreeId>")]
    pub tree: Option<TreeId>,
    /// How long it stays, in microseconds, unless its time is renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Span>")]
    pub ttl: Option<Span>,
    /// Its limits.
    pub limits: ResourceLimits,
    /// The whole list of what it may reach: `host:port`, or a rule with more (docs/egress.md).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<schema::EgressRule>>")]
    pub egress: Option<Vec<Value>>,
    /// Variables of every command. A value `secret://NAME` is a placeholder of that secret, which an egress rule must name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// What you call it; at most 200 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub label: Option<String>,
}

/// Limits of all that runs in a sandbox together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResourceLimits {
    /// Bytes of memory, files in its private folders included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Thousandths of a processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_milli: Option<u32>,
    /// Processes and threads at once, some of the sandbox's own included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// Bytes of all private folders and of what is changed in the workspace. Cannot be changed later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<u64>,
}

/// Changes a sandbox that runs. What is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChangeSandbox {
    /// How long it stays from now, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Span>")]
    pub ttl: Option<Span>,
    /// Other limits.
    pub limits: ResourceLimits,
    /// Another list of what it may reach. It is in force at once, also for what is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<schema::EgressRule>>")]
    pub egress: Option<Vec<Value>>,
}

/// A session sandbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sandbox {
    /// Its id.
    #[schemars(with = "schema::SandboxId")]
    pub id: SandboxId,
    /// What its maker calls it.
    pub label: Option<String>,
    /// Its template.
    #[schemars(with = "String")]
    pub template: Name,
    /// Its tier.
    #[schemars(with = "schema::Tier")]
    pub tier: Tier,
    /// Who made it.
    #[schemars(with = "String")]
    pub owner: Name,
    /// When it was made.
    #[schemars(with = "schema::Timestamp")]
    pub created: Timestamp,
    /// When its time is up.
    #[schemars(with = "schema::Timestamp")]
    pub expires: Timestamp,
    /// The tree that its workspace began with.
    #[schemars(with = "schema::TreeId")]
    pub tree: TreeId,
    /// Its limits.
    pub limits: ResourceLimits,
    /// What it may reach.
    #[schemars(with = "Vec<schema::EgressRule>")]
    pub egress: Vec<Value>,
    /// What the tier promised and what holds it.
    #[schemars(with = "BTreeMap<String, String>")]
    pub held: BTreeMap<Property, String>,
    /// Limits that nothing on this host holds, and why.
    #[schemars(with = "BTreeMap<String, String>")]
    pub not_held: BTreeMap<Property, String>,
    /// What it has used until now; only in the answer about one sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<SandboxUsage>,
}

/// What a sandbox has used until now; absent where nothing measures it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SandboxUsage {
    /// Processor time, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Span>")]
    pub cpu: Option<Span>,
    /// Bytes of memory at the moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Most bytes of memory at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_peak: Option<u64>,
    /// Processes and threads at the moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<u64>,
    /// How much its processes wait at the moment; absent where the kernel does not tell of it for one sandbox (control groups of version 1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pressure: Option<SandboxPressure>,
    /// Requests and tunnels that were allowed.
    pub allowed: u64,
    /// Those that were refused.
    pub denied: u64,
    /// Bytes to hosts.
    pub sent: u64,
    /// Bytes from hosts.
    pub received: u64,
}

/// The share of the last ten seconds in which at least one process waited for something that was short, in hundredths of a percent: 0 to
/// 10,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SandboxPressure {
    /// For a processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u16>,
    /// For memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u16>,
    /// For input and output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io: Option<u16>,
}

/// Keeps the workspace of a sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TakeSnapshot {
    /// How long it is kept, in microseconds: at most 30 days; one day when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Span>")]
    pub hold: Option<Span>,
}

/// A workspace that was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// Its tree: another sandbox can begin with it.
    #[schemars(with = "schema::TreeId")]
    pub tree: TreeId,
    /// Files, links and folders.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// What the tree that the sandbox began with does not have.
    pub added: u64,
    /// What is other there.
    pub changed: u64,
    /// What only that has.
    pub removed: u64,
    /// Pipes and sockets, which are not kept.
    pub left_out: u64,
    /// Until when it is kept at least.
    #[schemars(with = "schema::Timestamp")]
    pub held_until: Timestamp,
}

/// Names of the events of streams.
pub mod event {
    /// A piece of output; data: [`super::OutputChunk`].
    pub const OUTPUT: &str = "output";
    /// Pieces are lost; data: [`super::OutputLost`].
    pub const LOST: &str = "lost";
    /// The end; data: [`super::OutputExit`].
    pub const EXIT: &str = "exit";
    /// A change of a file; data: [`super::FileChange`].
    pub const CHANGE: &str = "change";
    /// The watch is in place: what happens from now on is told.
    pub const WATCHING: &str = "watching";
}
