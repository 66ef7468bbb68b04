//! What a follower of a run hears over server-sent events (WHATWG HTML, section 9.2).
//!
//! Each event has an `id`; a follower that reconnects sends the last one it saw as `Last-Event-ID` or `?after=`, and
//! misses no fact. The four kinds of event:
//! * `fact`: a [`FactEvent`](crate::fact::FactEvent);
//! * `delta`: a [`StreamDelta`], a piece of a reply as it is written; never durable;
//! * `reset`: forget the pieces seen since the last fact: another attempt begins, or pieces were lost;
//! * `end`: the run is over, and so is the stream.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A piece of a reply as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StreamDelta {
    /// More text.
    Text {
        /// The text.
        text: String,
    },
    /// A tool call begins, or goes on.
    Call {
        /// Which call of the reply, from 0.
        index: u32,
        /// The tool's name, in the first piece.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// More of the arguments' JSON text.
        arguments: String,
    },
}

/// Names of the events.
pub mod event {
    /// A durable fact.
    pub const FACT: &str = "fact";
    /// A piece of a reply.
    pub const DELTA: &str = "delta";
    /// Pieces are void.
    pub const RESET: &str = "reset";
    /// The run is over.
    pub const END: &str = "end";
}
