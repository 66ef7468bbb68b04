//! What a server of Chat Completions does otherwise than OpenAI.

use crate::settings::Settings;

/// The name under which an endpoint knows the limit of output tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LimitKey {
    /// `max_completion_tokens`: OpenAI itself; its newer models refuse the other.
    #[default]
    MaxCompletionTokens,
    /// `max_tokens`: what most compatible servers know.
    MaxTokens,
}

/// How an endpoint is held to a JSON Schema (`response_format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputKey {
    /// By the schema.
    #[default]
    Schema,
    /// To JSON, with the schema in words (DeepSeek, Moonshot).
    Json,
    /// By words alone (Groq and Cerebras refuse a schema beside tools, many servers know neither).
    Words,
}

/// Habits of an endpoint.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// How the output limit is named.
    pub limit_key: LimitKey,
    /// Whether to ask for usage in the stream (`stream_options`), which a few old servers refuse.
    pub ask_usage: bool,
    /// How the answer's schema is told.
    pub output: OutputKey,
    /// Whether calls must have ids of nine letters and digits (Mistral).
    pub short_ids: bool,
    /// Whether the reasoning text of a turn goes back as `reasoning_content`, as a server demands that made it.
    pub echo_reasoning: bool,
    /// The key travels as `api-key` instead of `authorization` (Azure).
    pub api_key_header: bool,
    /// What the manifest asks of the model.
    pub settings: Settings,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            limit_key: LimitKey::default(),
            ask_usage: true,
            output: OutputKey::default(),
            short_ids: false,
            echo_reasoning: false,
            api_key_header: false,
            settings: Settings::default(),
        }
    }
}
