//! What a server's tool was when its agent version was made.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::words::redact;
use crate::{schema, secret::Secret};

/// Most bytes of a schema of results; a larger one tells nothing.
const MAX_OUTPUT_SCHEMA: usize = 64 * 1024;

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
    /// JSON Schema of its results: `outputSchema`, where the server tells one that is not too large.
    #[serde(default)]
    pub output: Option<Value>,
    /// The server's hints.
    #[serde(default)]
    pub hints: Hints,
    /// The pin: first 16 bytes of a SHA-256 over name, description and schema. The schema of results has a pin of its own
    /// ([`Pin`]), because versions of earlier releases have none.
    pub digest: [u8; 16],
}

impl Discovered {
    /// What a server told of a tool, without `secrets`: it goes to the model and is kept.
    pub(super) fn new(tool: rmcp::model::Tool, secrets: &[Secret]) -> Self {
        let operation = tool.name.into_owned();
        let description = tool.description.map(|d| d.into_owned()).or(tool.title).unwrap_or_default();
        let description = redact(secrets, description);
        let clean = |schema: Value| secrets.iter().fold(schema, |schema, secret| secret.redact_json(schema));
        let schema = clean(Value::Object((*tool.input_schema).clone()));
        let output = tool.output_schema.map(|schema| clean(Value::Object((*schema).clone())));
        let output = output.filter(|schema| schema.to_string().len() <= MAX_OUTPUT_SCHEMA);
        let hints = tool.annotations.map_or(Hints::default(), |a| Hints {
            read_only: a.read_only_hint,
            destructive: a.destructive_hint,
            idempotent: a.idempotent_hint,
        });
        let digest = schema::digest(&json!([operation, description, schema]));
        Self { operation, description, schema, output, hints, digest }
    }
}

/// By what a tool is known to be the one that was pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pin {
    digest: [u8; 16],
    output: Option<[u8; 16]>,
}

impl Pin {
    pub(super) fn of(tool: &Discovered) -> Self {
        Self { digest: tool.digest, output: tool.output.as_ref().map(schema::digest) }
    }

    /// Whether a tool that is listed now is still what was pinned. A pin that knows no schema of results keeps to none: nothing was
    /// planned by it.
    pub(super) fn holds(&self, now: &Self) -> bool {
        self.digest == now.digest && (self.output.is_none() || self.output == now.output)
    }

    /// Whether a result is what its schema tells, rather than the words beside it.
    pub(super) const fn tells_results(&self) -> bool {
        self.output.is_some()
    }
}
