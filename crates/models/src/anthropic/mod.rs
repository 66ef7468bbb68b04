//! Anthropic Messages (`POST /v1/messages`, streamed), version 2023-06-01. Thinking blocks and their signatures go back
//! as they came and where they stood, which the API demands between a call and its result; redacted ones byte for byte.
//!
//! # Why this wire is written by hand
//! `genai` (0.7.2), read for it, parses arguments into a value (number spelling, key order and duplicate keys change;
//! here they go back as the same bytes, which also keeps the provider's cache valid), gathers thinking blocks in a list
//! of their own without their place between text and calls, builds a call from whatever block is open instead of the
//! index that a delta names, and logs what it does not understand.
//!
//! # Choices
//! * The prompt is cached at the provider: marks stand after the tools, after the instructions and after the last message, so
//!   that each turn reads what the one before has written. Writing costs more than plain input, which usage and price
//!   tell apart.
//! * Arguments that are no JSON object cannot stand in `input`; they go back wrapped, as Anthropic's documentation
//!   suggests: `{"INVALID_JSON": "…"}`.
//! * Results of one turn's calls, and what a user says after them, are one message: the API wants roles to alternate.
//! * A reply counts with the `stop_reason` of `message_delta`; without one the stream was cut.
//!
//! Not here: tools of the provider's own, images and documents.

mod fold;
mod model;
mod request;
mod thinking;

pub(crate) use fold::AnthropicFold;
pub use model::Anthropic;
