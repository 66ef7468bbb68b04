//! What a server's tool was when its agent version was made.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::words::redact;
use crate::{schema, secret::Secret};

/// What a server says of its tool's behaviour. Hints for a reader, never rules: see MCP, "Tool annotations".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hints {
    /// It changes nothing.
    pub read_only: Option<bool>,
    /// It may destroy something.
    pub destructive: Option<bool>,
    /// Repeating it changes nothing more.
    pub idempotent: Option<bool>,
}

/// A tool that a server listed; kept with the agent version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Discovered {
    /// The server's name of it.
    pub operation: String,
    /// What it does, in the server's words.
    pub description: String,
    /// JSON Schema of its arguments.
    pub schema: Value,
    /// The server's hints.
    #[serde(default)]
    pub hints: Hints,
    /// The pin: first 16 bytes of a SHA-256 over name, description and schema.
    pub digest: [u8; 16],
}

impl Discovered {
    /// What a server told of a tool, without `secrets`: it goes to the model and is kept.
    pub(super) fn new(tool: rmcp::model::Tool, secrets: &[Secret]) -> Self {
        let operation = tool.name.into_owned();
        let description = tool.description.map(|d| d.into_owned()).or(tool.title).unwrap_or_default();
        let description = redact(secrets, description);
        let schema = Value::Object((*tool.input_schema).clone());
        let schema = secrets.iter().fold(schema, |schema, secret| secret.redact_json(schema));
        let hints = tool.annotations.map_or(Hints::default(), |a| Hints {
            read_only: a.read_only_hint,
            destructive: a.destructive_hint,
            idempotent: a.idempotent_hint,
        });
        let digest = schema::digest(&json!([operation, description, schema]));
        Self { operation, description, schema, hints, digest }
    }
}
