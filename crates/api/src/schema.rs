//! JSON Schemas of the core's words, which know nothing of schemas themselves. Markers only: never values.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// Declares a marker whose schema stands for a type of the core.
macro_rules! marker {
    ($(#[$doc:meta])* $name:ident, $schema:tt) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

marker!(
    /// Schema of `stead_core::id::RunId`.
    RunId, { "type": "string", "pattern": "^run_[0-7][0-9A-HJKMNP-TV-Z]{25}$",
        "description": "A run. Sorts by creation time.", "examples": ["run_01JD4Q2V7Q3N5T8W9X0Y1Z2A3B"] }
);
marker!(
    /// Schema of `stead_core::id::SessionId`.
    SessionId, { "type": "string", "pattern": "^ses_[0-7][0-9A-HJKMNP-TV-Z]{25}$",
        "description": "A session.", "examples": ["ses_01JD4Q2V7Q3N5T8W9X0Y1Z2A3B"] }
);
marker!(
    /// Schema of `stead_core::id::SandboxId`.
    SandboxId, { "type": "string", "pattern": "^sbx_[0-7][0-9A-HJKMNP-TV-Z]{25}$",
        "description": "A session sandbox. Sorts by creation time." }
);
marker!(
    /// Schema of `stead_core::id::TreeId`.
    TreeId, { "type": "string", "pattern": "^tree:[0-9a-f]{64}$",
        "description": "The content of a workspace. Equal content has equal ids within a tenant." }
);
marker!(
    /// Schema of `stead_core::sandbox::Tier`.
    Tier, { "type": "string", "enum": ["wasm", "namespace", "oci", "microvm"],
        "description": "How a sandbox is kept apart from the host." }
);
marker!(
    /// Schema of `stead_egress::RuleSpec`.
    EgressRule, { "oneOf": [
        { "type": "string", "examples": ["api.example.com:443"] },
        { "type": "object", "required": ["host"], "properties": { "host": { "type": "string" } } } ],
        "description": "What may be reached: `[http://|https://]HOST[:PORT]`, or a rule with more keys; docs/egress.md lists them." }
);
marker!(
    /// Schema of `stead_core::id::EffectId`.
    EffectId, { "type": "string", "pattern": "^run_[0-7][0-9A-HJKMNP-TV-Z]{25}\\.e[0-9]+$",
        "description": "One effect of a run; also the name of the approval that it may need.",
        "examples": ["run_01JD4Q2V7Q3N5T8W9X0Y1Z2A3B.e1"] }
);
marker!(
    /// Schema of `stead_core::id::VersionId`.
    VersionId, { "type": "string", "pattern": "^sha256:[0-9a-f]{64}$",
        "description": "An immutable agent version." }
);
marker!(
    /// Schema of `stead_core::id::LeafHash`.
    LeafHash, { "type": "string", "pattern": "^leaf:[0-9a-f]{64}$",
        "description": "Hash of a journal record; it commits to the record before." }
);
marker!(
    /// Schema of `stead_core::time::Timestamp`.
    Timestamp, { "type": "integer", "format": "int64",
        "description": "An instant: microseconds since the Unix epoch (UTC)." }
);
marker!(
    /// Schema of `stead_core::time::Span`.
    Span, { "type": "integer", "format": "int64", "minimum": 0, "description": "A span of time in microseconds." }
);
marker!(
    /// Schema of `stead_core::budget::MicroUsd`.
    MicroUsd, { "type": "integer", "format": "int64", "minimum": 0, "description": "Millionths of a US dollar." }
);
marker!(
    /// Schema of `stead_core::budget::Spend`.
    Spend, { "type": "object", "required": ["tokens", "usd"],
        "description": "What was used. `usd` is in millionths of a dollar, and null once a call of unknown price is in the sum.",
        "properties": { "tokens": { "type": "integer", "format": "int64", "minimum": 0 },
            "usd": { "type": ["integer", "null"], "format": "int64", "minimum": 0 } } }
);
marker!(
    /// Schema of `stead_core::code::Code`.
    Code, { "type": "string", "pattern": "^ST[0-9]{4}$",
        "description": "A stable error code; `stead errors CODE` explains it.", "examples": ["ST0202"] }
);
marker!(
    /// Schema of `stead_core::status::Status`.
    Status, { "type": "string",
        "enum": ["queued", "running", "waiting", "paused", "completed", "failed", "cancelled"],
        "description": "Where a run stands: behind another run of its session; at work; waiting for a human or a timer; paused by an \
            operator; or ended: with an answer, without, or stopped." }
);
marker!(
    /// Schema of `stead_core::effect::EffectClass`.
    EffectClass, { "type": "string",
        "enum": ["pure", "contained", "keyed", "reconcilable", "compensable", "irreversible"],
        "description": "What a tool promises about repetition." }
);
marker!(
    /// Schema of `stead_core::fact::AskReason`.
    AskReason, { "type": "string",
        "enum": ["manifest", "equal_unknown", "outcome_unknown", "restored", "policy", "budget"],
        "description": "Why a human is asked: the manifest says so; an equal call has an unknown outcome; its own outcome is unknown; \
        the run was restored from a backup and may have done it before; gates of policies ask for it; a limit of a budget is reached." }
);
marker!(
    /// Schema of `stead_core::record::Actor`.
    Actor, { "description": "Who caused a record.", "oneOf": [
        { "const": "runtime" },
        { "type": "object", "required": ["user"], "properties": { "user": { "type": "string" } }, "additionalProperties": false },
        { "type": "object", "required": ["run"], "properties": { "run": { "type": "string" } }, "additionalProperties": false } ] }
);

marker!(
    /// Schema of `stead_core::fact::StopMode`.
    StopMode, { "type": "string", "enum": ["cancel", "kill"],
        "description": "How hard a run is stopped: effects under way may finish, or are abandoned." }
);
marker!(
    /// Schema of `stead_core::budget::Limit`.
    Limit, { "type": "string",
        "enum": ["tokens", "usd", "unpriced", "tool_calls", "active", "deadline", "children", "turns", "cpu", "traffic"],
        "description": "The limit that stopped a run." }
);
marker!(
    /// Schema of `stead_core::record::Source`.
    Source, { "type": "string", "enum": ["operator", "user", "model", "tool", "runtime", "agent"],
        "description": "Who said a text." }
);

/// Schema of `stead_core::fact::Fact`.
#[derive(Debug)]
pub enum Fact {}

impl JsonSchema for Fact {
    fn schema_name() -> Cow<'static, str> {
        "Fact".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "required": ["kind"],
            "description": "Something that happened. The other fields depend on `kind`; `docs/journal-format.md` lists them. \
                Later releases may add kinds and fields.",
            "properties": { "kind": { "type": "string", "examples": crate::fact::KINDS } },
            "additionalProperties": true
        })
    }
}

#[cfg(test)]
mod tests {
    use stead_core::{
        code,
        id::{EffectId, LeafHash, Name, RunId, SessionId, VersionId},
        record::Actor,
    };

    use super::*;

    fn schema<T: JsonSchema>() -> serde_json::Value {
        T::json_schema(&mut SchemaGenerator::default()).to_value()
    }

    /// A pattern is only ever a prefix, one of two classes and a count: checked here without a regex engine.
    fn fits(schema: &serde_json::Value, value: &impl serde::Serialize) {
        let text = serde_json::to_value(value).expect("serialises");
        let text = text.as_str().expect("travels as text");
        let pattern = schema["pattern"].as_str().expect("has a pattern");
        let prefix: String = pattern[1..].chars().take_while(|c| *c != '[').collect();
        assert!(text.starts_with(&prefix), "{text} does not fit {pattern}");
    }

    #[test]
    fn the_schemas_of_ids_and_words_are_what_the_core_writes() {
        let run = RunId(u128::MAX >> 3);
        fits(&schema::<super::RunId>(), &run);
        fits(&schema::<super::SessionId>(), &SessionId(9));
        fits(&schema::<super::SandboxId>(), &stead_core::id::SandboxId(9));
        fits(&schema::<super::TreeId>(), &stead_core::id::TreeId([1; 32]));
        fits(&schema::<super::EffectId>(), &EffectId { run, n: 3 });
        fits(&schema::<super::VersionId>(), &VersionId([1; 32]));
        fits(&schema::<super::LeafHash>(), &LeafHash([1; 32]));
        fits(&schema::<super::Code>(), &code::NOT_FOUND);
        assert_eq!(serde_json::to_value(Actor::Runtime).ok(), Some("runtime".into()));
        assert_eq!(serde_json::to_value(Actor::User(Name::from("ann"))).ok(), Some(serde_json::json!({"user": "ann"})));
        let spend = serde_json::to_value(stead_core::budget::Spend { tokens: 1, usd: None }).ok();
        assert_eq!(spend, Some(serde_json::json!({"tokens": 1, "usd": null})));
    }
}
