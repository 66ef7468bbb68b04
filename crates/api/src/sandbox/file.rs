//! Files of a sandbox.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::time::Timestamp;

use crate::schema;

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
