//! Laying a layer over a base: only the directories that the layer touches are read, encoded and addressed.

use bytes::Bytes;
use stead_core::id::{BlobId, TreeId};

use crate::{
    Limits, WorkspaceError,
    layer::{Folder, Node},
    limits::check,
    name::TreePath,
    tree::{DirEntry, Directory, Entry},
    trees::Trees,
};

/// A tree that is not kept yet.
#[derive(Debug)]
pub(crate) struct Applied {
    /// Its top, with what is in it.
    pub(crate) top: DirEntry,
    /// Directories that were made or changed, lower ones first.
    pub(crate) made: Vec<(TreeId, Bytes)>,
}

/// Reads the directories of the base that the layer touches.
pub(crate) async fn load(trees: &mut Trees<'_>, base: TreeId, layer: &Folder) -> Result<(), WorkspaceError> {
    let mut level = vec![(base, layer)];
    // Each turn is one level of the layer, and that has few.
    while !level.is_empty() {
        let ids: Vec<TreeId> = level.iter().map(|(id, _)| *id).collect();
        trees.keep(&ids).await?;
        let mut next = Vec::new();
        for (id, folder) in level {
            let directory = trees.known(id)?;
            for (name, node) in &folder.children {
                if let (Node::Folder(f), Some(Entry::Directory(d))) = (node, directory.get(name.as_bytes()))
                    && !f.fresh
                {
                    next.push((d.tree, f));
                }
            }
        }
        level = next;
    }
    Ok(())
}

/// Lays the layer over the base, whose touched directories were [`load`]ed. `address` is that of the tenant.
pub(crate) fn apply(
    trees: &mut Trees<'_>,
    address: &dyn Fn(&[u8]) -> BlobId,
    base: Option<TreeId>,
    layer: Folder,
    limits: &Limits,
) -> Result<Applied, WorkspaceError> {
    let mut work = Work { trees, address, limits, made: Vec::new(), path: TreePath::TOP };
    let top = work.folder(base, layer)?;
    let made = work.made;
    check(&TreePath::TOP, top.entries, limits.entries, "files")?;
    check(&TreePath::TOP, top.bytes, limits.bytes, "bytes")?;
    Ok(Applied { top, made })
}

struct Work<'w, 'o> {
    trees: &'w mut Trees<'o>,
    address: &'w dyn Fn(&[u8]) -> BlobId,
    limits: &'w Limits,
    made: Vec<(TreeId, Bytes)>,
    path: TreePath,
}

impl Work<'_, '_> {
    /// One directory. It goes as deep as the layer, whose depth was bounded when it was made, and is here once more.
    fn folder(&mut self, base: Option<TreeId>, folder: Folder) -> Result<DirEntry, WorkspaceError> {
        check(&self.path, self.path.names().len() as u64, self.limits.depth as u64, "levels")?;
        let mut directory = match base.filter(|_| !folder.fresh) {
            Some(base) => Directory::clone(&*self.trees.known(base)?),
            None => Directory::default(),
        };
        for (name, node) in folder.children {
            match node {
                Node::Gone => drop(directory.remove(name.as_bytes())),
                Node::Leaf(leaf) => directory.insert(name, leaf.into()),
                Node::Folder(folder) => {
                    let below = match directory.get(name.as_bytes()) {
                        Some(Entry::Directory(d)) => Some(d.tree),
                        _ => None,
                    };
                    self.path.push(name.clone());
                    let entry = self.folder(below, folder)?;
                    self.path.pop();
                    directory.insert(name, Entry::Directory(entry));
                }
            }
        }
        self.keep(directory)
    }

    fn keep(&mut self, directory: Directory) -> Result<DirEntry, WorkspaceError> {
        check(&self.path, directory.len() as u64, self.limits.directory, "files in one directory")?;
        let (totals, bytes) = (directory.totals(), directory.encode());
        check(&self.path, bytes.len() as u64, stead_ports::objects::MAX_OBJECT as u64, "bytes of names and links")?;
        let tree = TreeId((self.address)(&bytes).0);
        self.trees.remember(tree, directory);
        self.made.push((tree, bytes.into()));
        Ok(DirEntry { tree, entries: totals.entries, bytes: totals.bytes })
    }
}
