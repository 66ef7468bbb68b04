//! A run as a chat completion: whole, and as chunks.

use serde_json::{Value, json};
use stead_core::{budget::Usage, id::RunId, message::StopReason};
use stead_models::relay::{Answered, Called};

use super::{
    ids,
    telling::{Ending, Question},
};

/// Who answers, and when.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) run: RunId,
    /// As the caller named it.
    pub(crate) model: String,
    /// Seconds since 1970.
    pub(crate) created: i64,
}

/// Tokens, in the words of this API.
pub(crate) fn usage(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input.saturating_add(usage.output),
        "prompt_tokens_details": { "cached_tokens": usage.cached },
        "completion_tokens_details": { "reasoning_tokens": usage.reasoning },
    })
}

/// Why an answer ended.
pub(crate) fn finish(ending: &Ending, said: Option<&Answered>) -> &'static str {
    match ending {
        _ if said.is_some_and(|said| !said.ungoverned.is_empty()) => "tool_calls",
        Ending::Completed { cut: Some(StopReason::Length) } => "length",
        Ending::Completed { cut: Some(_) } => "content_filter",
        _ => "stop",
    }
}

/// The whole answer.
pub(crate) fn whole(head: &Head, content: &str, finish: &str, used: &Usage) -> Value {
    json!({
        "id": ids::completion(head.run),
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": content, "refusal": null, "annotations": [] },
            "logprobs": null,
            "finish_reason": finish,
        }],
        "usage": usage(used),
        "system_fingerprint": null,
    })
}

/// Calls that the client is to make.
pub(crate) fn calls(said: &Answered) -> Vec<Value> {
    let call = |(index, call): (usize, &Called)| {
        let function = json!({ "name": call.name, "arguments": call.arguments });
        json!({ "index": index, "id": call.id, "type": "function", "function": function })
    };
    said.ungoverned.iter().enumerate().map(call).collect()
}

/// What the model of a gateway said.
pub(crate) fn relayed(head: &Head, said: &Answered, finish: &str, used: &Usage) -> Value {
    let mut answer = whole(head, &said.text, finish, used);
    answer["model"] = said.model.as_str().into();
    let message = &mut answer["choices"][0]["message"];
    if !said.ungoverned.is_empty() {
        message["tool_calls"] = calls(said).into();
        if said.text.is_empty() {
            message["content"] = Value::Null;
        }
    }
    answer
}

/// A piece of a stream.
pub(crate) fn chunk(head: &Head, delta: Value, finish: Option<&str>) -> Value {
    let mut chunk = around(head);
    chunk["choices"] = json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish }]);
    chunk
}

/// The chunk that tells tokens.
pub(crate) fn used(head: &Head, used: &Usage) -> Value {
    let mut chunk = around(head);
    chunk["usage"] = usage(used);
    chunk
}

fn around(head: &Head) -> Value {
    json!({
        "id": ids::completion(head.run),
        "object": "chat.completion.chunk",
        "created": head.created,
        "model": head.model,
        "choices": [],
        "system_fingerprint": null,
    })
}

/// The message for somebody whose run waits for people. It is the runtime's word, and says so.
pub(crate) fn waiting(run: RunId, questions: &[Question]) -> String {
    use std::fmt::Write as _;
    /// Bytes of arguments that are shown.
    const SHOWN: usize = 400;
    let mut text = format!("[stead] {run} waits for a person, and goes on by itself once they have answered.");
    for Question { effect, tool, arguments } in questions {
        let shown = &arguments[..arguments.floor_char_boundary(SHOWN)];
        let cut = if shown.len() < arguments.len() { "…" } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n- {tool} {shown}{cut}\n  `stead approvals approve {effect}` or `stead approvals deny {effect}`"
        );
    }
    let _ = write!(text, "\nIts answer will be in the response {}.", ids::response(run));
    text
}
