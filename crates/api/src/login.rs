//! What somebody needs to know to log in: nothing secret, so that everybody may ask.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How people log in to a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Login {
    /// The identity provider.
    pub issuer: String,
    /// The client that the command line is there.
    pub client_id: String,
    /// What it asks for.
    pub scopes: Vec<String>,
    /// The resource that it asks an access token for (RFC 8707).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// For whom tokens must be meant.
    pub audience: Vec<String>,
}
