//! Frames folded into a reply. See [`super`] for the choices where servers differ.

use std::collections::BTreeSet;

use serde_json::value::RawValue;
use stead_core::{
    budget::Usage,
    message::{Reply, StopReason, ToolCall},
};
use stead_ports::model::{Delta, DeltaSink, ModelCall, ModelError};

use super::{
    chunk::{self, CallPart, Chunk, DeltaPart},
    failure,
    model::Options,
};
use crate::estimate;

/// Longest id that is kept, and longest name of a tool or model, in bytes.
const MAX_NAME: usize = 200;

/// A reply in the making.
pub(super) struct Assembly<'a> {
    options: &'a Options,
    turn: u32,
    size: usize,
    text: String,
    refused: bool,
    calls: Vec<Partial>,
    finish: Option<String>,
    usage: Option<Usage>,
    model: String,
}

#[derive(Default)]
struct Partial {
    index: Option<u32>,
    id: String,
    name: String,
    arguments: String,
}

impl<'a> Assembly<'a> {
    pub(super) fn new(options: &'a Options, turn: u32) -> Self {
        Self {
            options,
            turn,
            size: 0,
            text: String::new(),
            refused: false,
            calls: Vec::new(),
            finish: None,
            usage: None,
            model: String::new(),
        }
    }

    /// Whether the provider has said why the reply ended.
    pub(super) fn finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Takes in one frame and passes on what is new.
    pub(super) fn take(&mut self, data: &str, deltas: &DeltaSink) -> Result<(), ModelError> {
        // `serde` reads a struct from a list as well, by position; a provider never means that.
        if !data.trim_start().starts_with('{') {
            return Err(failure::garbage("a frame is not a JSON object"));
        }
        let chunk: Chunk = serde_json::from_str(data)
            .map_err(|e| failure::garbage(format!("a frame is not what it should be: {e}")))?;
        if let Some(error) = chunk.error {
            return Err(failure::in_stream(&error));
        }
        if let Some(usage) = chunk.usage.as_ref().and_then(chunk::usage) {
            self.usage = Some(usage);
        }
        if let Some(model) = chunk.model.filter(|m| self.model.is_empty() && m.len() <= MAX_NAME) {
            self.model = model;
        }
        for choice in chunk.choices.into_iter().flatten() {
            if choice.index.is_some_and(|i| i != 0) {
                return Err(failure::garbage("the reply has a second choice, which was not asked for"));
            }
            if let Some(delta) = choice.delta {
                self.take_delta(delta, deltas)?;
            }
            if let Some(reason) = choice.finish_reason {
                self.finish = Some(reason);
            }
        }
        Ok(())
    }

    fn take_delta(&mut self, delta: DeltaPart, deltas: &DeltaSink) -> Result<(), ModelError> {
        self.refused |= delta.refusal.as_ref().is_some_and(|r| !r.is_empty());
        for text in [delta.content.map(|c| c.into_text()), delta.refusal].into_iter().flatten() {
            if !text.is_empty() {
                self.grow(text.len())?;
                self.text.push_str(&text);
                deltas(Delta::Text(text));
            }
        }
        for part in delta.tool_calls.into_iter().flatten() {
            self.take_call(part, deltas)?;
        }
        Ok(())
    }

    fn take_call(&mut self, part: CallPart, deltas: &DeltaSink) -> Result<(), ModelError> {
        let at = match self.position(&part) {
            Some(at) => at,
            None if self.calls.len() >= self.options.max_calls => {
                return Err(failure::too_large(format!("the reply has over {} calls", self.options.max_calls)));
            }
            None => {
                self.calls.push(Partial { index: part.index, ..Partial::default() });
                self.calls.len() - 1
            }
        };
        let (name, arguments) = part.function.map_or((None, None), |f| (f.name, f.arguments));
        let arguments = arguments.unwrap_or_default();
        self.grow(arguments.len())?;
        let call = &mut self.calls[at];
        if let Some(id) = part.id.filter(|id| call.id.is_empty() && id.len() <= MAX_NAME) {
            call.id = id;
        }
        // Some servers repeat the name in every piece.
        let name = name.filter(|n| call.name.is_empty() && !n.is_empty());
        if let Some(name) = &name {
            if name.len() > MAX_NAME {
                return Err(failure::garbage("the name of a tool is too long"));
            }
            call.name.clone_from(name);
        }
        call.arguments.push_str(&arguments);
        if call.arguments.len() > self.options.max_arguments {
            return Err(failure::too_large(format!("arguments have over {} bytes", self.options.max_arguments)));
        }
        let index = u32::try_from(at).unwrap_or(u32::MAX);
        deltas(Delta::Call { index, name, arguments });
        Ok(())
    }

    /// Which call a piece belongs to; `None` when it begins a new one.
    fn position(&self, part: &CallPart) -> Option<usize> {
        let id = part.id.as_deref().unwrap_or_default();
        // Without an index, a piece without an id goes on with the latest call.
        let at = match part.index {
            Some(_) => self.calls.iter().rposition(|c| c.index == part.index)?,
            None if id.is_empty() => self.calls.len().checked_sub(1)?,
            None => self.calls.iter().rposition(|c| c.id == id)?,
        };
        let call = &self.calls[at];
        let another = !id.is_empty() && !call.id.is_empty() && id != call.id;
        (!another).then_some(at)
    }

    fn grow(&mut self, by: usize) -> Result<(), ModelError> {
        self.size = self.size.saturating_add(by);
        if self.size > self.options.max_reply {
            return Err(failure::too_large(format!("the reply has over {} bytes", self.options.max_reply)));
        }
        Ok(())
    }

    /// The whole reply, when it is whole.
    pub(super) fn into_reply(self, call: &ModelCall) -> Result<Reply, ModelError> {
        let Some(finish) = self.finish else {
            return Err(failure::cut("the stream ended before the reply was complete"));
        };
        let has_calls = !self.calls.is_empty();
        let stop = match finish.as_str() {
            "length" => StopReason::Length,
            "content_filter" => StopReason::Filtered,
            _ if has_calls => StopReason::ToolCalls,
            "tool_calls" | "function_call" => {
                return Err(failure::garbage("the reply says that it calls tools, but names none"));
            }
            _ if self.refused => StopReason::Refused,
            _ => StopReason::End,
        };
        let mut calls = Vec::with_capacity(self.calls.len());
        let mut ids = BTreeSet::new();
        for (n, partial) in self.calls.into_iter().enumerate() {
            if partial.name.is_empty() {
                return Err(failure::garbage("a tool call has no name"));
            }
            let id = if partial.id.is_empty() { format!("call_{}_{n}", self.turn) } else { partial.id };
            let whole = matches!(stop, StopReason::ToolCalls);
            calls.push(ToolCall {
                id: unique(id, &mut ids),
                name: partial.name,
                arguments: arguments(partial.arguments, whole),
            });
        }
        let mut reply = Reply { text: self.text, calls, stop, model: self.model, ..Reply::default() };
        reply.usage = self.usage.unwrap_or_else(|| estimate::usage(call, &reply));
        Ok(reply)
    }
}

/// An object's exact text; anything else wrapped in a JSON string. Empty arguments mean none, unless the reply was cut
/// short: then they may be what is missing.
fn arguments(text: String, whole: bool) -> Box<RawValue> {
    let trimmed = text.trim();
    let text = if trimmed.is_empty() && whole { "{}" } else { trimmed };
    if text.starts_with('{')
        && let Ok(raw) = RawValue::from_string(text.to_owned())
    {
        return raw;
    }
    serde_json::value::to_raw_value(text).expect("a string is always written")
}

fn unique(id: String, taken: &mut BTreeSet<String>) -> String {
    let mut candidate = id.clone();
    let mut n = 2;
    while !taken.insert(candidate.clone()) {
        candidate = format!("{id}-{n}");
        n += 1;
    }
    candidate
}
