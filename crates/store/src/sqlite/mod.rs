//! The embedded store: one directory, one process, one writer thread that commits in groups.
//!
//! Not here: any rule about when an append is taken (that is `check`).

mod approvals;
mod errors;
mod files;
mod format;
mod index;
mod pool;
mod queries;
mod queue;
mod store;
mod usage;
mod versions;
mod writer;

pub use store::{SqliteOptions, SqliteStore};
