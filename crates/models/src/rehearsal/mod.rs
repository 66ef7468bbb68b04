//! `rehearsal`: a model that is a script. It is deterministic, needs no key and no network, says that it is no AI, and
//! fails on purpose where the script asks for it.
//!
//! A reply is a pure function of the call: asking again after a crash gives the same bytes. The format is described in
//! `docs/rehearsal.md`; [`auto`] needs no script at all.
//!
//! Not here: anything random, any clock but the script's own delays, and any memory between two calls.

mod answer;
pub mod auto;
mod compile;
mod conversation;
mod expr;
mod fault;
mod model;
mod sample;
mod script;
mod template;

pub use auto::Auto;
pub use model::Rehearsal;
pub use script::{MAX_SCRIPT_BYTES, Script, ScriptError};

/// What every face shows beside a scripted reply.
pub const NOTICE: &str = "scripted model, no AI";
