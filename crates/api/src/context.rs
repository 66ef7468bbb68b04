//! What a model saw.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::{
    id::{EffectId, Name, RunId},
    record::Source,
    time::Timestamp,
};

use crate::schema;

/// What a model was given in a turn. Token numbers are the runtime's estimates, by which it keeps the view within bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Context {
    /// The run.
    #[schemars(with = "schema::RunId")]
    pub run: RunId,
    /// The turn, from 1.
    pub turn: u32,
    /// The attempt: the last of the turn.
    pub attempt: u32,
    /// When it was requested.
    #[schemars(with = "schema::Timestamp")]
    pub at: Timestamp,
    /// The model, as the manifest names it.
    #[schemars(with = "String")]
    pub model: Name,
    /// Most tokens of output that were asked for.
    pub max_output_tokens: u64,
    /// Estimated tokens of instructions and tools.
    pub overhead_tokens: u64,
    /// Estimated tokens of the messages.
    pub message_tokens: u64,
    /// The instructions.
    pub instructions: String,
    /// The tools on offer.
    pub tools: Vec<ContextTool>,
    /// JSON Schema that the answer had to fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<serde_json::Value>,
    /// The messages, oldest first.
    pub messages: Vec<ContextMessage>,
}

/// A tool as it was offered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContextTool {
    /// Its full name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments.
    pub schema: serde_json::Value,
}

/// A message as a model saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContextMessage {
    /// Who said it; `null` for a text without a label.
    #[schemars(with = "Option<schema::Source>")]
    pub source: Option<Source>,
    /// Estimated tokens.
    pub tokens: u64,
    /// Whether it is an old result whose text was cleared from view.
    pub cleared: bool,
    /// Whether it stems from an earlier run of the session.
    pub earlier: bool,
    /// The effect whose result it is.
    #[schemars(with = "Option<schema::EffectId>")]
    pub effect: Option<EffectId>,
    /// Bytes of the whole text, when only its beginning was shown.
    pub cut_from: Option<u64>,
    /// The message.
    pub message: ContextText,
}

/// What a message says, exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum ContextText {
    /// What a user, another agent or the runtime said.
    User {
        /// The text.
        text: String,
    },
    /// What the model said earlier.
    Assistant {
        /// The text.
        text: String,
        /// Its calls.
        calls: Vec<ContextCall>,
        /// Opaque reasoning items that the provider wants back.
        reasoning: Vec<String>,
    },
    /// The answer to one of its calls.
    Tool {
        /// The id of the call.
        call_id: String,
        /// The tool's name.
        name: String,
        /// The text.
        content: String,
        /// Whether it tells of an error, a refusal or an unknown outcome.
        error: bool,
    },
}

/// A call of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContextCall {
    /// The provider's own id of the call.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The exact JSON text of the arguments.
    pub arguments: String,
}
