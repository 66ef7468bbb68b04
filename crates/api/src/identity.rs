//! Tokens of runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::id::RunId;

use crate::schema;

/// Asks for a token of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskToken {
    /// For whom it is meant; nobody else may take it.
    pub audience: String,
    /// What it may be used for, as words between spaces, when that is less than everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

/// A token of a run: whoever has it is that run to its audience, until it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunToken {
    /// The run.
    #[schemars(with = "schema::RunId")]
    pub run: RunId,
    /// Its SPIFFE id.
    pub id: String,
    /// The signed JWT.
    pub token: String,
    /// When it ends, in seconds since 1970.
    pub expires: u64,
}
