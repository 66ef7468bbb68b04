//! Histories of the bare machine: `decide`, `apply` and `owes` driven the way an engine drives them, without its
//! threads and adapters.
//!
//! The plan says what a history is made of and the world has its destinations (both shared with the histories of the
//! engine); here are [`store`], its journal, [`node`], one process,
//! [`history`] the order of events.

mod event;
mod gate;
pub mod history;
mod node;
mod pay;
mod people;
mod restore;
mod store;
