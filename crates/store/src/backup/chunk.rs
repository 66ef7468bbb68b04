//! Rows into chunks: what is written. Each chunk's digest covers the one before it, so that the last stands for all.
//!
//! ```text
//! backup = "STEADBK1" chunk*
//! chunk  = section:1 rows:4 plain:4 stored:4 body:stored digest:32       numbers are big-endian
//! digest = SHA-256(digest before || section || rows || plain || stored || body)
//! ```
//!
//! The body is CBOR, as a zstd frame when `stored` is less than `plain`. Section 0 is the head, 255 the end.

use bytes::Bytes;
use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};
use stead_core::time::Timestamp;

use super::table::{Table, Value, encode};
use crate::seal::WrappedKey;

/// Begins every backup; the last character is the version of the format.
pub(super) const MAGIC: [u8; 8] = *b"STEADBK1";
/// Section of the head.
pub(super) const HEAD: u8 = 0;
/// Section of the end.
pub(super) const END: u8 = 255;
/// Bytes of rows after which a chunk is written.
const CHUNK: usize = 1 << 20;
/// The most bytes of one chunk unpacked; far more than the longest row (docs/limits.md).
pub(super) const CHUNK_MAX: usize = 256 << 20;
/// Bytes before a chunk's body.
pub(super) const PREFIX: usize = 13;

/// What a backup says about itself.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Head {
    /// The format of the store that it was taken from.
    #[n(0)]
    pub format: u32,
    /// When it was begun, in microseconds since 1970; everything acknowledged before is in it.
    #[n(1)]
    pub taken: i64,
    /// The store's generation: how often it has been restored.
    #[n(2)]
    pub generation: u32,
    /// The store's last epoch.
    #[n(3)]
    pub epoch: u64,
    /// `sqlite` or `postgres`.
    #[n(4)]
    pub store: String,
    /// The release that wrote it.
    #[n(5)]
    pub release: String,
    /// By which the key of the blobs' addresses is recognised.
    #[n(6)]
    #[cbor(with = "minicbor::bytes")]
    pub key_check: [u8; 32],
    /// That key, unless it is kept apart; never in a backup that is sealed.
    #[n(7)]
    #[cbor(with = "minicbor::bytes")]
    pub(crate) key: Option<[u8; 32]>,
    /// Whether the usage of runs of a release before is still to be entered.
    #[n(8)]
    pub(crate) unmetered: bool,
    /// The keys under which texts in it are sealed, themselves wrapped; nothing when the store is not encrypted.
    #[n(9)]
    pub(crate) data_keys: Option<Vec<WrappedKey>>,
    /// The keys of persons under which texts in it are sealed, by their ids; nothing when none is.
    #[n(10)]
    pub(crate) seals: Option<Vec<KeyUse>>,
}

/// A key of a person, or of what is nobody's, that a backup was sealed with.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct KeyUse {
    /// The key's id.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub(crate) id: [u8; 16],
    /// Runs with texts under it.
    #[n(1)]
    pub(crate) runs: u64,
    /// Whether it is a person's.
    #[n(2)]
    pub(crate) person: bool,
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { format, taken, generation, epoch, store, release, .. } = self;
        f.debug_struct("Head")
            .field("format", format)
            .field("taken", taken)
            .field("generation", generation)
            .field("epoch", epoch)
            .field("store", store)
            .field("release", release)
            .finish_non_exhaustive()
    }
}

impl Head {
    /// Whether the backup holds the key of its blobs' addresses.
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Whether texts in it are sealed: it can be restored only with the key that the store was opened with.
    pub fn is_encrypted(&self) -> bool {
        !self.data_keys().is_empty()
    }

    /// Whether what is a person's is sealed in it under keys that are in no backup.
    pub fn is_sealed(&self) -> bool {
        self.seals.is_some()
    }

    pub(crate) fn data_keys(&self) -> &[WrappedKey] {
        self.data_keys.as_deref().unwrap_or_default()
    }

    /// The generation of a store restored from this backup.
    pub fn generation_after(&self) -> u32 {
        self.generation.saturating_add(1)
    }

    /// An epoch above all that the backup's store had, or may have had after the backup: epochs grow by one with each
    /// start of a server, and begin at the second of the restore after one.
    pub fn epoch_after(&self, now: Timestamp) -> u64 {
        self.epoch.saturating_add(1).max((now.0 / 1_000_000).unsigned_abs())
    }
}

/// How many rows each section has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Counts {
    /// Section and rows, in order; a section without rows is not named.
    #[n(0)]
    pub rows: Vec<(u8, u64)>,
}

impl Counts {
    /// Rows of that section.
    pub fn of(&self, section: u8) -> u64 {
        self.rows.iter().find(|(s, _)| *s == section).map_or(0, |(_, n)| *n)
    }

    pub(super) fn add(&mut self, section: u8, rows: u64) {
        match self.rows.last_mut() {
            Some((last, n)) if *last == section => *n += rows,
            _ => self.rows.push((section, rows)),
        }
    }
}

/// A row that no reader would take.
#[derive(Debug)]
pub(crate) struct TooLong;

/// Packs rows into chunks.
pub(crate) struct Packer {
    digest: [u8; 32],
    counts: Counts,
    section: u8,
    rows: u32,
    plain: Vec<u8>,
}

impl Packer {
    /// A packer, and the bytes that a backup begins with.
    pub(super) fn begin(head: &Head) -> Result<(Self, Bytes), TooLong> {
        let plain = minicbor::to_vec(head).expect("encodes to memory");
        let counts = Counts::default();
        let mut packer = Self { digest: Sha256::digest(MAGIC).into(), counts, section: HEAD, rows: 1, plain };
        let mut out = MAGIC.to_vec();
        packer.flush(&mut out)?;
        Ok((packer, out.into()))
    }

    /// Adds a row; gives a chunk when it is full.
    pub(super) fn push(&mut self, table: &Table, row: &[Value]) -> Result<Option<Bytes>, TooLong> {
        let mut out = Vec::new();
        if self.section != table.number {
            self.flush(&mut out)?;
            self.section = table.number;
        }
        encode(row, &mut self.plain);
        self.rows += 1;
        self.counts.add(table.number, 1);
        if self.plain.len() >= CHUNK {
            self.flush(&mut out)?;
        }
        Ok((!out.is_empty()).then(|| out.into()))
    }

    /// The end.
    pub(super) fn finish(mut self) -> Result<Bytes, TooLong> {
        let mut out = Vec::new();
        self.flush(&mut out)?;
        (self.section, self.rows) = (END, 1);
        self.plain = minicbor::to_vec(&self.counts).expect("encodes to memory");
        self.flush(&mut out)?;
        Ok(out.into())
    }

    /// Writes what has been gathered as a chunk.
    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        if self.rows == 0 {
            return Ok(());
        }
        let plain = std::mem::take(&mut self.plain);
        if plain.len() > CHUNK_MAX {
            return Err(TooLong);
        }
        let packed = zstd::bulk::compress(&plain, 3).ok().filter(|p| p.len() < plain.len());
        let stored = packed.as_deref().unwrap_or(&plain);
        let prefix = prefix(self.section, self.rows, plain.len(), stored.len());
        self.digest = digest(&self.digest, &prefix, stored);
        out.extend_from_slice(&prefix);
        out.extend_from_slice(stored);
        out.extend_from_slice(&self.digest);
        self.rows = 0;
        Ok(())
    }
}

fn prefix(section: u8, rows: u32, plain: usize, stored: usize) -> [u8; PREFIX] {
    // Both are below CHUNK_MAX.
    let (plain, stored) = (plain as u32, stored as u32);
    let mut out = [0; PREFIX];
    out[0] = section;
    out[1..5].copy_from_slice(&rows.to_be_bytes());
    out[5..9].copy_from_slice(&plain.to_be_bytes());
    out[9..13].copy_from_slice(&stored.to_be_bytes());
    out
}

/// The digest of a chunk as it is stored, so that nothing is unpacked that is not proven.
pub(super) fn digest(before: &[u8; 32], prefix: &[u8; PREFIX], stored: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(before).chain_update(prefix).chain_update(stored).finalize().into()
}
