//! Sessions: the conversation and budget that runs share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::{
    budget::Spend,
    id::{Name, RunId, SessionId},
    time::Timestamp,
};

use crate::{run::Limits, schema};

/// Gets the session of that key, or makes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenSession {
    /// The agent's name.
    #[schemars(with = "String")]
    pub agent: Name,
    /// The caller's own name for the session (`customer/42`), unique within the agent; 1 to 200 bytes.
    #[schemars(with = "String", length(min = 1, max = 200))]
    pub key: Name,
}

/// Starts a run in a session, with the live version of the session's agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartInSession {
    /// The input's text.
    pub input: String,
    /// Tightens the agent's limits.
    #[serde(default)]
    pub limits: Limits,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// The session.
    #[schemars(with = "schema::SessionId")]
    pub id: SessionId,
    /// The agent's name.
    #[schemars(with = "String")]
    pub agent: Name,
    /// The caller's own name for it; null for a session that a run made for itself.
    #[schemars(with = "Option<String>")]
    pub key: Option<Name>,
    /// The run that works now; others wait for it.
    #[schemars(with = "Option<schema::RunId>")]
    pub active: Option<RunId>,
    /// The run whose conversation the next run continues.
    #[schemars(with = "Option<schema::RunId>")]
    pub head: Option<RunId>,
    /// Used by its ended runs.
    #[schemars(with = "schema::Spend")]
    pub spent: Spend,
    /// When it was created.
    #[schemars(with = "schema::Timestamp")]
    pub created: Timestamp,
    /// Runs that wait for their turn, oldest first, at most 100; only in the answer about one session.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<schema::RunId>")]
    pub queued: Vec<RunId>,
}
