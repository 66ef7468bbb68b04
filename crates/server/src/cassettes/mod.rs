//! Cassettes of runs: kept in files beside the journal while a run that asked for it goes on, or made from the journal
//! afterwards; and played again, to see whether the wires are still read as they were.

mod journal;
mod replay;
mod shelf;

pub(crate) use journal::of_journal;
pub use replay::{Replayed, Told, replay};
pub(crate) use shelf::Shelf;
pub use stead_models::cassette::MAX_CASSETTE;
