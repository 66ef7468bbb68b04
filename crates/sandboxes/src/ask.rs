//! What callers ask: a sandbox, a change of one, a command.

use std::{collections::BTreeMap, time::Duration};

pub use stead_core::id::SandboxId;
use stead_core::id::{Name, TreeId};
use stead_egress::RuleSpec;

/// A sandbox. What is `None` is as the template says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ask {
    /// Its template.
    pub template: Option<Name>,
    /// The tree that its workspace begins with; `None`: nothing.
    pub tree: Option<TreeId>,
    /// How long it stays, unless its time is renewed.
    pub ttl: Option<Duration>,
    /// Its limits.
    pub limits: Limits,
    /// The whole list of what it may reach.
    pub egress: Option<Vec<RuleSpec>>,
    /// Variables of every command, besides the template's. A value `secret://NAME` is a placeholder of that secret, which an egress
    /// rule must name.
    pub env: BTreeMap<String, String>,
    /// What callers call it; a word of their own.
    pub label: Option<String>,
}

/// Limits that a caller names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Thousandths of a processor.
    pub cpu_milli: Option<u32>,
    /// Processes and threads at once.
    pub pids: Option<u32>,
    /// Bytes of all private folders, the workspace's changes included. Cannot be changed later.
    pub disk: Option<u64>,
}

/// A change of a sandbox that runs; `None` leaves a thing as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// How long it stays from now.
    pub ttl: Option<Duration>,
    /// Other limits.
    pub limits: Limits,
    /// Another list of what it may reach, in force at once.
    pub egress: Option<Vec<RuleSpec>>,
}

/// A command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AskExec {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Variables besides those of the sandbox.
    pub env: BTreeMap<String, String>,
    /// The working folder; `/workspace` when empty.
    pub dir: String,
    /// Rows and columns of a terminal; `None`: pipes.
    pub terminal: Option<(u16, u16)>,
    /// Whether standard input is written to; otherwise there is nothing to read.
    pub stdin: bool,
    /// How long it may run.
    pub timeout: Option<Duration>,
}
