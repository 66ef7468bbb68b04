//! Frames folded into a reply. See [`super`] for the choices where servers differ.

use serde::{Deserialize, Serialize};
use stead_core::message::StopReason;
use stead_ports::model::ModelError;

use super::{
    Dialect,
    chunk::{self, CallPart, Chunk, DeltaPart},
};
use crate::wire::{Draft, Flow, Fold, failure};

/// The reasoning text of a turn, as an item.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Thought {
    pub(super) reasoning_content: String,
}

/// Where a reply stands.
pub(crate) struct ChatFold {
    keep_reasoning: bool,
    /// What it thinks, until it says something.
    thought: String,
    refused: bool,
    /// The index that the server gave each call.
    indices: Vec<Option<u32>>,
    stop: Option<StopReason>,
}

impl ChatFold {
    pub(crate) fn new(dialect: &Dialect) -> Self {
        Self {
            keep_reasoning: dialect.echo_reasoning,
            thought: String::new(),
            refused: false,
            indices: Vec::new(),
            stop: None,
        }
    }

    fn take_delta(&mut self, delta: DeltaPart, draft: &mut Draft<'_>) -> Result<(), ModelError> {
        if let Some(thought) = delta.reasoning_content.filter(|_| self.keep_reasoning) {
            draft.grow(thought.len())?;
            self.thought.push_str(&thought);
        }
        self.refused |= delta.refusal.as_ref().is_some_and(|r| !r.is_empty());
        for text in [delta.content.map(chunk::Content::into_text), delta.refusal].into_iter().flatten() {
            if !text.is_empty() {
                self.flush_thought(draft)?;
            }
            draft.text(text)?;
        }
        for part in delta.tool_calls.into_iter().flatten() {
            self.flush_thought(draft)?;
            self.take_call(part, draft)?;
        }
        Ok(())
    }

    fn flush_thought(&mut self, draft: &mut Draft<'_>) -> Result<(), ModelError> {
        if self.thought.is_empty() {
            return Ok(());
        }
        let thought = Thought { reasoning_content: std::mem::take(&mut self.thought) };
        draft.reasoning(serde_json::to_string(&thought).expect("a string is always written"))
    }

    fn take_call(&mut self, part: CallPart, draft: &mut Draft<'_>) -> Result<(), ModelError> {
        let at = match self.position(&part, draft) {
            Some(at) => at,
            None => {
                let at = draft.begin_call()?;
                self.indices.push(part.index);
                at
            }
        };
        let (name, arguments) = part.function.map_or((None, None), |f| (f.name, f.arguments));
        draft.call(at, part.id, name, arguments.unwrap_or_default())
    }

    /// Which call a piece belongs to; `None` when it begins a new one.
    fn position(&self, part: &CallPart, draft: &Draft<'_>) -> Option<usize> {
        let id = part.id.as_deref().unwrap_or_default();
        // Without an index, a piece without an id goes on with the latest call.
        let at = match part.index {
            Some(_) => self.indices.iter().rposition(|i| *i == part.index)?,
            None if id.is_empty() => draft.calls().checked_sub(1)?,
            None => (0..draft.calls()).rfind(|at| draft.id(*at) == id)?,
        };
        let another = !id.is_empty() && !draft.id(at).is_empty() && id != draft.id(at);
        (!another).then_some(at)
    }
}

impl Fold for ChatFold {
    fn take(&mut self, data: &str, draft: &mut Draft<'_>) -> Result<Flow, ModelError> {
        let chunk: Chunk = serde_json::from_str(data)
            .map_err(|e| failure::garbage(format!("a frame is not what it should be: {e}")))?;
        if let Some(error) = chunk.error {
            return Err(failure::in_stream(&error));
        }
        if let Some(usage) = chunk.usage.as_ref().and_then(chunk::usage) {
            draft.usage = Some(usage);
        }
        if let Some(model) = &chunk.model {
            draft.model(model);
        }
        for choice in chunk.choices.into_iter().flatten() {
            if choice.index.is_some_and(|i| i != 0) {
                return Err(failure::garbage("the reply has a second choice, which was not asked for"));
            }
            if let Some(delta) = choice.delta {
                self.take_delta(delta, draft)?;
            }
            if let Some(reason) = choice.finish_reason {
                self.flush_thought(draft)?;
                self.stop = Some(match reason.as_str() {
                    "length" => StopReason::Length,
                    "content_filter" => StopReason::Filtered,
                    "tool_calls" | "function_call" => StopReason::ToolCalls,
                    _ if self.refused => StopReason::Refused,
                    _ => StopReason::End,
                });
            }
        }
        Ok(Flow::More)
    }

    fn stop(&self) -> Option<StopReason> {
        self.stop
    }
}
