//! Directories by their ids: read from the store in batches, and kept for as long as one operation needs them.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use stead_core::id::{BlobId, Name, TreeId};
use stead_ports::objects::Objects;

use crate::{WorkspaceError, tree::Directory};

/// Directories that are asked for at once.
const BATCH: usize = 64;

/// The directories of one tenant, for one operation.
pub(crate) struct Trees<'o> {
    objects: &'o dyn Objects,
    tenant: &'o Name,
    known: HashMap<TreeId, Arc<Directory>>,
}

impl<'o> Trees<'o> {
    pub(crate) fn new(objects: &'o dyn Objects, tenant: &'o Name) -> Self {
        Self { objects, tenant, known: HashMap::new() }
    }

    /// A directory.
    pub(crate) async fn one(&mut self, id: TreeId) -> Result<Arc<Directory>, WorkspaceError> {
        self.keep(&[id]).await?;
        self.known(id)
    }

    /// A directory that was read before.
    pub(crate) fn known(&self, id: TreeId) -> Result<Arc<Directory>, WorkspaceError> {
        self.known.get(&id).cloned().ok_or(WorkspaceError::Missing(BlobId(id.0)))
    }

    /// Remembers a directory that was just made.
    pub(crate) fn remember(&mut self, id: TreeId, directory: Directory) {
        self.known.insert(id, Arc::new(directory));
    }

    /// Reads directories that are not known yet, and remembers them.
    pub(crate) async fn keep(&mut self, ids: &[TreeId]) -> Result<(), WorkspaceError> {
        let wanted: Vec<TreeId> = ids.iter().copied().filter(|id| !self.known.contains_key(id)).collect();
        for (id, directory) in self.read(&wanted).await? {
            self.known.insert(id, Arc::new(directory));
        }
        Ok(())
    }

    /// Reads directories without remembering them.
    pub(crate) async fn read(&self, ids: &[TreeId]) -> Result<Vec<(TreeId, Directory)>, WorkspaceError> {
        let mut out = Vec::with_capacity(ids.len());
        for part in ids.chunks(BATCH) {
            let blobs: Vec<BlobId> = part.iter().map(|t| BlobId(t.0)).collect();
            let found = self.objects.get(self.tenant, &blobs).await?;
            for (id, bytes) in part.iter().zip(found) {
                out.push((*id, decode(*id, bytes)?));
            }
        }
        Ok(out)
    }
}

fn decode(id: TreeId, bytes: Option<Bytes>) -> Result<Directory, WorkspaceError> {
    let bytes = bytes.ok_or(WorkspaceError::Missing(BlobId(id.0)))?;
    Directory::decode(&bytes).map_err(|e| WorkspaceError::Damaged { tree: id, what: e.0 })
}
