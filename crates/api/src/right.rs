//! What the holder of a token may do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing that a token allows. None includes another: whoever may run need not be able to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Right {
    /// See what the tenant has: agents, sessions, runs with their facts, approvals.
    Read,
    /// Start runs; with `read` also open sessions, and pause, resume, cancel and kill runs.
    Run,
    /// With `read`: answer approvals.
    Approve,
    /// Apply agents and policies. As much as the server's own account, because the MCP servers of an agent run as that.
    Apply,
    /// Make session sandboxes and do anything in them: run code in a box, reach what its template allows.
    Sandbox,
    /// See the figures of the whole server, all tenants together.
    Metrics,
    /// Take what belongs to the whole server, all tenants together: a backup holds everything.
    Admin,
}

impl Right {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Read, Self::Run, Self::Approve, Self::Apply, Self::Sandbox, Self::Metrics, Self::Admin];

    /// What a token may do whose entry does not say.
    pub const USUAL: [Self; 3] = [Self::Read, Self::Run, Self::Approve];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Run => "run",
            Self::Approve => "approve",
            Self::Apply => "apply",
            Self::Sandbox => "sandbox",
            Self::Metrics => "metrics",
            Self::Admin => "admin",
        }
    }
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
