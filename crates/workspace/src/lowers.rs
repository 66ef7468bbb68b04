//! Lower directories of an overlay for a tree that is near one which stands already: what differs in a small directory on top. So the
//! action after one that changed ten of ten thousand files does not wait for ten thousand names.

use std::path::Path;

use stead_core::id::{Name, TreeId};

use crate::{Base, WorkspaceError, Workspaces, cache::Layer, diff::diff, materialise::blocking, tree::Entry};

/// Directories that are laid over each other; with one more, a whole one is made.
const LAYERS: usize = 8;
/// Changes from which a whole directory is made.
const CHANGES: usize = 1_000;

/// Directories that together show a tree when an overlay has them as its lower ones, the first on top. They stay until this is
/// dropped; clones share them.
#[derive(Clone, Debug)]
pub struct Lowers {
    tree: TreeId,
    layers: Vec<Layer>,
    base: Base,
}

impl Lowers {
    /// The tree that they show.
    pub fn tree(&self) -> TreeId {
        self.tree
    }

    /// Where they stand, the top one first, as `lowerdir` of a mount names them: joined by `:`, which is in none of them unless it is in the
    /// path of the cache.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.layers.iter().map(Layer::path).chain([self.base.path()])
    }
}

impl Workspaces {
    /// The lower directories for a tree, made from those of a tree near it: that at which the action before has started. Without such, or
    /// when too much differs, it is one whole directory, as [`Workspaces::materialise`] makes it. For a read-only bind mount, use that.
    ///
    /// # Errors
    /// As [`Workspaces::materialise`].
    pub async fn lowers(&self, tenant: &Name, tree: TreeId, near: Option<&Lowers>) -> Result<Lowers, WorkspaceError> {
        if let Some(near) = near.filter(|near| near.tree == tree) {
            return Ok(near.clone());
        }
        if self.cache.base(tenant, tree).is_none()
            && let Some(near) = near.filter(|near| near.layers.len() < LAYERS)
            && let Some(layer) = self.layer(tenant, near.tree, tree).await?
        {
            let layers = std::iter::once(layer).chain(near.layers.iter().cloned()).collect();
            return Ok(Lowers { tree, layers, base: near.base.clone() });
        }
        Ok(Lowers { tree, layers: Vec::new(), base: self.materialise(tenant, tree).await? })
    }

    /// What differs, as a directory; none when it is too much, or a file of it cannot be had.
    async fn layer(&self, tenant: &Name, from: TreeId, to: TreeId) -> Result<Option<Layer>, WorkspaceError> {
        let diff = diff(&mut self.trees(tenant), from, to, CHANGES).await?;
        if diff.more {
            return Ok(None);
        }
        let files = diff.changes.iter().filter_map(|c| match &c.after {
            Some(Entry::File(file)) => Some(*file),
            _ => None,
        });
        let files = files.collect();
        let (cache, of) = (self.cache.clone(), tenant.clone());
        let missing = blocking(move || cache.lacks(&of, files)).await?;
        self.fetch(tenant, missing).await?;
        let (cache, of) = (self.cache.clone(), tenant.clone());
        blocking(move || cache.layer(&of, &diff.changes)).await?
    }
}
