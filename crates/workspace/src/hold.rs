//! Holding a whole tree: what no fact names, such as the snapshot of a sandbox, stays until a time.

use stead_core::{
    id::{BlobId, Name, TreeId},
    time::Timestamp,
};

use crate::{WorkspaceError, Workspaces, sweep::reachable};

/// Objects that are held at once.
const BATCH: usize = 256;

impl Workspaces {
    /// Removes what the cache of this host has of these objects, to which nothing leads any more.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn forget(&self, tenant: &Name, ids: &[BlobId]) -> std::io::Result<()> {
        self.cache.forget(tenant, ids)
    }

    /// Holds a tree, and all that it leads to, at least until then. It must be there for as long as this runs: just made, or led to by
    /// something that is kept.
    ///
    /// # Errors
    /// ST0242 when a part of it is not there any more; others may be held then.
    pub async fn hold(&self, tenant: &Name, tree: TreeId, until: Timestamp) -> Result<(), WorkspaceError> {
        let all: Vec<BlobId> = reachable(&*self.objects, tenant, vec![tree]).await?.into_iter().collect();
        for part in all.chunks(BATCH) {
            if let Some(missing) = self.objects.hold(tenant, part, until).await?.first() {
                return Err(WorkspaceError::Missing(*missing));
            }
        }
        Ok(())
    }
}
