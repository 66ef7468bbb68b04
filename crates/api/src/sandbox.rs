//! Session sandboxes: boxes that stay, with commands, files and snapshots.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stead_core::{
    id::{Name, SandboxId, TreeId},
    sandbox::{Property, Tier},
    time::{Span, Timestamp},
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
    /// Requests and tunnels that were allowed.
    pub allowed: u64,
    /// Those that were refused.
    pub denied: u64,
    /// Bytes to hosts.
    pub sent: u64,
    /// Bytes from hosts.
    pub received: u64,
}

/// Runs a command in a sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartExec {
    /// The program and its arguments. There is no shell unless you name one.
    pub command: Vec<String>,
    /// Variables besides those of the sandbox.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The working folder; `/workspace` when empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dir: String,
    /// A terminal of that size instead of pipes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<TerminalSize>,
    /// Whether its standard input will be written to; otherwise there is nothing to read.
    #[serde(default)]
    pub stdin: bool,
    /// How long it may run, in microseconds; as long as the sandbox when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Span>")]
    pub timeout: Option<Span>,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

/// How a command is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExecState {
    /// It runs.
    Running,
    /// It ended with `code`.
    Exited,
    /// It was ended by `signal`.
    Signalled,
    /// Somebody killed it, or its sandbox ended.
    Killed,
    /// Its time was up.
    Timeout,
}

/// A command of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exec {
    /// Its number in the sandbox, from 1.
    pub n: u32,
    /// The Idempotency-Key that it was started with.
    pub key: Option<String>,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// When it was started.
    #[schemars(with = "schema::Timestamp")]
    pub started: Timestamp,
    /// The number of the latest event of its output.
    pub latest: u64,
    /// How it is doing.
    #[serde(flatten)]
    pub end: ExecEnd,
}

/// How a command is doing, or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecEnd {
    /// How it is doing.
    pub state: ExecState,
    /// The code that it ended with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Processor time of it and of what it waited for, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Span>")]
    pub cpu: Option<Span>,
}

/// Where a piece of output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputSource {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A terminal, which shows both.
    Terminal,
}

/// A piece of output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutputChunk {
    /// Its number, from 1, without holes.
    pub seq: u64,
    /// Where it came from.
    pub source: OutputSource,
    /// What was written, byte for byte, in base64 (RFC 4648, section 4). It is foreign: show it escaped.
    pub data: String,
}

/// Pieces that are lost, because they were older than what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutputLost {
    /// The first that is missing.
    pub from: u64,
    /// The last that is missing.
    pub to: u64,
}

/// The end of a command's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutputExit {
    /// The number of this event: nothing has a higher one.
    pub seq: u64,
    /// How it ended.
    #[serde(flatten)]
    pub end: ExecEnd,
}

/// Output of a command, from a number on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecOutput {
    /// What is missing before the first piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<OutputLost>,
    /// The pieces.
    pub chunks: Vec<OutputChunk>,
    /// How it ended, when nothing comes before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<OutputExit>,
    /// The `after` with which to go on.
    pub next: u64,
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

/// Signals a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SignalExec {
    /// The signal for its process group, 1 to 64. Absent, or 9: it is killed with all that it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub signal: Option<i32>,
}

/// What something in a sandbox is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A pipe, socket or device.
    Other,
}

/// Something in a folder of a sandbox. Names are foreign: show them escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileEntry {
    /// Its name; what is no UTF-8 in it is replaced.
    pub name: String,
    /// What it is. No link is followed.
    pub kind: FileKind,
    /// Bytes of a file.
    pub size: u64,
    /// Its permissions: the lowest nine bits of its mode.
    pub mode: u32,
    /// When it was last written.
    #[schemars(with = "schema::Timestamp")]
    pub modified: Timestamp,
    /// Where a link leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// A folder of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileListing {
    /// Its entries by name, at most 10,000.
    pub entries: Vec<FileEntry>,
    /// Whether it has more.
    pub more: bool,
}

/// Makes a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MakeFolder {
    /// The path.
    pub path: String,
    /// Those above it too; then one that is there already is no error.
    #[serde(default)]
    pub parents: bool,
}

/// Moves a file or folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveFile {
    /// The path.
    pub from: String,
    /// The new path, in the same one of `/workspace`, `/tmp` and `/home/box`.
    pub to: String,
}

/// A file that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileWritten {
    /// Its bytes.
    pub size: u64,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileHappened {
    /// It is there and was not.
    Created,
    /// It was open for writing and was closed.
    Written,
    /// It is gone.
    Removed,
    /// It has left to another name.
    MovedFrom,
    /// It has come from another name.
    MovedTo,
    /// Changes were lost: look at everything again.
    Lost,
}

/// A change of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileChange {
    /// What happened.
    pub what: FileHappened,
    /// The path.
    pub path: String,
    /// Whether it is a folder.
    pub folder: bool,
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
