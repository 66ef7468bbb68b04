//! The embedded store: one directory, one process, one writer at a time that commits in groups.
//!
//! Not here: any rule about when an append is taken (that is `check`).

pub(crate) mod approvals;
mod audit;
mod budgets;
mod counted;
mod directories;
mod erasure;
pub(crate) mod errors;
pub(crate) mod files;
mod format;
mod index;
pub(crate) mod keys;
mod notices;
mod objects;
mod policies;
mod pool;
pub(crate) mod queries;
mod queue;
mod store;
pub(crate) mod subjects;
mod switches;
pub(crate) mod usage;
mod versions;
mod writer;

pub use files::{Stored, look};
pub use store::{SqliteOptions, SqliteStore};
