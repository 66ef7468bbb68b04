//! Frames folded into a reply.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use stead_core::{budget::Usage, message::StopReason};
use stead_ports::model::ModelError;

use super::signature::Signature;
use crate::wire::{Draft, Flow, Fold, failure};

/// A frame; unknown fields are skipped, known ones must have their type.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk {
    #[serde(default)]
    candidates: Option<Vec<Candidate>>,
    #[serde(default)]
    prompt_feedback: Option<Feedback>,
    #[serde(default)]
    usage_metadata: Option<Value>,
    #[serde(default)]
    model_version: Option<String>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    #[serde(default)]
    index: Option<u32>,
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    finish_message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    #[serde(default)]
    block_reason: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    parts: Option<Vec<Part>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    thought: bool,
    #[serde(default)]
    thought_signature: Option<String>,
    #[serde(default)]
    function_call: Option<FunctionCall>,
}

#[derive(Deserialize)]
struct FunctionCall {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    args: Option<Box<RawValue>>,
}

/// Where a reply stands.
#[derive(Default)]
pub(crate) struct GeminiFold {
    stop: Option<StopReason>,
}

impl GeminiFold {
    fn part(part: Part, draft: &mut Draft<'_>) -> Result<(), ModelError> {
        // Summaries of thought are not asked for, and are no part of the answer.
        let text = part.text.filter(|_| !part.thought).unwrap_or_default();
        if let Some(thought_signature) = part.thought_signature.filter(|s| !s.is_empty()) {
            let alone = part.function_call.is_none() && text.is_empty();
            draft.reasoning(Signature { thought_signature, alone }.into_item())?;
            draft.text(text)?;
            draft.seal();
        } else {
            draft.text(text)?;
        }
        if let Some(call) = part.function_call {
            let at = draft.begin_call()?;
            // The exact text of the arguments: what the provider wrote, since no one else has seen the model's.
            let arguments = call.args.map(|a| a.get().to_owned()).unwrap_or_default();
            draft.call(at, call.id, call.name, arguments)?;
        }
        Ok(())
    }
}

impl Fold for GeminiFold {
    fn take(&mut self, data: &str, draft: &mut Draft<'_>) -> Result<Flow, ModelError> {
        let chunk: Chunk = serde_json::from_str(data)
            .map_err(|e| failure::garbage(format!("a frame is not what it should be: {e}")))?;
        if let Some(error) = chunk.error {
            return Err(failure::in_stream(&error));
        }
        if let Some(usage) = chunk.usage_metadata.as_ref().and_then(usage) {
            draft.usage = Some(usage);
        }
        draft.model(&chunk.model_version.unwrap_or_default());
        if chunk.prompt_feedback.and_then(|f| f.block_reason).is_some() {
            self.stop = Some(StopReason::Filtered);
        }
        for candidate in chunk.candidates.into_iter().flatten() {
            if candidate.index.is_some_and(|i| i != 0) {
                return Err(failure::garbage("the reply has a second candidate, which was not asked for"));
            }
            for part in candidate.content.and_then(|c| c.parts).into_iter().flatten() {
                Self::part(part, draft)?;
            }
            if let Some(reason) = candidate.finish_reason {
                self.stop = Some(stop(&reason, candidate.finish_message.as_deref())?);
            }
        }
        Ok(Flow::More)
    }

    fn stop(&self) -> Option<StopReason> {
        self.stop
    }
}

fn stop(reason: &str, message: Option<&str>) -> Result<StopReason, ModelError> {
    Ok(match reason {
        "MAX_TOKENS" => StopReason::Length,
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "LANGUAGE" => StopReason::Filtered,
        "MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL" | "TOO_MANY_TOOL_CALLS" | "MALFORMED_RESPONSE" => {
            let words = message.unwrap_or_default();
            return Err(failure::garbage(format!("the provider gave the reply up: {reason} {words}")));
        }
        _ => StopReason::End,
    })
}

/// Tokens so far, as the provider counts them: each frame repeats them all. Thinking is counted apart there, and part of
/// the output here.
fn usage(value: &Value) -> Option<Usage> {
    let count = |key: &str| value.get(key).and_then(Value::as_u64);
    let (input, output) = (count("promptTokenCount"), count("candidatesTokenCount"));
    if input.is_none() && output.is_none() {
        return None;
    }
    let reasoning = count("thoughtsTokenCount").unwrap_or(0);
    let input = input.unwrap_or(0).saturating_add(count("toolUsePromptTokenCount").unwrap_or(0));
    Some(Usage {
        input,
        cached: count("cachedContentTokenCount").unwrap_or(0).min(input),
        output: output.unwrap_or(0).saturating_add(reasoning),
        reasoning,
        cache_write: 0,
    })
}
