//! Sessions: the conversation and budget that runs share.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::{
    budget::Spend,
    id::{Name, RunId, SessionId},
    time::Timestamp,
};

use crate::{artifact::Attachment, run::Limits, schema};

/// A session, by its id or by the caller's own name for it. A text that has the form of an id is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionRef {
    /// Its id.
    Id(SessionId),
    /// Its key, and the agent's name, which is needed when several agents have a session of that key.
    Key {
        /// The key.
        key: Name,
        /// The agent's name.
        agent: Option<Name>,
    },
}

impl SessionRef {
    /// The session that a text names.
    pub fn new(text: &str, agent: Option<Name>) -> Self {
        text.parse().map_or_else(|_| Self::Key { key: text.into(), agent }, Self::Id)
    }

    /// The agent that was named.
    pub const fn agent(&self) -> Option<&Name> {
        match self {
            Self::Id(_) => None,
            Self::Key { agent, .. } => agent.as_ref(),
        }
    }
}

impl From<SessionId> for SessionRef {
    fn from(id: SessionId) -> Self {
        Self::Id(id)
    }
}

impl fmt::Display for SessionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Key { key, .. } => key.fmt(f),
        }
    }
}

/// Gets the session of that key, or makes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenSession {
    /// The agent's name.
    #[schemars(with = "String")]
    pub agent: Name,
    /// The caller's own name for the session (`customer/42`), unique within the agent; 1 to 200 bytes, and
    /// not of the form of a session's id.
    #[schemars(with = "String", length(min = 1, max = 200))]
    pub key: Name,
}

/// Starts a run in a session, with the live version of the session's agent unless another is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartInSession {
    /// The input's text.
    pub input: String,
    /// Files that come with it, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub attachments: Vec<Attachment>,
    /// A version of the agent, the beginning of one, or an alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub version: Option<Name>,
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
