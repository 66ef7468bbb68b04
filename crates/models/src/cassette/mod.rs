//! Cassettes: the calls of a run to its models, kept as JSON Lines and played again without a provider.
//!
//! A recorded exchange holds the bytes of the wire with their times, and is played through the same reader of that
//! wire that a live reply goes through. One that was taken from a journal, or came from a script, holds the reply alone.
//! `docs/cassettes.md` describes the format.
//!
//! Not here: where cassettes are kept, and which runs are recorded.

mod bounds;
mod format;
mod player;
mod recorder;
mod request;

pub use format::{Cassette, CassetteError, Error, Exchange, Header, MAX_CASSETTE, Outcome, Piece, Source, Wire};
pub use player::{Pace, Player, play};
pub use recorder::{Recorded, Tape};
pub use request::{Part, Request};
