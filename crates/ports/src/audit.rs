//! The port of the audit log: what was written and is in no log yet, and the logs themselves, as bytes. One *integrator* takes the former and
//! makes the latter of it; that it is one is seen to by the lease of the journal, under which it writes.
//!
//! Not here: what a leaf says, how a tree is hashed, and whose signature is under it (`stead-audit`).

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use stead_core::{
    id::{LeafHash, Name, RunId},
    time::Timestamp,
};
use tokio::sync::Notify;

use crate::journal::{Lease, StoreError};

/// The name under which the log of the operators is kept: no tenant has it.
pub const OPERATORS: &str = "";
/// The level under which entry bundles are kept beside tiles of hashes.
pub const ENTRIES: u8 = 255;
/// Bytes of what is given at once by [`AuditStore::unsequenced`]; one record alone may have more.
pub const MOST_BYTES: usize = 16 << 20;

/// Something that is in no log yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsequenced {
    /// A record of a run.
    Record {
        /// By which the store knows it again.
        place: u64,
        /// Whose.
        tenant: Name,
        /// The run.
        run: RunId,
        /// Its position in it.
        seq: u64,
        /// The leaf hash of the record before; zeros for the first.
        prev: LeafHash,
        /// Its leaf hash, as it was appended.
        leaf: LeafHash,
        /// Its bytes; what cannot be opened as it is stored.
        bytes: Bytes,
    },
    /// What an operator did.
    Act {
        /// By which the store knows it again.
        place: u64,
        /// It.
        act: Act,
    },
}

/// What an operator did, or what the server did for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// Its id.
    pub id: u128,
    /// When.
    pub at: Timestamp,
    /// What kind of thing, in a word.
    pub topic: String,
    /// Random bytes that blind its hash.
    pub salt: [u8; 16],
    /// What was done, as JSON.
    pub body: Bytes,
}

/// Where a log stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    /// Whose; [`OPERATORS`] for that of the operators.
    pub tenant: Name,
    /// Its leaves.
    pub size: u64,
    /// The root of its tree.
    pub root: [u8; 32],
    /// The checkpoint that says so, as a signed note.
    pub note: String,
    /// When that was made.
    pub at: Timestamp,
    /// Records of the tenant that could not be read, and are no leaves.
    pub unread: u64,
    /// The last checkpoint that witnesses have signed too, which may be of a smaller size. Not part of a change.
    pub cosigned: Option<String>,
}

/// What becomes of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChange {
    /// Where it stands now. A log that has no row is one of no leaves.
    pub was: Option<(u64, [u8; 32])>,
    /// Where it stands then.
    pub now: LogRow,
    /// Tiles that are new or wider, by level ([`ENTRIES`] for leaves themselves) and index.
    pub tiles: Vec<(u8, u64, Bytes)>,
    /// Where records of runs are, each run once.
    pub spans: Vec<Span>,
}

/// Where records of a run are that follow one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The run.
    pub run: RunId,
    /// The position of the first.
    pub seq: u64,
    /// The leaves of that and of those after it.
    pub indexes: Vec<u64>,
}

/// Something that is done all at once or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Integration {
    /// Records that are in a log with it, or will never be; ascending, and none left out that was given before one of them.
    pub records: Vec<u64>,
    /// Acts, likewise.
    pub acts: Vec<u64>,
    /// What becomes of logs.
    pub logs: Vec<LogChange>,
}

/// What keeps the logs.
#[async_trait]
pub trait AuditStore: Send + Sync + 'static {
    /// Rung after each append of a record or an act that this process made.
    fn bell(&self) -> Arc<Notify>;

    /// What is in no log yet: acts in their order, records of each run in theirs. At most `limit` of each, and about
    /// [`MOST_BYTES`] of records; nothing only when there is nothing.
    async fn unsequenced(&self, limit: u32) -> Result<Vec<Unsequenced>, StoreError>;

    /// Writes what became of logs, under the lease of the journal. False when a log does not stand where it `was`, or somebody has
    /// taken what this takes: nothing is written then.
    async fn integrate(&self, lease: Lease, change: Integration) -> Result<bool, StoreError>;

    /// All logs, by tenant.
    async fn logs(&self) -> Result<Vec<LogRow>, StoreError>;

    /// A log; `None` when it has no leaf yet.
    async fn log(&self, tenant: &Name) -> Result<Option<LogRow>, StoreError>;

    /// Keeps a checkpoint of a log that witnesses have signed.
    async fn cosign(&self, tenant: &Name, note: &str) -> Result<(), StoreError>;

    /// A tile, as wide as it is now.
    async fn tile(&self, tenant: &Name, level: u8, index: u64) -> Result<Option<Bytes>, StoreError>;

    /// Where records of a run are, from position `from`: at most `limit` spans, the first of which may begin before it.
    async fn spans(&self, run: RunId, from: u64, limit: u32) -> Result<Vec<Span>, StoreError>;

    /// How far a reader of the logs has come: the leaves that it is done with, of each log that it has ever noted. Empty before its first
    /// note, and in data that was restored.
    async fn read_upto(&self, reader: &str) -> Result<Vec<(Name, u64)>, StoreError>;

    /// Notes how far a reader has come in some logs, under the lease of the journal; refused when that is another's.
    async fn note_upto(&self, lease: Lease, reader: &str, upto: &[(Name, u64)]) -> Result<(), StoreError>;

    /// Keeps an act; durable when it returns.
    async fn act(&self, act: Act) -> Result<(), StoreError>;

    /// An act.
    async fn find_act(&self, id: u128) -> Result<Option<Act>, StoreError>;
}
