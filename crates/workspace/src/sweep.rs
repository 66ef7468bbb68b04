//! Sweep: objects go to which nothing leads that is kept, and which nobody holds.
//!
//! **Why nothing that is needed goes.** The time from which holds count is taken before the roots are read. A tree that a fact names by
//! then is a root, or the hold of whoever made it ran beyond that time, for a fact is committed while its tree is held. What is found
//! again and held anew later is looked at once more by the store in the transaction that removes it.

use std::collections::HashSet;

use stead_core::{
    id::{BlobId, Name, TreeId},
    time::Timestamp,
};
use stead_ports::objects::{Lead, Objects};

use crate::{
    WorkspaceError, Workspaces, chunk,
    limits::MAX_DEPTH,
    materialise::chunks,
    tree::{Directory, Entry, FileEntry},
    trees::Trees,
};

/// Objects that are looked at, and removed, at once.
const BATCH: u32 = 256;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Objects that a root leads to.
    pub reachable: u64,
    /// Objects that are gone.
    pub removed: u64,
}

impl Workspaces {
    /// As [`sweep`], with the time before which no server holds anything any more.
    ///
    /// # Errors
    /// As [`sweep`].
    pub async fn sweep<F>(&self, tenant: &Name, roots: impl FnOnce() -> F) -> Result<Swept, WorkspaceError>
    where
        F: Future<Output = Result<Vec<TreeId>, WorkspaceError>>,
    {
        sweep(&*self.objects, tenant, self.long_ago(), roots).await
    }
}

/// Removes the objects of a tenant to which none of the roots leads and which nobody holds at `at`. It needs no cache. Clocks of servers
/// differ: take a time some minutes ago. `roots` is called once and names every tree that is to stay: heads of sessions, those in
/// journals that may be forked or restored, those of sandboxes. It must read them after it is called. The workspace with nothing in it
/// stays: an action that started there names no tree. It takes some 100 bytes of memory for each object that stays.
///
/// # Errors
/// ST0242 when something that a root leads to is missing or damaged; nothing is removed then.
pub async fn sweep<F>(
    objects: &dyn Objects,
    tenant: &Name,
    at: Timestamp,
    roots: impl FnOnce() -> F,
) -> Result<Swept, WorkspaceError>
where
    F: Future<Output = Result<Vec<TreeId>, WorkspaceError>>,
{
    let reachable = reachable(objects, tenant, roots().await?).await?;
    let empty = objects.address(tenant, &Directory::default().encode());
    let mut swept = Swept { reachable: reachable.len() as u64, removed: 0 };
    let mut after = None;
    loop {
        let page = objects.unheld(tenant, at, after, BATCH).await?;
        let Some(last) = page.last() else { return Ok(swept) };
        after = Some(*last);
        let gone: Vec<BlobId> = page.iter().copied().filter(|id| *id != empty && !reachable.contains(id)).collect();
        if !gone.is_empty() {
            swept.removed += objects.remove(tenant, &gone, at).await?;
        }
    }
}

/// All objects that these trees lead to.
///
/// # Errors
/// ST0242 when something that a tree leads to is missing or damaged.
pub async fn reachable(
    objects: &dyn Objects,
    tenant: &Name,
    roots: Vec<TreeId>,
) -> Result<HashSet<BlobId>, WorkspaceError> {
    let trees = Trees::new(objects, tenant);
    // An object may be a directory in one place and the bytes of a file in another.
    let (mut directories, mut out) = (HashSet::<TreeId>::new(), HashSet::<BlobId>::new());
    let mut level: Vec<TreeId> = roots.into_iter().filter(|id| directories.insert(*id)).collect();
    let mut depth = 0;
    while !level.is_empty() {
        let mut next = Vec::new();
        for part in level.chunks(BATCH as usize) {
            for (id, directory) in trees.read(part).await? {
                out.insert(BlobId(id.0));
                if depth > MAX_DEPTH {
                    return Err(WorkspaceError::Damaged { tree: id, what: "it has more levels than any workspace" });
                }
                for (_, entry) in &directory {
                    match entry {
                        Entry::Directory(d) if directories.insert(d.tree) => next.push(d.tree),
                        Entry::Directory(_) | Entry::Symlink(_) => {}
                        Entry::File(file) => mark(objects, tenant, file, &mut out).await?,
                    }
                }
            }
        }
        (level, depth) = (next, depth + 1);
    }
    Ok(out)
}

/// What an object leads to, one step far; nothing when it is not what it is read as.
pub fn leads_to(lead: Lead, content: &[u8]) -> Vec<(BlobId, Lead)> {
    match lead {
        Lead::Record | Lead::Bytes => Vec::new(),
        Lead::Pieces(size) => {
            chunk::decode(content, size).unwrap_or_default().into_iter().map(|id| (id, Lead::Bytes)).collect()
        }
        Lead::Directory => {
            let Ok(directory) = Directory::decode(content) else { return Vec::new() };
            let below = |entry: &Entry| match entry {
                Entry::Directory(d) => Some((BlobId(d.tree.0), Lead::Directory)),
                Entry::File(file) if chunk::chunks(file.size) > 0 => Some((file.content, Lead::Pieces(file.size))),
                Entry::File(file) => Some((file.content, Lead::Bytes)),
                Entry::Symlink(_) => None,
            };
            (&directory).into_iter().filter_map(|(_, entry)| below(entry)).collect()
        }
    }
}

async fn mark(
    objects: &dyn Objects,
    tenant: &Name,
    file: &FileEntry,
    out: &mut HashSet<BlobId>,
) -> Result<(), WorkspaceError> {
    // Its list is read each time: the same bytes may be a file of their own elsewhere, and were marked as that.
    out.insert(file.content);
    if chunk::chunks(file.size) > 0 {
        out.extend(chunks(objects, tenant, file).await?);
    }
    Ok(())
}
