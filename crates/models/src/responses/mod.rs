//! The OpenAI Responses API (`POST /responses`, streamed), as OpenAI and those who copy it serve it. Nothing is kept at
//! the provider (`store: false`); what the model thought travels as encrypted reasoning items, which go back byte for
//! byte and in their place, so that it does not have to think again after each tool call.
//!
//! # Why this wire is written by hand
//! `genai` (0.7.2), read for it, parses arguments into a value (number spelling, key order and duplicate keys change),
//! keeps of a reasoning item only its `encrypted_content` (the item's id and summary, which the provider wants back with
//! it, are lost, and so is its place between the calls), skips a frame that it cannot parse, and calls a failed response a
//! parse error, so that a rate limit in mid-stream could not be told from garbage.
//!
//! # Choices
//! * A call's arguments are those of its `output_item.done`; the deltas before are for watching.
//! * A reply counts only with `response.completed` or `response.incomplete`.
//! * Encrypted reasoning is asked for only from models that reason: others refuse the wish.
//!
//! Not here: tools of the provider's own (web search, containers): effects that nobody here decided on.

mod fold;
mod model;
mod request;

pub(crate) use fold::ResponsesFold;
pub use model::Responses;
