//! What somebody needs to know to log in: nothing secret, so that everybody may ask.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::id::EffectId;

use crate::schema;

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

/// A link with which a browser signs in on the approval page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Where the browser goes. What stands behind `#` counts once, for a short time, and stands for the token that asked for it: it is as
    /// secret.
    pub url: String,
    /// For how many seconds it counts.
    pub seconds: u64,
}

/// Where a link leads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MakeLink {
    /// The approval to be shown; the list of those that wait when silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::EffectId>")]
    pub approval: Option<EffectId>,
}
