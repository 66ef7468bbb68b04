//! Versions of an agent: the aliases that name them, how those moved, and what two versions differ in.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::{
    id::{Name, VersionId},
    time::Timestamp,
};

use crate::{agent::AgentSummary, schema};

/// The alias that new runs use when nobody names another.
pub const LIVE: &str = "live";
/// Longest name of an alias, in bytes.
pub const MAX_ALIAS: usize = 63;
/// Fewest hexadecimal digits that stand for a version.
pub const MIN_PREFIX: usize = 8;

/// An agent's versions, aliases and their history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Versions {
    /// The versions, newest first.
    pub items: Vec<AgentSummary>,
    /// Always `null`: there is one page.
    pub next: Option<String>,
    /// The aliases, by name.
    #[serde(default)]
    pub aliases: Vec<Alias>,
    /// How they moved, the last move first; at most 1,000.
    #[serde(default)]
    pub history: Vec<AliasEvent>,
    /// What waits for a second person, the last one first.
    #[serde(default)]
    pub proposed: Vec<AliasEvent>,
}

/// A name of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Alias {
    /// The agent's name.
    #[schemars(with = "String")]
    pub agent: Name,
    /// The alias.
    #[schemars(with = "String")]
    pub alias: Name,
    /// What it names; `null` once it is removed.
    #[schemars(with = "Option<schema::VersionId>")]
    pub version: Option<VersionId>,
    /// Whether the request moved it.
    #[serde(default)]
    pub moved: bool,
    /// Whether the request proposed that it names this, and somebody else must confirm.
    #[serde(default)]
    pub proposed: bool,
}

/// An alias moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AliasEvent {
    /// The alias.
    #[schemars(with = "String")]
    pub alias: Name,
    /// What it named before; `null` when it was made.
    #[schemars(with = "Option<schema::VersionId>")]
    pub was: Option<VersionId>,
    /// What it names since; `null` when it was removed.
    #[schemars(with = "Option<schema::VersionId>")]
    pub version: Option<VersionId>,
    /// When.
    #[schemars(with = "schema::Timestamp")]
    pub at: Timestamp,
    /// Who.
    #[schemars(with = "String")]
    pub by: Name,
    /// Why: `apply`, `set` or `rollback`.
    pub why: String,
    /// `moved`; `proposed`, when it did not move and waits for a second person; `confirmed`, when that one let it move.
    #[serde(default = "moved")]
    pub step: String,
}

fn moved() -> String {
    "moved".to_owned()
}

/// Confirms what somebody else proposed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmAlias {
    /// What the alias is to name: a version, or the beginning of one. `null` confirms that it is removed.
    pub version: Option<String>,
}

/// Moves an alias.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetAlias {
    /// What it names from now on: a version, the beginning of one, or another alias. `null` removes it.
    pub version: Option<String>,
}

/// Takes `live` back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// To this version, the beginning of one, or what this alias names; without it to what was live before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// What two versions differ in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VersionDiff {
    /// The agent's name.
    #[schemars(with = "String")]
    pub agent: Name,
    /// The first version.
    #[schemars(with = "schema::VersionId")]
    pub from: VersionId,
    /// The second.
    #[schemars(with = "schema::VersionId")]
    pub to: VersionId,
    /// What changes for safety: one line each, what is less strict or new for the world first.
    pub safety: Vec<SafetyChange>,
    /// The files that differ.
    pub files: Vec<FileDiff>,
}

/// A change of what an agent may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SafetyChange {
    /// What changed: `destination`, `credential`, `allow`, `request`, `header`, `query`, `body`, `tool`, `class`, `approval`,
    /// `schema`, `model`, `limit`, `agent`, `instructions`, `sandbox`, `egress`, `workspace`.
    pub what: String,
    /// Of what: a tool or an operation of one, a limit, a model, `input` or `output`.
    pub name: String,
    /// Before; `null` when it is new.
    pub from: Option<String>,
    /// After; `null` when it is gone.
    pub to: Option<String>,
    /// Whether the second version may do more, or is held less.
    pub looser: bool,
}

/// A file that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileDiff {
    /// Its name in the bundle.
    pub file: String,
    /// A unified diff.
    pub diff: String,
}

/// An agent's name with what follows an `@`, if anything does: an alias, a version, or the beginning of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentRef<'a> {
    /// The name.
    pub name: &'a str,
    /// What follows the `@`.
    pub version: Option<&'a str>,
}

impl<'a> AgentRef<'a> {
    /// Takes a text apart at its first `@`.
    pub fn of(text: &'a str) -> Self {
        match text.split_once('@') {
            Some((name, version)) => Self { name, version: Some(version) },
            None => Self { name: text, version: None },
        }
    }
}

impl fmt::Display for AgentRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        self.version.map_or(Ok(()), |v| write!(f, "@{v}"))
    }
}

/// Whether a text can be an alias: small letters, digits and `-`, beginning with a letter, and not so that it could be meant
/// as the beginning of a version.
pub fn is_alias(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=MAX_ALIAS).contains(&text.len())
        && text.bytes().all(fits)
        && text.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && version_prefix(text).is_none()
}

/// The hexadecimal digits of a text that can be the beginning of a version, with or without `sha256:`.
pub fn version_prefix(text: &str) -> Option<&str> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    ((MIN_PREFIX..=64).contains(&digits.len()) && digits.bytes().all(hex)).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_never_the_beginning_of_a_version() {
        for alias in ["live", "canary", "v2", "a-1", "cafe", "blue-green"] {
            assert!(is_alias(alias), "{alias}");
        }
        for other in ["", "Live", "2nd", "-a", "a b", "a@b", "deadbeef", "sha256:deadbeef", &"a".repeat(64)] {
            assert!(!is_alias(other), "{other}");
        }
        assert_eq!((version_prefix("sha256:0123abcd"), version_prefix("0123abc")), (Some("0123abcd"), None));
    }

    #[test]
    fn an_agent_may_be_named_with_an_alias() {
        assert_eq!(AgentRef::of("desk@canary"), AgentRef { name: "desk", version: Some("canary") });
        assert_eq!(AgentRef::of("desk").to_string(), "desk");
        assert_eq!(AgentRef::of("desk@").version, Some(""));
    }
}
