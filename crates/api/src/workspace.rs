//! The workspace that a run left: its files, without making a folder of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A folder of a workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceFolder {
    /// The tree: the address of the whole workspace.
    pub tree: String,
    /// The folder's path; empty at the top.
    pub path: String,
    /// Its entries, by name; at most a thousand.
    pub items: Vec<WorkspaceEntry>,
    /// Whether there are more.
    pub more: bool,
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceEntry {
    /// Its name; bytes that are no UTF-8 are replaced.
    pub name: String,
    /// What it is.
    pub kind: WorkspaceKind,
    /// Bytes of a file, or of all files below a folder.
    pub size: u64,
    /// Where a link leads. Nothing ever follows it here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceKind {
    /// A file.
    File,
    /// A file that may be executed.
    Executable,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
}
