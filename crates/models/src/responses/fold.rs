//! Events folded into a reply.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use stead_core::{budget::Usage, message::StopReason};
use stead_ports::model::ModelError;

use crate::wire::{Draft, Flow, Fold, failure};

/// An event; unknown fields are skipped, known ones must have their type.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    output_index: u64,
    #[serde(default)]
    delta: Option<Value>,
    #[serde(default)]
    item: Option<Box<RawValue>>,
    #[serde(default)]
    response: Option<Response>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    usage: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    incomplete_details: Option<Incomplete>,
    #[serde(default)]
    output: Option<Vec<Box<RawValue>>>,
}

#[derive(Deserialize)]
struct Incomplete {
    #[serde(default)]
    reason: Option<String>,
}

/// An item of the output.
#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    call_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
    #[serde(default)]
    content: Option<Vec<Content>>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

/// Where a reply stands.
#[derive(Default)]
pub(crate) struct ResponsesFold {
    /// The output index of each call.
    calls: Vec<u64>,
    /// Output indices whose text has come in pieces.
    told: Vec<u64>,
    /// Whether any item has come.
    any: bool,
    refused: bool,
    stop: Option<StopReason>,
}

impl ResponsesFold {
    fn call_at(&mut self, index: u64, draft: &mut Draft<'_>) -> Result<usize, ModelError> {
        if let Some(at) = self.calls.iter().rposition(|i| *i == index) {
            return Ok(at);
        }
        let at = draft.begin_call()?;
        self.calls.push(index);
        Ok(at)
    }

    fn begun(&mut self, index: u64, item: &RawValue, draft: &mut Draft<'_>) -> Result<(), ModelError> {
        let item = read(item)?;
        if item.r#type == "function_call" {
            let at = self.call_at(index, draft)?;
            draft.call(at, item.call_id, item.name, String::new())?;
        }
        Ok(())
    }

    fn done(&mut self, index: u64, raw: &RawValue, draft: &mut Draft<'_>) -> Result<(), ModelError> {
        self.any = true;
        let item = read(raw)?;
        match item.r#type.as_str() {
            "function_call" => {
                let at = self.call_at(index, draft)?;
                draft.call(at, item.call_id, item.name, String::new())?;
                draft.settle_arguments(at, &item.arguments.unwrap_or_default())
            }
            "reasoning" => draft.reasoning(raw.get().to_owned()),
            "message" if !self.told.contains(&index) => {
                for part in item.content.into_iter().flatten() {
                    self.refused |= part.r#type == "refusal";
                    draft.text(part.text.or(part.refusal).unwrap_or_default())?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn text(&mut self, event: Event, draft: &mut Draft<'_>) -> Result<(), ModelError> {
        if !self.told.contains(&event.output_index) {
            self.told.push(event.output_index);
        }
        draft.text(piece(event.delta)?)
    }

    fn ended(&mut self, event: Event, draft: &mut Draft<'_>) -> Result<(), ModelError> {
        let response = event.response.ok_or_else(|| failure::garbage("the end of the reply has no response"))?;
        if !self.any {
            // Some gateways send nothing but the end.
            for (index, item) in (0..).zip(response.output.iter().flatten()) {
                self.done(index, item, draft)?;
            }
        }
        if let Some(model) = &response.model {
            draft.model(model);
        }
        draft.usage = response.usage.as_ref().and_then(usage);
        let reason = response.incomplete_details.and_then(|d| d.reason);
        self.stop = Some(match reason.as_deref() {
            Some("content_filter") => StopReason::Filtered,
            _ if event.r#type == "response.incomplete" => StopReason::Length,
            _ if self.refused => StopReason::Refused,
            _ => StopReason::End,
        });
        Ok(())
    }
}

impl Fold for ResponsesFold {
    fn take(&mut self, data: &str, draft: &mut Draft<'_>) -> Result<Flow, ModelError> {
        let event: Event = serde_json::from_str(data)
            .map_err(|e| failure::garbage(format!("a frame is not what it should be: {e}")))?;
        match event.r#type.as_str() {
            "response.created" => {
                if let Some(model) = event.response.and_then(|r| r.model) {
                    draft.model(&model);
                }
            }
            "response.output_item.added" => {
                if let Some(item) = &event.item {
                    self.begun(event.output_index, item, draft)?;
                }
            }
            "response.output_item.done" => {
                if let Some(item) = &event.item {
                    self.done(event.output_index, item, draft)?;
                }
            }
            "response.output_text.delta" => self.text(event, draft)?,
            "response.refusal.delta" => {
                self.refused = true;
                self.text(event, draft)?;
            }
            "response.function_call_arguments.delta" => {
                let at = self.call_at(event.output_index, draft)?;
                draft.call(at, None, None, piece(event.delta)?)?;
            }
            "response.completed" | "response.incomplete" => {
                self.ended(event, draft)?;
                return Ok(Flow::Over);
            }
            "response.failed" => {
                let error = event.response.and_then(|r| r.error).or(event.error).unwrap_or_default();
                return Err(failure::in_stream(&error));
            }
            "error" => {
                // The fields stand in the event itself, or (gateways) in an object of their own.
                let whole: Value = serde_json::from_str(data).unwrap_or_default();
                return Err(failure::in_stream(&event.error.unwrap_or(whole)));
            }
            // Gateways that answer in the shape of another API.
            "" if event.error.is_some() => return Err(failure::in_stream(&event.error.unwrap_or_default())),
            "" => return Err(failure::garbage("a frame has no type")),
            _ => {}
        }
        Ok(Flow::More)
    }

    fn stop(&self) -> Option<StopReason> {
        self.stop
    }
}

fn read(item: &RawValue) -> Result<Item, ModelError> {
    serde_json::from_str(item.get()).map_err(|e| failure::garbage(format!("an item is not what it should be: {e}")))
}

fn piece(delta: Option<Value>) -> Result<String, ModelError> {
    match delta {
        Some(Value::String(text)) => Ok(text),
        None => Ok(String::new()),
        Some(_) => Err(failure::garbage("a piece of the reply is not text")),
    }
}

/// Tokens as the provider counts them; a count of a wrong type must not cost the reply.
fn usage(value: &Value) -> Option<Usage> {
    let count = |path: &str| value.pointer(path).and_then(Value::as_u64);
    let (input, output) = (count("/input_tokens"), count("/output_tokens"));
    if input.is_none() && output.is_none() {
        return None;
    }
    let (input, output) = (input.unwrap_or(0), output.unwrap_or(0));
    Some(Usage {
        input,
        cached: count("/input_tokens_details/cached_tokens").unwrap_or(0).min(input),
        output,
        reasoning: count("/output_tokens_details/reasoning_tokens").unwrap_or(0).min(output),
        cache_write: count("/input_tokens_details/cache_write_tokens").unwrap_or(0).min(input),
    })
}
