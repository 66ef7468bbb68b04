//! What the model of a gateway said, as a message of Anthropic's API: whole, and as the events of its stream.

use serde_json::{Value, json};
use stead_core::{budget::Usage, id::RunId, message::StopReason};
use stead_models::relay::{Answered, Called};

use super::ids;

/// An event of a stream.
pub(crate) type Event = (&'static str, Value);

fn usage(usage: &Usage) -> Value {
    let fresh = usage.input.saturating_sub(usage.cached).saturating_sub(usage.cache_write);
    json!({
        "input_tokens": fresh,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
    })
}

fn stop(said: &Answered) -> &'static str {
    match said.stop {
        _ if !said.ungoverned.is_empty() => "tool_use",
        StopReason::Length => "max_tokens",
        StopReason::Filtered | StopReason::Refused => "refusal",
        StopReason::End | StopReason::ToolCalls => "end_turn",
    }
}

fn tool(call: &Called, input: Value) -> Value {
    json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": input })
}

fn head(run: RunId, model: &str) -> Value {
    json!({
        "id": ids::message(run, 1),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "usage": usage(&Usage::default()),
    })
}

/// The whole message.
pub(crate) fn whole(run: RunId, said: &Answered, used: &Usage) -> Value {
    let mut message = head(run, &said.model);
    let text = (!said.text.is_empty()).then(|| json!({ "type": "text", "text": said.text }));
    let calls =
        said.ungoverned.iter().map(|call| tool(call, serde_json::from_str(&call.arguments).unwrap_or_default()));
    message["content"] = text.into_iter().chain(calls).collect();
    message["stop_reason"] = stop(said).into();
    message["usage"] = usage(used);
    message
}

/// The first event.
pub(crate) fn begin(run: RunId, model: &str) -> Event {
    ("message_start", json!({ "type": "message_start", "message": head(run, model) }))
}

/// The text begins.
pub(crate) fn open() -> Event {
    let block = json!({ "type": "text", "text": "" });
    ("content_block_start", json!({ "type": "content_block_start", "index": 0, "content_block": block }))
}

/// More of the text.
pub(crate) fn piece(text: &str) -> Event {
    let delta = json!({ "type": "text_delta", "text": text });
    ("content_block_delta", json!({ "type": "content_block_delta", "index": 0, "delta": delta }))
}

/// A block is whole.
pub(crate) fn close(index: usize) -> Event {
    ("content_block_stop", json!({ "type": "content_block_stop", "index": index }))
}

/// The calls, each at once, and the end.
pub(crate) fn end(said: &Answered, used: &Usage) -> Vec<Event> {
    let mut events = Vec::new();
    let first = usize::from(!said.text.is_empty());
    for (index, call) in said.ungoverned.iter().enumerate().map(|(n, call)| (n + first, call)) {
        let start = json!({ "type": "content_block_start", "index": index, "content_block": tool(call, json!({})) });
        let delta = json!({ "type": "input_json_delta", "partial_json": call.arguments });
        events.push(("content_block_start", start));
        events.push(("content_block_delta", json!({ "type": "content_block_delta", "index": index, "delta": delta })));
        events.push(close(index));
    }
    let delta = json!({ "stop_reason": stop(said), "stop_sequence": null });
    events.push(("message_delta", json!({ "type": "message_delta", "delta": delta, "usage": usage(used) })));
    events.push(("message_stop", json!({ "type": "message_stop" })));
    events
}
