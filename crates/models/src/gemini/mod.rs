//! Google Gemini (`models/…:streamGenerateContent`, API version v1beta). A thought signature belongs to the part that it
//! came with; it goes back on that part, byte for byte, without which Gemini 3 refuses the turn.
//!
//! # Why this wire is written by hand
//! `genai` (0.7.2), read for it, parses arguments into a value (number spelling and duplicate keys change), gathers the
//! signatures of a frame in one list and its text in another, so that it is no longer known which part a signature belongs
//! to, and calls a stream that ends without a `finishReason` a whole reply, where here it is a cut.
//!
//! # Choices
//! * Schemas of tools go as `parametersJsonSchema`, whole.
//! * A call of another model in the history has no signature; Google's documentation names the one that stands for it.
//! * Thinking counts as output, as it is charged.
//! * `promptFeedback` without a candidate is a filtered reply, not a cut; a call that the model got wrong
//!   (`MALFORMED_FUNCTION_CALL`) is garbage, which another attempt may mend.
//! * Before Gemini 3 a schema cannot stand beside tools; it is told in words then.
//!
//! Not here: tools of the provider's own, images and audio, explicit caches (implicit caching needs no word).

mod fold;
mod generation;
mod model;
mod request;
mod signature;

pub(crate) use fold::GeminiFold;
pub use model::Gemini;
