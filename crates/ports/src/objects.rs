//! The objects port: content that is found by its address, of which workspaces are made. Files and directories of a
//! workspace are objects; the record of a workspace is one address, that of its top directory.
//!
//! An object is kept as long as something that is kept leads to it, or somebody **holds** it. Who puts an object holds it until a
//! time that he names, and until then commits the fact that leads to it, or gives it up. What nobody holds and nothing leads to is
//! removed by a sweep (`stead_workspace::sweep`), which looks at what is held in the same transaction in which it removes.
//!
//! Not here: what an object means. Blobs of runs are another matter: they travel with the append that refers to them
//! ([`crate::journal::Append`]) and need no hold.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use stead_core::{
    id::{BlobId, Name},
    time::Timestamp,
};

use crate::journal::StoreError;

/// Bytes of the longest object.
pub const MAX_OBJECT: usize = 16 << 20;

/// What an object is read as, or a record: it says what it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lead {
    /// A record of a run: it names directories.
    Record,
    /// A directory.
    Directory,
    /// The list of the pieces of a file of that size.
    Pieces(u64),
    /// Bytes, which lead to nothing.
    Bytes,
}

/// Where something leads, and what the objects there are read as.
type Leading = dyn Fn(Lead, &[u8]) -> Vec<(BlobId, Lead)> + Send + Sync;

/// What leads to which objects, for a store that does not know what it keeps.
#[derive(Clone)]
pub struct Leads(pub Arc<Leading>);

impl fmt::Debug for Leads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Leads(..)")
    }
}

/// Content by address. Every address belongs to one tenant; another tenant neither finds it nor learns that it exists.
#[async_trait]
pub trait Objects: Send + Sync + 'static {
    /// The address that `content` has within `tenant`: the same as that of a blob.
    fn address(&self, tenant: &Name, content: &[u8]) -> BlobId;

    /// Holds those of `ids` that are kept, at least until `until`, and names the others, in the order asked.
    async fn hold(&self, tenant: &Name, ids: &[BlobId], until: Timestamp) -> Result<Vec<BlobId>, StoreError>;

    /// Keeps the contents and holds them at least until `until`; durable when it returns. What is kept already stays once.
    ///
    /// # Errors
    /// ST0203 for one longer than [`MAX_OBJECT`]; nothing is kept then.
    async fn put(&self, tenant: &Name, contents: &[Bytes], until: Timestamp) -> Result<(), StoreError>;

    /// The contents at `ids`, in that order; none where nothing is kept. Each was proved to be what its address says.
    async fn get(&self, tenant: &Name, ids: &[BlobId]) -> Result<Vec<Option<Bytes>>, StoreError>;

    /// The tenant after `after`, of those that have any object, in an order that every call keeps to; the first one without.
    async fn tenant(&self, after: Option<&Name>) -> Result<Option<Name>, StoreError>;

    /// Objects that nobody holds at `at`, in the order of their ids, after `after`.
    async fn unheld(
        &self,
        tenant: &Name,
        at: Timestamp,
        after: Option<BlobId>,
        limit: u32,
    ) -> Result<Vec<BlobId>, StoreError>;

    /// Removes those of `ids` that nobody holds at `at`, and tells how many these were. Whether one is held is looked at in the
    /// transaction that removes it: a [`Objects::hold`] that found it is never betrayed.
    async fn remove(&self, tenant: &Name, ids: &[BlobId], at: Timestamp) -> Result<u64, StoreError>;
}
