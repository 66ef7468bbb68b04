//! Tools that work in a session's workspace: a command in a sandbox, and the files themselves. What a sandbox may use is said
//! beside them, for all sandboxes of an agent alike.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stead_core::sandbox::Access;

/// `command:`, a program that runs in a fresh sandbox at each call.
///
/// Words and `stdin` hold `{{args.NAME}}` and `{{key}}` as `http` has them. A value is always a part of one word: it can neither
/// add a word nor be read by a shell, unless a word is a shell's own text. A word that names an argument which was left out
/// is left out too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandConfig {
    /// The program and its arguments. Without `params`, the model's text `command` is added as the last word, as
    /// `[bash, -lc]` takes it.
    pub command: Vec<String>,
    /// What stands on standard input; nothing when silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// JSON Schema of each argument, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Value>,
    /// Arguments that may be left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub optional: Vec<String>,
    /// What it does, for the model.
    #[serde(default)]
    pub description: String,
    /// What it may do with the session's workspace.
    #[serde(default)]
    pub workspace: Access,
}

/// `files:`, operations on the session's workspace that need no sandbox.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesConfig {
    /// Whether the model may write; reading needs no more than `Access::Read`.
    #[serde(default)]
    pub workspace: Access,
    /// Only these operations; all that `workspace` lets when silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<String>>,
}
