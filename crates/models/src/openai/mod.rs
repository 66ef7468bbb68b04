//! OpenAI Chat Completions at any base URL: OpenAI itself, vLLM, Ollama, llama.cpp, gateways. Streaming, parallel tool
//! calls, usage, and every failure told apart by whether repeating it is safe and may cost.
//!
//! # Why this wire is written by hand
//! The crate `genai` (0.7.2) was read first and is not used for it, because a durable runtime needs what its OpenAI
//! streamer does not give:
//!
//! * *Exact arguments.* It parses them into a `Value` and writes that again: number spelling, key order and duplicate
//!   keys change, while our record must hold the bytes that were decided on. A delta carries no call index.
//! * *Nothing dropped in silence.* A tool call without `index`, a `tool_calls` that is no list and a frame without
//!   `choices` are skipped; refusals are ignored. Here each is understood or an error.
//! * *Bounds.* The index of a call is used as a vector's length (`calls.resize(index + 1)`: one frame can ask for
//!   4 billion entries); line buffers, replies and error bodies are unlimited.
//! * *Silence.* It logs whole errors, and a warning for each opening frame.
//!
//! Its `serde_json/preserve_order` feature would moreover change every JSON map of the binary.
//!
//! # Choices where servers differ
//! * A server that gives every parallel call index 0 is understood by its ids.
//! * A reply counts only with a `finish_reason`; `[DONE]` or the end of the stream without one is a cut.
//! * A reply without usage has its tokens estimated from its length, never 0.
//! * Where a server wants the reasoning text of a turn back (DeepSeek, Moonshot), it is a reasoning item.
//!
//! What a compatible server does otherwise than OpenAI is a [`Dialect`].
//!
//! Not here: retries and waiting (the engine's), and the Responses API ([`crate::responses`]).

mod chunk;
mod dialect;
mod fold;
mod model;
mod request;

pub use dialect::{Dialect, LimitKey, OutputKey};
pub(crate) use fold::ChatFold;
pub use model::OpenAi;
