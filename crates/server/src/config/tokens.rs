//! Tokens as configuration keeps them: never themselves, only their hashes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use stead_api::right::Right;
use stead_core::id::Name;

use crate::{auth::Bound, http::input::is_agent, routes::is_key};

/// A token, by its hash. To make one: `openssl rand -base64 32`, and `printf %s TOKEN | sha256sum` for its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Token")]
pub struct TokenEntry {
    /// SHA-256 of the token's text, as 64 hexadecimal digits.
    #[serde(deserialize_with = "hex")]
    #[schemars(regex(pattern = "^[0-9a-fA-F]{64}$"))]
    pub sha256: String,
    /// Who holds it; stands in the journal as the actor.
    #[serde(deserialize_with = "subject")]
    #[schemars(with = "String", length(min = 1, max = 200))]
    pub subject: Name,
    /// Whose runs it sees; `default` when silent.
    #[serde(default = "default_tenant", deserialize_with = "tenant")]
    #[schemars(with = "String", regex(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$"))]
    pub tenant: Name,
    /// What it allows; `read`, `run` and `approve` when silent. `apply` is as much as the server's own account, because
    /// the MCP servers of an agent run as that; `metrics` shows figures of all tenants together.
    #[serde(default = "usual_rights")]
    pub rights: Vec<Right>,
    /// Its roles: policies name them as `Role::"supervisor"`, and gates in `@approvers`.
    #[serde(default, deserialize_with = "roles")]
    #[schemars(with = "Vec<String>")]
    pub roles: Vec<Name>,
    /// Whether policies cannot keep it from looking at policy sets, applying them and going back, as far as its rights go: the way back
    /// for a tenant whose set locks everybody out. The data folder's own token has it for the tenant `default`.
    #[serde(default)]
    pub mends: bool,
    /// The gateway whose model it may ask over `/openai/v1` and `/anthropic/v1`, in its one session; it may do nothing else then. Goes with
    /// `session`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub agent: Option<Name>,
    /// The key of that session; it is made if there is none. Goes with `agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(min = 1, max = 200))]
    pub session: Option<Name>,
}

/// A file of tokens.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenFile {
    /// The tokens.
    #[serde(default)]
    pub tokens: Vec<TokenEntry>,
}

/// The hash under which a token is kept: SHA-256 of its text. A plain hash is enough, because a token is 32 random
/// bytes and cannot be guessed from it.
pub fn hash_token(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

impl TokenEntry {
    /// The hash as bytes.
    pub fn digest(&self) -> [u8; 32] {
        unhex(&self.sha256).unwrap_or_default()
    }

    /// What is wrong with an entry that was made in code, or read.
    pub fn wrong(&self) -> Option<String> {
        if unhex(&self.sha256).is_none() {
            return Some(BAD_HASH.into());
        }
        if !names_subject(&self.subject) {
            return Some(bad_subject(&self.subject));
        }
        if !names_tenant(&self.tenant) {
            return Some(bad_tenant(&self.tenant));
        }
        match (&self.agent, &self.session) {
            (None, None) => None,
            (Some(agent), Some(session)) if is_agent(agent) && is_key(session) => None,
            (Some(_), Some(_)) => Some("`agent` must name an agent, and `session` be a key of 1 to 200 bytes".into()),
            _ => Some("`agent` and `session` go together: one token, one agent, one session".into()),
        }
    }

    /// The gateway that it is for.
    pub fn bound(&self) -> Option<Bound> {
        let (agent, session) = (self.agent.clone()?, self.session.clone()?);
        Some(Bound { agent, session })
    }
}

const BAD_HASH: &str = "`sha256` must be the SHA-256 of the token: 64 hexadecimal digits";

pub(super) fn usual_rights() -> Vec<Right> {
    Right::USUAL.to_vec()
}

/// Whether a word can stand in the journal as an actor.
pub(super) fn names_subject(word: &str) -> bool {
    (1..=200).contains(&word.len()) && !word.chars().any(char::is_control)
}

fn bad_subject(word: &str) -> String {
    format!("{word:?} cannot name a subject: 1 to 200 bytes without control characters")
}

fn bad_tenant(word: &str) -> String {
    format!("`{word}` cannot name a tenant: 1 to 63 of `a-z`, `0-9`, `-` and `_`")
}

fn subject<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Name, D::Error> {
    let name = String::deserialize(d)?;
    if names_subject(&name) {
        return Ok(name.into());
    }
    Err(serde::de::Error::custom(bad_subject(&name)))
}

pub(super) fn roles<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<Name>, D::Error> {
    let roles = Vec::<String>::deserialize(d)?;
    match roles.iter().find(|role| !names_subject(role)) {
        None => Ok(roles.into_iter().map(Name::from).collect()),
        Some(role) => Err(serde::de::Error::custom(format!(
            "{role:?} cannot name a role: 1 to 200 bytes without control characters"
        ))),
    }
}

pub(super) fn default_tenant() -> Name {
    "default".into()
}

/// Whether a word can name a tenant: it becomes a folder's name.
pub(super) fn names_tenant(word: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = word.as_bytes();
    (1..=63).contains(&bytes.len()) && plain(bytes[0]) && bytes.iter().all(|b| plain(*b) || matches!(b, b'-' | b'_'))
}

pub(super) fn tenant<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Name, D::Error> {
    let name = String::deserialize(d)?;
    if names_tenant(&name) {
        return Ok(name.into());
    }
    Err(serde::de::Error::custom(bad_tenant(&name)))
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let text = Some(text).filter(|t| t.len() == 64 && t.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let mut out = [0; 32];
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(out)
}

fn hex<'de, D: serde::Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let text = String::deserialize(d)?;
    // The value is not shown: someone may have put the token itself there.
    unhex(&text).map(|_| text).ok_or_else(|| serde::de::Error::custom(BAD_HASH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_place_of_its_hash_is_refused_and_not_shown() {
        let error = toml::from_str::<TokenFile>("[[tokens]]\nsubject = \"ci\"\nsha256 = \"hunter2\"\n");
        let error = error.map(|_| ()).map_err(|e| e.message().to_string());
        assert_eq!(error, Err("`sha256` must be the SHA-256 of the token: 64 hexadecimal digits".into()));
    }

    #[test]
    fn a_token_may_read_run_and_approve_unless_its_entry_says_otherwise() {
        let entry = |more: &str| {
            let text = format!("[[tokens]]\nsubject = \"ci\"\nsha256 = \"{}\"\n{more}", "ab".repeat(32));
            let file = toml::from_str::<TokenFile>(&text);
            file.map(|f| f.tokens[0].rights.clone()).map_err(|e| e.message().to_string())
        };
        assert_eq!(entry(""), Ok(vec![Right::Read, Right::Run, Right::Approve]));
        assert_eq!(entry("rights = [\"apply\"]"), Ok(vec![Right::Apply]));
        assert_eq!(entry("rights = []"), Ok(Vec::new()));
        assert!(entry("rights = [\"aply\"]").is_err_and(|e| e.contains("unknown variant `aply`")));
    }
}
