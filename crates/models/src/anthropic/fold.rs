//! Events folded into a reply.

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use stead_core::{budget::Usage, message::StopReason};
use stead_ports::model::ModelError;

use crate::wire::{Draft, Flow, Fold, failure};

/// An event; unknown fields are skipped, known ones must have their type.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    index: u32,
    #[serde(default)]
    message: Option<Start>,
    #[serde(default)]
    content_block: Option<Box<RawValue>>,
    #[serde(default)]
    delta: Option<DeltaPart>,
    #[serde(default)]
    usage: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Start {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    usage: Option<Value>,
}

/// A block as it begins.
#[derive(Deserialize)]
struct Block {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    input: Option<Box<RawValue>>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    signature: Option<String>,
}

#[derive(Default, Deserialize)]
struct DeltaPart {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    partial_json: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    stop_reason: Option<String>,
}

/// What a block that has begun is, by its index.
enum Open {
    Text,
    Call { at: usize, whole: Option<String> },
    Thinking { text: String, signature: String },
    Other,
}

/// Where a reply stands.
#[derive(Default)]
pub(crate) struct AnthropicFold {
    open: Vec<(u32, Open)>,
    usage: Option<Usage>,
    stop: Option<StopReason>,
}

impl AnthropicFold {
    fn begin(&mut self, index: u32, raw: &RawValue, draft: &mut Draft<'_>) -> Result<(), ModelError> {
        if self.open.iter().any(|(i, _)| *i == index) {
            return Err(failure::garbage("a block begins twice"));
        }
        let block: Block = serde_json::from_str(raw.get())
            .map_err(|e| failure::garbage(format!("a block is not what it should be: {e}")))?;
        let open = match block.r#type.as_str() {
            "text" => {
                draft.text(block.text.unwrap_or_default())?;
                Open::Text
            }
            "tool_use" => {
                let at = draft.begin_call()?;
                draft.call(at, block.id, block.name, String::new())?;
                // Gateways send the whole input at once; Anthropic itself an empty object, and then pieces.
                Open::Call { at, whole: block.input.map(|i| i.get().to_owned()).filter(|i| i != "{}") }
            }
            "thinking" => Open::Thinking {
                text: block.thinking.unwrap_or_default(),
                signature: block.signature.unwrap_or_default(),
            },
            "redacted_thinking" => {
                draft.reasoning(raw.get().to_owned())?;
                Open::Other
            }
            _ => Open::Other,
        };
        if self.open.len() >= MAX_OPEN {
            return Err(failure::garbage("too many blocks are open at once"));
        }
        self.open.push((index, open));
        Ok(())
    }

    fn go_on(&mut self, index: u32, delta: DeltaPart, draft: &mut Draft<'_>) -> Result<(), ModelError> {
        let open = self.open.iter_mut().find(|(i, _)| *i == index).map(|(_, open)| open);
        match open {
            Some(Open::Text) => draft.text(delta.text.unwrap_or_default()),
            Some(Open::Call { at, whole }) => {
                let piece = delta.partial_json.unwrap_or_default();
                if !piece.is_empty() {
                    *whole = None;
                }
                draft.call(*at, None, None, piece)
            }
            Some(Open::Thinking { text, signature }) => {
                for (kept, more) in [(text, delta.thinking), (signature, delta.signature)] {
                    let more = more.unwrap_or_default();
                    draft.grow(more.len())?;
                    kept.push_str(&more);
                }
                Ok(())
            }
            Some(Open::Other) => Ok(()),
            None => Err(failure::garbage("a piece belongs to no block")),
        }
    }

    fn end(&mut self, index: u32, draft: &mut Draft<'_>) -> Result<(), ModelError> {
        let Some(place) = self.open.iter().position(|(i, _)| *i == index) else {
            return Err(failure::garbage("a block ends that has not begun"));
        };
        match self.open.remove(place).1 {
            Open::Call { at, whole: Some(whole) } => draft.settle_arguments(at, &whole),
            // Without a signature nobody would take it back.
            Open::Thinking { text, signature } if !signature.is_empty() => {
                let item = json!({ "type": "thinking", "thinking": text, "signature": signature });
                draft.reasoning(item.to_string())
            }
            _ => Ok(()),
        }
    }

    /// Counts so far. Later events repeat some of them, with the last word.
    fn count(&mut self, value: &Value, draft: &mut Draft<'_>) {
        let count = |key: &str| value.get(key).and_then(Value::as_u64);
        let mut usage = self.usage.unwrap_or_default();
        let plain = count("input_tokens");
        let read = count("cache_read_input_tokens");
        let written = count("cache_creation_input_tokens");
        let output = count("output_tokens");
        if plain.is_none() && output.is_none() {
            return;
        }
        // The provider counts plain, read and written input apart; here the first includes the others.
        let before = usage.input.saturating_sub(usage.cached).saturating_sub(usage.cache_write);
        usage.cached = read.unwrap_or(usage.cached);
        usage.cache_write = written.unwrap_or(usage.cache_write);
        usage.input = plain.unwrap_or(before).saturating_add(usage.cached).saturating_add(usage.cache_write);
        usage.output = output.unwrap_or(usage.output);
        let thought = value.pointer("/output_tokens_details/thinking_tokens").and_then(Value::as_u64);
        usage.reasoning = thought.unwrap_or(usage.reasoning).min(usage.output);
        self.usage = Some(usage);
        draft.usage = Some(usage);
    }
}

/// Most blocks that may be open at once; the API has one.
const MAX_OPEN: usize = 16;

impl Fold for AnthropicFold {
    fn take(&mut self, data: &str, draft: &mut Draft<'_>) -> Result<Flow, ModelError> {
        let event: Event = serde_json::from_str(data)
            .map_err(|e| failure::garbage(format!("a frame is not what it should be: {e}")))?;
        match event.r#type.as_str() {
            "message_start" => {
                let start = event.message.ok_or_else(|| failure::garbage("the reply begins without a message"))?;
                draft.model(&start.model.unwrap_or_default());
                if let Some(usage) = &start.usage {
                    self.count(usage, draft);
                }
            }
            "content_block_start" => {
                let block = event.content_block.ok_or_else(|| failure::garbage("a block begins with nothing"))?;
                self.begin(event.index, &block, draft)?;
            }
            "content_block_delta" => self.go_on(event.index, event.delta.unwrap_or_default(), draft)?,
            "content_block_stop" => self.end(event.index, draft)?,
            "message_delta" => {
                if let Some(usage) = &event.usage {
                    self.count(usage, draft);
                }
                self.stop = event.delta.and_then(|d| d.stop_reason).map(|r| stop(&r)).or(self.stop);
                if self.stop == Some(StopReason::Refused) {
                    draft.forget_calls();
                }
            }
            "message_stop" => return Ok(Flow::Over),
            "error" => return Err(failure::in_stream(&event.error.unwrap_or_default())),
            "" if event.error.is_some() => return Err(failure::in_stream(&event.error.unwrap_or_default())),
            "" => return Err(failure::garbage("a frame has no type")),
            // Pings, and what later versions may add.
            _ => {}
        }
        Ok(Flow::More)
    }

    fn stop(&self) -> Option<StopReason> {
        self.stop
    }
}

fn stop(reason: &str) -> StopReason {
    match reason {
        "tool_use" => StopReason::ToolCalls,
        "max_tokens" | "model_context_window_exceeded" => StopReason::Length,
        "refusal" => StopReason::Refused,
        _ => StopReason::End,
    }
}
