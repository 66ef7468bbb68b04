//! Files of a tree, without making a directory of it: read, list, look, write, remove.
//!
//! No link is ever followed: a path that leads through one is refused, for where it leads is a matter of the box that reads it.

use bytes::{Bytes, BytesMut};
use stead_core::id::{Name, TreeId};

use crate::{
    Made, WorkspaceError, Workspaces,
    chunk::{self, CHUNK},
    intake::take_in,
    layer::{Folder, Node},
    materialise::whole,
    name::{EntryName, TreePath},
    tree::{DirEntry, Entry, FileEntry, Leaf},
};

/// Chunks that are read at once.
const BATCH: usize = 8;

impl Workspaces {
    /// What is at a path; the top is a directory.
    ///
    /// # Errors
    /// ST0243 when nothing is there, or the path leads through a file or a link.
    pub async fn stat(&self, tenant: &Name, tree: TreeId, path: &TreePath) -> Result<Entry, WorkspaceError> {
        let found = self.find(tenant, tree, path).await?;
        found.ok_or_else(|| WorkspaceError::path(path, "nothing is there"))
    }

    /// The entries of the directory at a path, by name; at most `limit` of them, after `after`.
    ///
    /// # Errors
    /// ST0243 when it is no directory, or nothing is there.
    pub async fn list(
        &self,
        tenant: &Name,
        tree: TreeId,
        path: &TreePath,
        after: Option<&EntryName>,
        limit: usize,
    ) -> Result<Vec<(EntryName, Entry)>, WorkspaceError> {
        let Entry::Directory(found) = self.stat(tenant, tree, path).await? else {
            return Err(WorkspaceError::path(path, "it is no directory"));
        };
        let directory = self.trees(tenant).one(found.tree).await?;
        let rest = directory.iter().filter(|(name, _)| after.is_none_or(|a| *name > a));
        Ok(rest.take(limit).map(|(n, e)| (n.clone(), e.clone())).collect())
    }

    /// Bytes of the file at a path, from `from` on, at most `most`. It takes memory for what it returns, and for no more.
    ///
    /// # Errors
    /// ST0243 when it is no file, or nothing is there.
    pub async fn read(
        &self,
        tenant: &Name,
        tree: TreeId,
        path: &TreePath,
        from: u64,
        most: u64,
    ) -> Result<Bytes, WorkspaceError> {
        match self.stat(tenant, tree, path).await? {
            Entry::File(file) => self.read_file(tenant, &file, from, most).await,
            Entry::Symlink(_) => Err(WorkspaceError::path(path, "it is a link, and none is followed")),
            Entry::Directory(_) => Err(WorkspaceError::path(path, "it is a directory")),
        }
    }

    /// Bytes of a file.
    pub(crate) async fn read_file(
        &self,
        tenant: &Name,
        file: &FileEntry,
        from: u64,
        most: u64,
    ) -> Result<Bytes, WorkspaceError> {
        let (from, to) = (from.min(file.size), from.saturating_add(most).min(file.size));
        if chunk::chunks(file.size) == 0 {
            let found = self.objects.get(tenant, &[file.content]).await?.pop().flatten();
            return Ok(whole(file, found)?.slice(from as usize..to as usize));
        }
        let list = self.chunks(tenant, file).await?;
        let (first, end) = ((from / CHUNK as u64) as usize, to.div_ceil(CHUNK as u64) as usize);
        let mut out = BytesMut::with_capacity((to - from) as usize);
        for at in (first..end).step_by(BATCH) {
            let part = &list[at..end.min(at + BATCH)];
            for (n, bytes) in self.part(tenant, file, part, at).await?.into_iter().enumerate() {
                let start = ((at + n) * CHUNK) as u64;
                let within = |place: u64| place.saturating_sub(start).min(bytes.len() as u64) as usize;
                out.extend_from_slice(&bytes[within(from)..within(to)]);
            }
        }
        Ok(out.freeze())
    }

    /// Writes a file, in the place of a file or link that is there, and makes the directories on the way. A file that was executable
    /// stays so unless `exec` says otherwise.
    ///
    /// # Errors
    /// ST0243 when the path is a directory or leads through a file or a link, ST0240 for more than the limits allow.
    pub async fn write(
        &self,
        tenant: &Name,
        tree: TreeId,
        path: &TreePath,
        content: Bytes,
        exec: Option<bool>,
    ) -> Result<Made, WorkspaceError> {
        if path.is_reserved() {
            return Err(WorkspaceError::path(path, "`.stead` is Stead's own, and no part of a workspace"));
        }
        let before = self.find(tenant, tree, path).await?;
        let exec = match (&before, exec) {
            (Some(Entry::Directory(_)), _) => return Err(WorkspaceError::path(path, "it is a directory")),
            (_, Some(exec)) => exec,
            (Some(Entry::File(file)), None) => file.exec,
            (_, None) => false,
        };
        let mut outbox = self.outbox(tenant);
        let (shown, size) = (path.clone(), content.len() as u64);
        let file = take_in(&self.objects, tenant, &self.cache, &self.limits, &mut outbox, move |intake| {
            intake.file(&shown, exec, Some(size), &mut &content[..])
        })
        .await?;
        let layer = Folder::of(path, Node::Leaf(Leaf::File(file)));
        let layer = layer.ok_or_else(|| WorkspaceError::path(path, "the top is a directory"))?;
        self.finish(&mut self.trees(tenant), tenant, Some(tree), layer, &mut outbox).await
    }

    /// Removes what is at a path: a file, a link, or a directory with all that is in it.
    ///
    /// # Errors
    /// ST0243 when nothing is there, or for the top.
    pub async fn remove(&self, tenant: &Name, tree: TreeId, path: &TreePath) -> Result<Made, WorkspaceError> {
        self.stat(tenant, tree, path).await?;
        let layer = Folder::of(path, Node::Gone);
        let layer = layer.ok_or_else(|| WorkspaceError::path(path, "the top cannot be removed"))?;
        self.change(tenant, Some(tree), layer).await
    }

    /// What is at a path, if anything is.
    async fn find(&self, tenant: &Name, tree: TreeId, path: &TreePath) -> Result<Option<Entry>, WorkspaceError> {
        let mut trees = self.trees(tenant);
        let top = trees.one(tree).await?;
        let totals = top.totals();
        let mut at = Entry::Directory(DirEntry { tree, entries: totals.entries, bytes: totals.bytes });
        for name in path.names() {
            let Entry::Directory(d) = &at else {
                return Err(WorkspaceError::path(path, "it leads through a file or a link, and none is followed"));
            };
            match trees.one(d.tree).await?.get(name.as_bytes()) {
                Some(entry) => at = entry.clone(),
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }
}
