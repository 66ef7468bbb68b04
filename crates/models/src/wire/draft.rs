//! A reply in the making, within its bounds.
//!
//! Arguments that are not a JSON object are kept as a JSON string of the exact text, so that validation against the
//! schema fails with words for the model; on the way back to the provider they are unwrapped again. Empty arguments of
//! a finished reply are `{}`. Calls with equal ids are made distinct by a suffix (`-2`), because results are matched by
//! id; missing or overlong ids are replaced by `call_<turn>_<n>`.

use std::collections::BTreeSet;

use serde_json::value::RawValue;
use stead_core::{
    budget::Usage,
    message::{Place, Reply, StopReason, ToolCall},
};
use stead_ports::model::{Delta, DeltaSink, ModelCall, ModelError};

use super::{
    Bounds, failure,
    names::{MAX_NAME, unique},
};
use crate::estimate;

/// A reply in the making.
pub(crate) struct Draft<'a> {
    bounds: &'a Bounds,
    deltas: &'a DeltaSink,
    size: usize,
    text: String,
    calls: Vec<Partial>,
    reasoning: Vec<String>,
    layout: Vec<Place>,
    /// Whether text that follows stands in a place of its own.
    sealed: bool,
    model: String,
    /// Tokens as the provider counted them.
    pub(crate) usage: Option<Usage>,
}

#[derive(Default)]
struct Partial {
    id: String,
    name: String,
    arguments: String,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(bounds: &'a Bounds, deltas: &'a DeltaSink) -> Self {
        Self {
            bounds,
            deltas,
            size: 0,
            text: String::new(),
            calls: Vec::new(),
            reasoning: Vec::new(),
            layout: Vec::new(),
            sealed: false,
            model: String::new(),
            usage: None,
        }
    }

    /// The model that answers, as the provider names it; the first name counts.
    pub(crate) fn model(&mut self, name: &str) {
        if self.model.is_empty() && name.len() <= MAX_NAME {
            name.clone_into(&mut self.model);
        }
    }

    /// More text.
    pub(crate) fn text(&mut self, text: String) -> Result<(), ModelError> {
        if text.is_empty() {
            return Ok(());
        }
        self.grow(text.len())?;
        self.text.push_str(&text);
        let more = u32::try_from(text.len()).unwrap_or(u32::MAX);
        match self.layout.last_mut() {
            Some(Place::Text(bytes)) if !self.sealed => *bytes = bytes.saturating_add(more),
            _ => self.layout.push(Place::Text(more)),
        }
        self.sealed = false;
        (self.deltas)(Delta::Text(text));
        Ok(())
    }

    /// What follows is not joined to the text so far.
    pub(crate) fn seal(&mut self) {
        self.sealed = true;
    }

    /// An opaque reasoning item.
    pub(crate) fn reasoning(&mut self, item: String) -> Result<(), ModelError> {
        if self.reasoning.len() >= self.bounds.max_calls {
            return Err(failure::too_large(format!("the reply has over {} reasoning items", self.bounds.max_calls)));
        }
        self.grow(item.len())?;
        self.reasoning.push(item);
        self.layout.push(Place::Reasoning);
        Ok(())
    }

    /// How many calls there are so far.
    pub(crate) fn calls(&self) -> usize {
        self.calls.len()
    }

    /// The id of a call, as far as it is known.
    pub(crate) fn id(&self, at: usize) -> &str {
        &self.calls[at].id
    }

    /// Begins a call; its number.
    pub(crate) fn begin_call(&mut self) -> Result<usize, ModelError> {
        if self.calls.len() >= self.bounds.max_calls {
            return Err(failure::too_large(format!("the reply has over {} calls", self.bounds.max_calls)));
        }
        self.calls.push(Partial::default());
        self.layout.push(Place::Call);
        Ok(self.calls.len() - 1)
    }

    /// More of a call. Id and name count where they first come: some servers repeat them in every piece.
    pub(crate) fn call(
        &mut self,
        at: usize,
        id: Option<String>,
        name: Option<String>,
        arguments: String,
    ) -> Result<(), ModelError> {
        self.grow(arguments.len())?;
        let call = &mut self.calls[at];
        if let Some(id) = id.filter(|id| call.id.is_empty() && id.len() <= MAX_NAME) {
            call.id = id;
        }
        let name = name.filter(|n| call.name.is_empty() && !n.is_empty());
        if let Some(name) = &name {
            if name.len() > MAX_NAME {
                return Err(failure::garbage("the name of a tool is too long"));
            }
            call.name.clone_from(name);
        }
        call.arguments.push_str(&arguments);
        if call.arguments.len() > self.bounds.max_arguments {
            return Err(failure::too_large(format!("arguments have over {} bytes", self.bounds.max_arguments)));
        }
        let index = u32::try_from(at).unwrap_or(u32::MAX);
        (self.deltas)(Delta::Call { index, name, arguments });
        Ok(())
    }

    /// The whole text of a call's arguments, where a provider says at its end what it was. Pieces are for watching; this
    /// counts.
    pub(crate) fn settle_arguments(&mut self, at: usize, whole: &str) -> Result<(), ModelError> {
        match whole.strip_prefix(self.calls[at].arguments.as_str()) {
            Some("") => Ok(()),
            Some(rest) => self.call(at, None, None, rest.to_owned()),
            None => {
                self.grow(whole.len())?;
                if whole.len() > self.bounds.max_arguments {
                    return Err(failure::too_large(format!("arguments have over {} bytes", self.bounds.max_arguments)));
                }
                whole.clone_into(&mut self.calls[at].arguments);
                Ok(())
            }
        }
    }

    /// Takes the calls back: the provider stopped the model in mid-reply, and means none of them.
    pub(crate) fn forget_calls(&mut self) {
        self.calls.clear();
        self.layout.retain(|p| *p != Place::Call);
    }

    /// Counts bytes that are kept elsewhere until they become part of the reply.
    pub(crate) fn grow(&mut self, by: usize) -> Result<(), ModelError> {
        self.size = self.size.saturating_add(by);
        if self.size > self.bounds.max_reply {
            return Err(failure::too_large(format!("the reply has over {} bytes", self.bounds.max_reply)));
        }
        Ok(())
    }

    /// The whole reply. What has calls and was not cut wants them answered, whatever the provider calls it.
    pub(crate) fn into_reply(self, call: &ModelCall, stop: StopReason, origin: &str) -> Result<Reply, ModelError> {
        let stop = match stop {
            StopReason::Length | StopReason::Filtered => stop,
            _ if !self.calls.is_empty() => StopReason::ToolCalls,
            StopReason::ToolCalls => {
                return Err(failure::garbage("the reply says that it calls tools, but names none"));
            }
            StopReason::End | StopReason::Refused => stop,
        };
        let mut calls = Vec::with_capacity(self.calls.len());
        let mut ids = BTreeSet::new();
        for (n, partial) in self.calls.into_iter().enumerate() {
            if partial.name.is_empty() {
                return Err(failure::garbage("a tool call has no name"));
            }
            let id = if partial.id.is_empty() { format!("call_{}_{n}", call.turn) } else { partial.id };
            calls.push(ToolCall {
                id: unique(id, &mut ids),
                name: partial.name,
                arguments: arguments(&partial.arguments, stop == StopReason::ToolCalls),
            });
        }
        let mut reply = Reply { text: self.text, calls, stop, model: self.model, ..Reply::default() };
        if !self.reasoning.is_empty() {
            reply.reasoning = self.reasoning;
            reply.layout = self.layout;
            origin.clone_into(&mut reply.origin);
        }
        reply.usage = self.usage.unwrap_or_else(|| estimate::usage(call, &reply));
        Ok(reply)
    }
}

/// An object's exact text; anything else wrapped in a JSON string. Empty arguments mean none, unless the reply was cut
/// short: then they may be what is missing.
fn arguments(text: &str, whole: bool) -> Box<RawValue> {
    let trimmed = text.trim();
    let text = if trimmed.is_empty() && whole { "{}" } else { trimmed };
    if text.starts_with('{')
        && let Ok(raw) = RawValue::from_string(text.to_owned())
    {
        return raw;
    }
    serde_json::value::to_raw_value(text).expect("a string is always written")
}
