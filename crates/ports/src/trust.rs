//! The directory port: the signed entries of each tenant's directory of approvers, in their order. An entry never changes and
//! none is ever removed.
//!
//! Not here: what an entry says, and whether it may follow. The store keeps bytes, and that two servers that add at once do not
//! both take the same place.

use async_trait::async_trait;
use bytes::Bytes;
use stead_core::{id::Name, time::Timestamp};

use crate::journal::StoreError;

/// Longest entry, in bytes.
pub const MAX_ENTRY: usize = 128 << 10;

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryRow {
    /// Its place, from 0.
    pub seq: u64,
    /// Itself, with its signatures.
    pub body: Bytes,
    /// Who brought it.
    pub by: Name,
    /// When.
    pub at: Timestamp,
}

/// The directories of tenants.
#[async_trait]
pub trait DirectoryStore: Send + Sync + 'static {
    /// Keeps an entry at its place; `false` when that is not the next free one: nothing was kept.
    async fn add_entry(&self, tenant: &Name, row: DirectoryRow) -> Result<bool, StoreError>;

    /// Entries from a place on, in order.
    async fn entries(&self, tenant: &Name, from: u64, limit: u32) -> Result<Vec<DirectoryRow>, StoreError>;

    /// Tenants that have a directory, and how many entries each has.
    async fn directories(&self) -> Result<Vec<(Name, u64)>, StoreError>;
}
