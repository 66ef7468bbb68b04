//! Commands of a sandbox, and what they write.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::time::{Span, Timestamp};

use crate::schema;

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

/// Signals a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SignalExec {
    /// The signal for its process group, 1 to 64. Absent, or 9: it is killed with all that it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub signal: Option<i32>,
}
