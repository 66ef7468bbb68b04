//! Tokens as configuration keeps them: never themselves, only their hashes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use stead_core::id::Name;

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
    #[schemars(with = "String", length(min = 1, max = 200))]
    pub subject: Name,
    /// Whose runs it sees; `default` when silent.
    #[serde(default = "default_tenant", deserialize_with = "tenant")]
    #[schemars(with = "String", regex(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$"))]
    pub tenant: Name,
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
}

fn default_tenant() -> Name {
    "default".into()
}

/// Whether a word can name a tenant: it becomes a folder's name.
fn names_tenant(word: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = word.as_bytes();
    (1..=63).contains(&bytes.len()) && plain(bytes[0]) && bytes.iter().all(|b| plain(*b) || matches!(b, b'-' | b'_'))
}

fn tenant<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Name, D::Error> {
    let name = String::deserialize(d)?;
    if names_tenant(&name) {
        return Ok(name.into());
    }
    Err(serde::de::Error::custom(format!("`{name}` cannot name a tenant: 1 to 63 of `a-z`, `0-9`, `-` and `_`")))
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
    unhex(&text)
        .map(|_| text)
        .ok_or_else(|| serde::de::Error::custom("`sha256` must be the SHA-256 of the token: 64 hexadecimal digits"))
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
}
