//! Provider-neutral messages: what goes into a model and comes out of it. Their JSON form is the journal's format
//! for payloads, so a field is never renamed or given another meaning; new ones are optional.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::budget::Usage;

/// A tool call as a model wrote it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's own id of the call, echoed back with the result.
    pub id: String,
    /// The tool's full name as it was offered to the model.
    pub name: String,
    /// The arguments: the exact JSON text of the model. These bytes are validated, decided on and dispatched.
    pub arguments: Box<RawValue>,
}

impl PartialEq for ToolCall {
    fn eq(&self, o: &Self) -> bool {
        self.id == o.id && self.name == o.name && self.arguments.get() == o.arguments.get()
    }
}

/// Why a model stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It was done.
    #[default]
    End,
    /// It wants its tool calls answered.
    ToolCalls,
    /// It ran into the output limit.
    Length,
    /// The provider's content filter cut it.
    Filtered,
    /// It declined to answer.
    Refused,
}

/// A model's completed reply; the payload of `ModelReplied`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The text; empty when there are only calls.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Tool calls, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ToolCall>,
    /// Opaque reasoning items that the provider wants back, byte for byte.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasoning: Vec<String>,
    /// Why it stopped.
    #[serde(default)]
    pub stop: StopReason,
    /// Tokens, as counted by the provider.
    #[serde(default)]
    pub usage: Usage,
    /// The model that answered, as the provider names it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
}

/// What the model is told about one tool call; the payload of an effect's outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The id of the call it answers.
    pub call_id: String,
    /// The tool's name.
    pub name: String,
    /// The text the model reads: JSON or prose.
    pub content: String,
    /// Whether this tells of an error, a refusal or an unknown outcome.
    #[serde(default)]
    pub error: bool,
}

/// One message of a model request, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// What a user, another agent or the runtime itself says to the model.
    User {
        /// The text.
        text: String,
    },
    /// What the model said earlier.
    Assistant(Reply),
    /// The answer to one of its calls.
    Tool(ToolResult),
}

/// A tool as offered to a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolDef {
    /// Full name: `<tool>` or `<tool>_<operation>`, of `[a-zA-Z0-9_-]{1,64}`.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of the arguments (an object schema).
    pub schema: serde_json::Value,
}
