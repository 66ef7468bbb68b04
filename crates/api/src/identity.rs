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

/// What is said of a token (RFC 7662, section 2.2). Of one that does not count nothing else is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Introspected {
    /// Whether it counts now: it is this server's, it has not ended, and nothing that it rests on was turned off.
    pub active: bool,
    /// What it allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The agent that it was given to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// `Bearer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_type: Option<String>,
    /// When it ends, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<u64>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<u64>,
    /// On whose behalf it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// For whom it is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// Who acts (RFC 8693, section 4.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<serde_json::Value>,
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
