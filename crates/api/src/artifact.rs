//! Files that go into runs and come out of them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::time::Timestamp;

use crate::schema;

/// Most files that one run is given.
pub const MAX_ATTACHMENTS: usize = 16;

/// A file that a run is given.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// Its name, such as `report.csv`; of a path the last part counts.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// Its media type, such as `text/csv`; `application/octet-stream` when silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Its bytes as base64 (RFC 4648, section 4).
    pub data: String,
}

/// Without the bytes.
impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment").field("name", &self.name).field("base64", &self.data.len()).finish_non_exhaustive()
    }
}

/// A file of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Artifact {
    /// Its name; no other file of the run has it.
    pub name: String,
    /// Its media type, as whoever gave it said.
    pub media_type: String,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 of its bytes in hexadecimal digits; absent for the text of a result that was too long for its record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The effect that it came from; absent for one that the run was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<u32>,
    /// When it was recorded.
    #[schemars(with = "schema::Timestamp")]
    pub at: Timestamp,
}

/// The files of a run, in the order in which they were recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Artifacts {
    /// The first thousand.
    pub items: Vec<Artifact>,
    /// Whether there are more.
    pub more: bool,
}
