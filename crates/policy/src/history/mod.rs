//! What has happened before, as policies may ask for it: counters that a policy set declares, folded from events with
//! their times. A fold is deterministic, so the same journal gives the same history on every machine and after every
//! restart.

mod counter;
mod fold;
mod mark;
mod past;
mod tally;
mod track;

pub use counter::{By, Counter, Counters, MAX_COUNTERS, Measure, When};
pub use fold::{Event, Happened, History, Scope};
pub use mark::Mark;
pub use past::{Ask, Past};
pub use tally::{Kept, Said, Tally};
pub use track::{MAX_EVENTS, MAX_KEYS, MAX_POINTS};

#[cfg(test)]
mod tests;
