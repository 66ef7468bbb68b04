//! What a test of an agent puts in the place of the world: a script for its models, doubles for its tools, and an end
//! of the process at a chosen record. It is set up by `stead test` and by nothing else; no configuration reaches it.

mod doubles;
mod fault;
mod ledger;
mod setup;

pub(crate) use fault::Doomed;
pub use ledger::{Entry, read as read_ledger};
pub(crate) use setup::StandIns;
pub use setup::{CrashAt, Moment, Setup, StandIn};
