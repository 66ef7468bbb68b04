//! Tests of agents, as `stead test` runs them: a case is played in a process of its own, over and over when it is about
//! crashes; what came of it is read from the journal; and every expectation is judged against that.
//!
//! Not here: how a case is written (`stead_manifest::cases`), doubles and the crash itself (`stead_server::testing`).

mod answer;
mod calls;
mod judge;
pub(crate) mod junit;
mod play;
mod process;
pub(crate) mod report;
pub(crate) mod suite;
mod trace;
pub(crate) mod update;
mod values;
