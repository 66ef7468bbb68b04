//! The two stores behind the ports of the journal and of objects: [`SqliteStore`] for one process with its own data directory, and
//! [`PgStore`] for a fleet that shares a PostgreSQL database. Both keep records, indexes, inboxes, blobs, snapshots
//! and agent versions, and both pass the suites in `stead_ports::conformance`.
//!
//! * `backup` takes everything out as one stream, and puts it into an empty store.
//! * `audit` says how places in logs are packed; both stores keep the port of the audit log.
//! * `erasure` says how the runs of an erasure are packed; both stores keep that port too.
//! * `check` holds the rules by which an append is taken or refused; the two stores share it.
//! * `usage` names the columns in which both keep what runs have used.
//! * `objects` is the content of workspaces, whose port both keep too.
//! * `seal` encrypts texts just before a database sees them, when the operator says so.
//! * `blob` gives blobs their addresses and packs them, `pack` the records.
//! * `sqlite` has one writer thread that commits in groups, and a few readers.
//! * `postgres` has one flusher that does the same over the wire.
//!
//! Not here: what records mean (`stead-core`), and when to write one (`stead-engine`).

mod audit;
mod backup;
mod blob;
mod book;
mod check;
mod erasure;
mod format;
mod objects;
mod pack;
mod postgres;
mod seal;
mod sqlite;
mod usage;

pub use backup::{Checker, Chunk, Counts, Head, KeySet, PgRestore, Reader, Shelf, Shut, SqliteRestore, Summary};
pub use blob::BlobKey;
pub use format::{Step, steps};
pub use postgres::{PgOptions, PgStore};
pub use seal::{LineKey, Rotated, WrappingKey};
pub use sqlite::{SqliteOptions, SqliteStore, Stored, look};

/// The format of the stored data. A store refuses data of a higher format than it knows, and brings data of a lower one
/// to its own when it opens it.
pub const FORMAT: u32 = 10;
