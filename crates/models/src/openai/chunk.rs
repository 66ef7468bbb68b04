//! One frame of the stream, as lenient as servers differ and no more: unknown fields are skipped, known ones must have
//! their type.

use serde::Deserialize;
use serde_json::Value;
use stead_core::budget::Usage;

/// A frame.
#[derive(Debug, Deserialize)]
pub(super) struct Chunk {
    #[serde(default)]
    pub(super) model: Option<String>,
    /// Absent in keep-alive and usage frames of some servers.
    #[serde(default)]
    pub(super) choices: Option<Vec<Choice>>,
    #[serde(default)]
    pub(super) usage: Option<Value>,
    /// An error in mid-stream.
    #[serde(default)]
    pub(super) error: Option<Value>,
}

/// One alternative; only the first is ever asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    pub(super) index: Option<u32>,
    #[serde(default)]
    pub(super) delta: Option<DeltaPart>,
    #[serde(default)]
    pub(super) finish_reason: Option<String>,
}

/// What is new.
#[derive(Debug, Deserialize)]
pub(super) struct DeltaPart {
    #[serde(default)]
    pub(super) content: Option<Content>,
    #[serde(default)]
    pub(super) refusal: Option<String>,
    #[serde(default)]
    pub(super) reasoning_content: Option<String>,
    #[serde(default)]
    pub(super) tool_calls: Option<Vec<CallPart>>,
}

/// Text, or (Mistral) a list of typed parts of which the text ones count.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Content {
    Text(String),
    Parts(Vec<Part>),
}

/// A typed part.
#[derive(Debug, Deserialize)]
pub(super) struct Part {
    r#type: String,
    #[serde(default)]
    text: Option<String>,
}

impl Content {
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Text(t) => t,
            Self::Parts(parts) => parts.into_iter().filter(|p| p.r#type == "text").filter_map(|p| p.text).collect(),
        }
    }
}

/// A piece of a tool call.
#[derive(Debug, Deserialize)]
pub(super) struct CallPart {
    #[serde(default)]
    pub(super) index: Option<u32>,
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) function: Option<FunctionPart>,
}

/// Its function.
#[derive(Debug, Deserialize)]
pub(super) struct FunctionPart {
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) arguments: Option<String>,
}

/// Tokens as the provider counts them; `None` when the frame has no counts. Read by hand, because a count of a wrong
/// type must not cost the reply.
pub(super) fn usage(value: &Value) -> Option<Usage> {
    let count = |path: &str| value.pointer(path).and_then(Value::as_u64);
    let (input, output) = (count("/prompt_tokens"), count("/completion_tokens"));
    if input.is_none() && output.is_none() {
        return None;
    }
    let (input, output) = (input.unwrap_or(0), output.unwrap_or(0));
    Some(Usage {
        input,
        cached: count("/prompt_tokens_details/cached_tokens").unwrap_or(0).min(input),
        output,
        reasoning: count("/completion_tokens_details/reasoning_tokens").unwrap_or(0).min(output),
        cache_write: count("/prompt_tokens_details/cache_write_tokens").unwrap_or(0).min(input),
    })
}
