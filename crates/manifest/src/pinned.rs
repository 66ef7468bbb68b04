//! A tool of an MCP server as it was when an agent version was made.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// The server's name of it.
    pub name: String,
    /// What it does, in the server's words.
    pub description: String,
    /// JSON Schema of its arguments.
    pub schema: Value,
    /// JSON Schema of its results, where the server tells one; never in versions of releases that did not ask for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
}
