//! Histories of the bare machine: `decide`, `apply` and `owes` driven the way an engine drives them, without its
//! threads and adapters.
//!
//! [`plan`] draws what a history is made of, [`store`] is its journal, [`world`] its destinations, [`node`] one process,
//! [`history`] the order of events.

mod event;
pub mod history;
mod node;
mod pay;
mod people;
mod plan;
mod store;
mod world;
