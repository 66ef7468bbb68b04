//! Who may talk to the server because an identity provider knows them: OpenID Connect.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_api::right::Right;
use stead_core::id::Name;
use stead_identity::token::ALGORITHMS;

use super::{
    tokens::{default_tenant, names_subject, names_tenant, roles, tenant, usual_rights},
    units::Time,
};

/// Longest difference of clocks that can be allowed.
const MAX_SKEW: std::time::Duration = std::time::Duration::from_secs(300);
/// Most groups that can be given something.
const MAX_GROUPS: usize = 1_000;

/// An identity provider, and what the people that it knows may do here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Oidc")]
pub struct Oidc {
    /// The provider: the URL under which it publishes `/.well-known/openid-configuration`, exactly as its tokens say it in `iss`. Off
    /// this machine it must be `https`.
    pub issuer: String,
    /// For whom tokens must be meant: one of these must stand in `aud`. The client's id for ID tokens, the name of this server at the
    /// provider for access tokens.
    #[schemars(length(min = 1, max = 16))]
    pub audience: Vec<String>,
    /// The client that `stead login` is at the provider: a public one, with the device flow or a redirect to loopback.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The client that the approval page is at the provider: a public one, with PKCE and the redirect `PUBLIC_URL/approvals/callback`. Without
    /// it browsers sign in by a link of `stead approvals open`.
    #[serde(default)]
    pub page_client_id: Option<String>,
    /// What `stead login` asks for.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// The resource (RFC 8707) that `stead login` asks an access token for, where the provider wants one.
    #[serde(default)]
    pub resource: Option<String>,
    /// The claim that names the person. `email` counts only where the provider has verified it.
    #[serde(default = "sub")]
    pub subject: String,
    /// What stands before the name here, so that nobody at the provider can be taken for somebody else.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// The claim with the person's groups; names joined by dots lead into objects (`realm_access.roles`).
    #[serde(default = "groups")]
    pub groups_claim: String,
    /// By how much clocks may differ: at most `5m`.
    #[serde(default = "skew")]
    pub skew: Time,
    /// How tokens may be signed: of `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384`, `EdDSA`.
    #[serde(default = "algorithms")]
    pub algorithms: Vec<String>,
    /// PEM file of certificates that vouch for the provider, instead of this host's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// What people of a group may do. Who is in none may do nothing; the rights and roles of all of somebody's groups add up, and groups of
    /// two tenants at once are refused.
    #[serde(default)]
    pub groups: Vec<Group>,
}

/// What people of a group may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Group")]
pub struct Group {
    /// The group as the provider names it; `*` is everybody whom it knows.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// Whose runs they see; `default` when silent.
    #[serde(default = "default_tenant", deserialize_with = "tenant")]
    #[schemars(with = "String", regex(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$"))]
    pub tenant: Name,
    /// What they may do; `read`, `run` and `approve` when silent.
    #[serde(default = "usual_rights")]
    pub rights: Vec<Right>,
    /// Their roles, as policies know them.
    #[serde(default, deserialize_with = "roles")]
    #[schemars(with = "Vec<String>")]
    pub roles: Vec<Name>,
}

fn scopes() -> Vec<String> {
    ["openid", "profile", "email", "offline_access"].map(str::to_owned).to_vec()
}

fn sub() -> String {
    "sub".to_owned()
}

fn prefix() -> String {
    "oidc:".to_owned()
}

fn groups() -> String {
    "groups".to_owned()
}

fn skew() -> Time {
    Time(std::time::Duration::from_secs(60))
}

fn algorithms() -> Vec<String> {
    ["RS256", "PS256", "ES256", "EdDSA"].map(str::to_owned).to_vec()
}

impl Oidc {
    /// What is wrong with it, and what to do.
    pub(crate) fn wrong(&self) -> Option<(String, &'static str)> {
        let key = |key: &str, why: &str| format!("`auth.oidc.{key}` {why}");
        if !is_url(&self.issuer) {
            let hint = "write the issuer as its tokens do; `http` is for a provider on this machine alone";
            return Some((key("issuer", "must be an `https` URL without a query or a fragment"), hint));
        }
        if self.audience.is_empty() || self.audience.len() > 16 || self.audience.iter().any(String::is_empty) {
            let hint = "without an audience a token that somebody else was given would do here too";
            return Some((key("audience", "must name 1 to 16 audiences"), hint));
        }
        if let Some(unknown) = self.algorithms.iter().find(|a| !ALGORITHMS.contains(&a.as_str())) {
            let hint = "shared secrets (HS256) and unsigned tokens are never taken";
            return Some((key("algorithms", &format!("has `{unknown:.20}`, which is none that can be allowed")), hint));
        }
        if self.algorithms.is_empty() {
            return Some((key("algorithms", "is empty"), "leave it out for the usual ones"));
        }
        if self.skew.0 > MAX_SKEW {
            return Some((key("skew", "can be at most 5m"), "set the clocks by NTP"));
        }
        if !self.prefix.is_empty() && !names_subject(&self.prefix) {
            return Some((key("prefix", "cannot stand in a name"), "write it as `oidc:`"));
        }
        if self.groups.len() > MAX_GROUPS {
            return Some((key("groups", "has more than 1,000 entries"), "name fewer groups"));
        }
        let bad = self.groups.iter().find(|g| g.name.is_empty() || g.name.len() > 200 || !names_tenant(&g.tenant));
        bad.map(|group| {
            (key("groups", &format!("has an entry that cannot be used: {:.60?}", group.name)), "name a group")
        })
    }
}

/// Whether that can be a provider's URL.
pub(crate) fn is_url(text: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(text) else { return false };
    let here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.has_host();
    plain && (url.scheme() == "https" || (url.scheme() == "http" && here))
}
