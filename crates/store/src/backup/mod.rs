//! Backups: one stream of bytes that holds everything a store keeps, the same for both stores, so that what was taken
//! from one can be restored into the other. `docs/backup.md` is the normative text of the format.
//!
//! * `table` names the sections: the tables, their columns and their order.
//! * `chunk` packs rows into chunks whose digests chain, `read` takes them apart again; neither knows a database.
//! * `check` proves what is read: the chain of chunks, the chain of each run, the addresses of blobs.
//! * `cassettes` is the one section that is no table: the files of recorded runs, beside the journal.
//! * `subject` seals what is a person's under a key that is in no backup, and opens it again.
//! * `sqlite` and `postgres` read all rows from one snapshot of a database, and write them into an empty one.
//!
//! Not here: what becomes of the runs that a backup holds (`stead-engine`), and files (`stead-server`).

pub(crate) mod cassettes;
mod check;
mod chunk;
pub(crate) mod postgres;
mod read;
pub(crate) mod send;
pub(crate) mod sqlite;
pub(crate) mod subject;
pub(crate) mod table;

pub use cassettes::Shelf;
pub use check::{Checker, Summary};
pub use chunk::{Counts, Head};
pub use postgres::PgRestore;
pub use read::{Chunk, Reader};
pub use sqlite::SqliteRestore;
pub use subject::{KeySet, Shut};
