//! A run as a response of the Responses API: the object, and the events of its stream with their numbers.
//!
//! Numbers follow from the facts alone, so that the stream of a run is the same for whoever reads it, before a crash and after it.

use serde_json::{Value, json};
use stead_core::{budget::Usage, id::SessionId, message::StopReason};
use stead_models::relay::Called;

use super::{
    ids,
    telling::{Ending, Question, Telling, Told},
};

/// The label of the tools of an agent, in items that other clients know from servers of tools.
const LABEL: &str = "stead";

/// An event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// Its number, from 0 without gaps.
    pub(crate) number: u64,
    /// Its type.
    pub(crate) kind: &'static str,
    /// All of it.
    pub(crate) data: Value,
}

/// Writes down what is told of a run.
#[derive(Debug)]
pub(crate) struct Writer {
    next: u64,
    output: Vec<Value>,
    /// The conversation, as the caller knows it.
    conversation: Option<String>,
    background: Option<bool>,
    ending: Option<Ending>,
    queued: bool,
}

impl Writer {
    /// Nothing is written yet. What the facts do not say, the caller may: the name of the conversation, and whether it was asked to work in
    /// the background.
    pub(crate) fn new(conversation: Option<String>, background: Option<bool>) -> Self {
        Self { next: 0, output: Vec::new(), conversation, background, ending: None, queued: false }
    }

    /// Says that the run has not begun to work.
    pub(crate) fn queued(&mut self, queued: bool) {
        self.queued = queued;
    }

    /// How the run ended, if it did.
    pub(crate) const fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// The items of its output so far.
    pub(crate) fn output(&self) -> &[Value] {
        &self.output
    }

    /// Writes what was told, as events.
    pub(crate) fn write(&mut self, telling: &Telling, told: Told, events: &mut Vec<Event>) {
        let index = self.output.len();
        match told {
            Told::Begun => {
                for kind in ["response.created", "response.in_progress"] {
                    let response = self.response(telling);
                    self.event(kind, json!({ "response": response }), events);
                }
            }
            Told::Opened { turn } => {
                let item = message(telling, turn, None);
                self.event("response.output_item.added", json!({ "output_index": index, "item": item }), events);
                let at =
                    json!({ "output_index": index, "content_index": 0, "item_id": ids::message(telling.run(), turn) });
                self.event("response.content_part.added", with(&at, json!({ "part": part("") })), events);
            }
            Told::Piece(piece) => {
                let at = at(telling, index);
                self.event("response.output_text.delta", with(&at, json!({ "delta": piece, "logprobs": [] })), events);
            }
            Told::Closed { turn, text } => {
                let at = at(telling, index);
                self.event("response.output_text.done", with(&at, json!({ "text": text, "logprobs": [] })), events);
                self.event("response.content_part.done", with(&at, json!({ "part": part(&text) })), events);
                self.item(message(telling, turn, Some(&text)), events);
            }
            Told::Asked(question) => {
                let item = asked(&question);
                self.event("response.output_item.added", json!({ "output_index": index, "item": item }), events);
                self.item(item, events);
            }
            Told::Ended(ending) => {
                let kind = match &ending {
                    Ending::Completed { cut: None } => "response.completed",
                    Ending::Failed { .. } => "response.failed",
                    // There is no event of its own for what was cancelled.
                    Ending::Completed { cut: Some(_) } | Ending::Cancelled => "response.incomplete",
                };
                for (n, call) in telling.said.iter().flat_map(|said| &said.ungoverned).enumerate() {
                    self.call(telling, n, call, events);
                }
                self.ending = Some(ending);
                let response = self.response(telling);
                self.event(kind, json!({ "response": response }), events);
            }
            Told::Turned => {
                let why = format!(
                    "{}: the model was asked again and says something else than what was streamed, which does not count; the response goes \
                     on: retrieve {}",
                    stead_core::code::FACE_TURNED,
                    ids::response(telling.run())
                );
                let code = stead_core::code::FACE_TURNED.to_string();
                self.event("error", json!({ "code": code, "message": why, "param": null }), events);
            }
        }
    }

    /// The event that ends a stream of a run that has not ended: it waits for people.
    pub(crate) fn waits(&mut self, telling: &Telling, events: &mut Vec<Event>) {
        let response = self.response(telling);
        self.event("response.incomplete", json!({ "response": response }), events);
    }

    /// The event that ends a stream that breaks off while its run goes on.
    pub(crate) fn broken(&mut self, telling: &Telling, why: &str, events: &mut Vec<Event>) {
        let code = stead_core::code::FACE_PATIENCE.to_string();
        let response = ids::response(telling.run());
        let why = format!("{code}: {why}; the response goes on: retrieve {response}");
        self.event("error", json!({ "code": code, "message": why, "param": null }), events);
    }

    /// A call that the client is to make.
    fn call(&mut self, telling: &Telling, n: usize, call: &Called, events: &mut Vec<Event>) {
        let index = self.output.len();
        let id = format!("fc_{}_{n}", ids::response(telling.run()).trim_start_matches("resp_"));
        let item = |arguments: &str, status: &str| {
            let Called { id: call_id, name, .. } = call;
            json!({ "id": id, "type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, "status": status })
        };
        let begun = item("", "in_progress");
        self.event("response.output_item.added", json!({ "output_index": index, "item": begun }), events);
        let at = json!({ "output_index": index, "item_id": id });
        let arguments = &call.arguments;
        self.event("response.function_call_arguments.delta", with(&at, json!({ "delta": arguments })), events);
        let done = json!({ "arguments": arguments, "name": call.name });
        self.event("response.function_call_arguments.done", with(&at, done), events);
        self.item(item(arguments, "completed"), events);
    }

    fn item(&mut self, item: Value, events: &mut Vec<Event>) {
        let index = self.output.len();
        self.output.push(item.clone());
        self.event("response.output_item.done", json!({ "output_index": index, "item": item }), events);
    }

    fn event(&mut self, kind: &'static str, mut data: Value, events: &mut Vec<Event>) {
        let number = self.next;
        self.next += 1;
        data["type"] = kind.into();
        data["sequence_number"] = number.into();
        events.push(Event { number, kind, data });
    }

    /// The response as it stands.
    pub(crate) fn response(&self, telling: &Telling) -> Value {
        let origin = telling.origin.as_ref();
        let (status, error, incomplete) = match &self.ending {
            None if self.queued => ("queued", None, None),
            None => ("in_progress", None, None),
            Some(Ending::Completed { cut: None }) => ("completed", None, None),
            Some(Ending::Completed { cut: Some(StopReason::Length) }) => {
                ("incomplete", None, Some("max_output_tokens"))
            }
            Some(Ending::Completed { cut: Some(_) }) => ("incomplete", None, Some("content_filter")),
            Some(Ending::Failed { code, why }) => ("failed", Some((code, why)), None),
            Some(Ending::Cancelled) => ("cancelled", None, None),
        };
        let session = |id: SessionId| self.conversation.clone().unwrap_or_else(|| ids::conversation(id, None));
        json!({
            "id": ids::response(telling.run()),
            "object": "response",
            "created_at": origin.map_or(0, |o| o.at.0 / 1_000_000),
            "status": status,
            "background": self.background,
            "error": error.map(|(code, why)| json!({ "code": code, "message": format!("{code}: {why}") })),
            "incomplete_details": incomplete.map(|reason| json!({ "reason": reason })),
            "instructions": null,
            "max_output_tokens": null,
            "model": match (&telling.said, origin) {
                (Some(said), _) => said.model.clone(),
                (None, origin) => origin.map_or_else(String::new, |o| o.agent.to_string()),
            },
            "output": self.output,
            "parallel_tool_calls": true,
            "previous_response_id": telling.base.map(ids::response),
            "conversation": origin.map(|o| json!({ "id": session(o.session) })),
            "reasoning": null,
            "store": true,
            "temperature": null,
            "text": { "format": { "type": "text" } },
            "tool_choice": "auto",
            "tools": [],
            "top_p": null,
            "truncation": "disabled",
            "usage": self.ending.as_ref().map(|_| usage(&telling.usage)),
            "metadata": {},
            "stead": origin.map(|o| json!({ "run": telling.run(), "session": o.session, "version": o.version })),
        })
    }
}

/// Tokens, in the words of this API.
fn usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input,
        "input_tokens_details": { "cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write },
        "output_tokens": usage.output,
        "output_tokens_details": { "reasoning_tokens": usage.reasoning },
        "total_tokens": usage.input.saturating_add(usage.output),
    })
}

/// Where the text of the message stands that is open.
fn at(telling: &Telling, index: usize) -> Value {
    json!({ "output_index": index, "content_index": 0, "item_id": ids::message(telling.run(), telling.turn()) })
}

fn with(at: &Value, more: Value) -> Value {
    let (mut all, more) = (at.clone(), more);
    if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
        all.extend(more);
    }
    all
}

fn part(text: &str) -> Value {
    json!({ "type": "output_text", "annotations": [], "logprobs": [], "text": text })
}

fn message(telling: &Telling, turn: u32, text: Option<&str>) -> Value {
    json!({
        "id": ids::message(telling.run(), turn),
        "type": "message",
        "role": "assistant",
        "status": if text.is_some() { "completed" } else { "in_progress" },
        "content": text.map(part).into_iter().collect::<Vec<_>>(),
    })
}

/// A question to people, as an item that clients know. It tells; nothing that a client sends answers it.
fn asked(question: &Question) -> Value {
    let effect = question.effect;
    json!({
        "id": ids::question(effect),
        "type": "mcp_approval_request",
        "server_label": LABEL,
        "name": question.tool,
        "arguments": question.arguments,
        "stead": { "approval": effect, "answer": format!("stead approvals approve {effect}") },
    })
}

/// What a run was asked, as an item.
pub(crate) fn input(telling: &Telling) -> Option<Value> {
    let origin = telling.origin.as_ref()?;
    Some(json!({
        "id": ids::message(telling.run(), 0),
        "type": "message",
        "role": "user",
        "status": "completed",
        "content": [{ "type": "input_text", "text": origin.input }],
    }))
}
