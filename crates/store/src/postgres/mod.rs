//! The shared store: any number of servers and one PostgreSQL database. Who may write is a lease with an epoch, and
//! every transaction that appends proves its epoch first, so that a former owner's write fails.
//!
//! Not here: any rule about when an append is taken (that is `check`), and what a URL says about TLS
//! (`stead-postgres`).

pub(crate) mod approvals;
pub(crate) mod audit;
mod budgets;
pub(crate) mod connect;
mod counted;
mod directories;
mod erasure;
pub(crate) mod errors;
mod flusher;
pub(crate) mod format;
pub(crate) mod keys;
mod leases;
mod notices;
mod objects;
mod plan;
mod policies;
mod queries;
mod rows;
mod store;
pub(crate) mod subjects;
mod switches;
pub(crate) mod usage;
pub(crate) mod values;
mod versions;
mod write;

pub use connect::PgOptions;
pub use store::PgStore;
