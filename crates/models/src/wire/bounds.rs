//! Bounds of one attempt, whatever the wire.

use std::time::Duration;

/// How long and how large an attempt may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How long until the answer begins.
    pub first_byte: Duration,
    /// How long the stream may be silent.
    pub idle: Duration,
    /// Most bytes on the wire for one reply.
    pub max_wire: usize,
    /// Most bytes of text, arguments and reasoning in one reply; also bounds one frame.
    pub max_reply: usize,
    /// Most bytes of one call's arguments.
    pub max_arguments: usize,
    /// Most calls, and most reasoning items, of one reply.
    pub max_calls: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(180),
            idle: Duration::from_secs(60),
            max_wire: 64 << 20,
            max_reply: 8 << 20,
            max_arguments: 1 << 20,
            max_calls: 128,
        }
    }
}
