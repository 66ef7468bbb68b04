//! What a server says about itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::{budget::Spend, time::Timestamp};

use crate::{right::Right, schema};

/// A server and who is asking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerStatus {
    /// Always `stead`.
    pub name: String,
    /// The release.
    pub version: String,
    /// When this process began to serve.
    #[schemars(with = "schema::Timestamp")]
    pub started: Timestamp,
    /// Where the journal is kept: `sqlite` or `postgres`.
    pub store: String,
    /// How often the journal has been restored from a backup, from 1; absent from a server that does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// The caller, by its token.
    pub subject: String,
    /// The caller's tenant.
    pub tenant: String,
    /// What the caller may do.
    #[serde(default)]
    pub rights: Vec<Right>,
    /// How many runs of the tenant are in each status; empty for a caller without the right `read`.
    pub runs: BTreeMap<String, u64>,
    /// Work under way and done by this process, for all tenants; absent for a caller without the right `metrics`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
}

/// Work of one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Work {
    /// Runs in memory.
    pub loaded: u64,
    /// Runs waiting for memory.
    pub backlog: u64,
    /// Model calls under way.
    pub model_calls: u64,
    /// Tool calls under way.
    pub tool_calls: u64,
    /// Used since the process began.
    #[schemars(with = "schema::Spend")]
    pub spent: Spend,
}

/// Answer of `/healthz` and `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// `ok`, or why not.
    pub status: String,
}
