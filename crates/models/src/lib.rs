//! Models behind the port of `stead-ports`: what an agent thinks with.
//!
//! * [`rehearsal`] is a script, not an AI: no key, no network, the same bytes every time.
//! * [`caller`] says a call that comes from outside; no AI either.
//! * [`relay`] asks a model what a client asks it whose loop runs elsewhere.
//! * [`openai`] speaks OpenAI Chat Completions to any base URL, [`responses`] the Responses API, [`anthropic`] Messages,
//!   [`gemini`] the Gemini API. What they share (HTTP, frames, bounds, failures, the reply in the making) is [`wire`].
//! * [`providers`] is the table of those that a manifest can name.
//! * [`local`] looks which model servers of this machine answer.
//! * [`prices`] is a dated table of list prices; what it does not know costs `None`, never 0.
//! * [`cassette`] keeps exchanges with models, and plays them again.
//! * [`registry`] turns a name such as `openai:gpt-5-mini` into a model.
//!
//! Not here: retries, fallback and budgets (they are journaled by the engine), and reading the environment or files.

mod account;
pub mod anthropic;
pub mod caller;
pub mod cassette;
mod estimate;
pub mod gemini;
pub mod http;
pub mod local;
pub mod openai;
pub mod prices;
pub mod providers;
pub mod registry;
pub mod rehearsal;
pub mod relay;
pub mod responses;
pub mod secret;
pub mod settings;
pub mod setup;
pub mod wire;
