//! Where an argument comes from, as policies see it: `context.provenance.ARGUMENT` says how far it counts and who can have said it.
//! Whoever follows a conversation tells it; nothing is traced here.

use cedar_policy_core::ast::Value;
use serde::Deserialize;
use serde_json::json;

use crate::value;

/// How far an argument counts: as little as the least of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Other people's words, or nobody knows whose.
    Untrusted,
    /// Set by a system that other people cannot speak through.
    Attested,
    /// Said by the operator or the user, or by what the manifest trusts.
    Trusted,
}

impl Trust {
    /// The word that policies compare with.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Untrusted => "untrusted",
            Self::Attested => "attested",
            Self::Trusted => "trusted",
        }
    }
}

/// Where an argument comes from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// How far it counts.
    pub trust: Trust,
    /// Who can have said it, each in a word: `user`, `operator`, `model`, `tool:NAME`, `web:HOST`, `any`.
    pub sources: Vec<String>,
}

impl Provenance {
    /// The record of Cedar's evaluator.
    pub(crate) fn value(&self) -> Value {
        let sources = value::set(self.sources.iter().map(|source| value::plain(source.as_str())));
        value::record([("trust", value::plain(self.trust.as_str())), ("sources", sources)])
    }

    /// Its type in a schema.
    pub(crate) fn schema() -> serde_json::Value {
        json!({
            "type": "Record",
            "attributes": {
                "trust": { "type": "String" },
                "sources": { "type": "Set", "element": { "type": "String" } },
            },
        })
    }
}
