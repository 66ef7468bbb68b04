//! From a tree to a directory.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use stead_core::id::{BlobId, Name, TreeId};
use stead_ports::objects::Objects;

use crate::{
    Base, WorkspaceError, Workspaces,
    cache::Plan,
    chunk,
    limits::{MAX_DEPTH, check},
    name::TreePath,
    tree::{Directory, Entry, FileEntry},
};

/// Chunks that are asked for at once.
const BATCH: usize = 16;
/// Short files that are asked for at once, and their bytes, unless one has more.
const FILES: usize = 256;
const BYTES: u64 = 8 << 20;
/// How often files are fetched that went from the cache in between.
const TRIES: usize = 3;

impl Workspaces {
    /// A directory with the content of a tree, to be the lower directory of an overlay. It is shared by all that start at this tree,
    /// and is never written to. What is not on this host yet comes from the store, and is proved on the way.
    ///
    /// # Errors
    /// ST0240 when the tree has more than the limits of this server allow, ST0242 when something is missing or damaged, ST0245 when the
    /// cache cannot be written.
    pub async fn materialise(&self, tenant: &Name, tree: TreeId) -> Result<Base, WorkspaceError> {
        if let Some(base) = self.cache.base(tenant, tree) {
            return Ok(base);
        }
        let mut plan = self.plan(tenant, tree).await?;
        for _ in 0..TRIES {
            let (cache, of) = (self.cache.clone(), tenant.clone());
            let (made, back) = blocking(move || (cache.make(&of, &plan), plan)).await?;
            plan = back;
            match made? {
                Ok(base) => {
                    let cache = self.cache.clone();
                    blocking(move || cache.make_room()).await?;
                    return Ok(base);
                }
                Err(missing) => self.fetch(tenant, missing.into_iter().collect()).await?,
            }
        }
        Err(WorkspaceError::disk(
            self.cache_name(),
            std::io::Error::other("its files go faster than they come: give it more room"),
        ))
    }

    fn cache_name(&self) -> String {
        format!("{:?}", self.cache)
    }

    /// All directories of a tree, proved to be as many and as deep as they say.
    async fn plan(&self, tenant: &Name, top: TreeId) -> Result<Plan, WorkspaceError> {
        let trees = self.trees(tenant);
        let mut directories = HashMap::<TreeId, Directory>::new();
        let (mut level, mut depth) = (vec![top], 0);
        let mut known = HashSet::from([top]);
        let mut entries = 0u64;
        while !level.is_empty() {
            if depth > MAX_DEPTH {
                return Err(WorkspaceError::Damaged { tree: top, what: "it has more levels than any workspace" });
            }
            let mut next = Vec::new();
            for (id, directory) in trees.read(&level).await? {
                entries += directory.len() as u64;
                check(&TreePath::TOP, entries, self.limits.entries, "files")?;
                for (_, entry) in &directory {
                    if let Entry::Directory(d) = entry
                        && known.insert(d.tree)
                    {
                        next.push(d.tree);
                    }
                }
                directories.insert(id, directory);
            }
            (level, depth) = (next, depth + 1);
        }
        prove(top, &directories)?;
        let totals = directories[&top].totals();
        check(&TreePath::TOP, totals.entries, self.limits.entries, "files")?;
        check(&TreePath::TOP, totals.bytes, self.limits.bytes, "bytes")?;
        Ok(Plan { top, directories })
    }

    /// Brings files from the store into the cache.
    pub(crate) async fn fetch(&self, tenant: &Name, missing: Vec<FileEntry>) -> Result<(), WorkspaceError> {
        let (short, long): (Vec<_>, Vec<_>) = missing.into_iter().partition(|f| chunk::chunks(f.size) == 0);
        for part in batches(&short) {
            let ids: Vec<BlobId> = part.iter().map(|f| f.content).collect();
            let found = self.objects.get(tenant, &ids).await?;
            let files: Vec<(FileEntry, Bytes)> = part
                .iter()
                .zip(found)
                .map(|(file, bytes)| whole(file, bytes).map(|bytes| (*file, bytes)))
                .collect::<Result<_, _>>()?;
            let (cache, of) = (self.cache.clone(), tenant.clone());
            blocking(move || {
                files.iter().try_for_each(|(file, bytes)| {
                    let mut offer = cache.begin();
                    offer.write(bytes);
                    offer.place(&of, file)
                })
            })
            .await??;
        }
        for file in long {
            self.fetch_long(tenant, file).await?;
        }
        Ok(())
    }

    async fn fetch_long(&self, tenant: &Name, file: FileEntry) -> Result<(), WorkspaceError> {
        let chunks = self.chunks(tenant, &file).await?;
        let mut offer = self.cache.begin();
        for (n, part) in chunks.chunks(BATCH).enumerate() {
            let found = self.part(tenant, &file, part, n * BATCH).await?;
            offer = blocking(move || {
                found.iter().for_each(|bytes| offer.write(bytes));
                offer
            })
            .await?;
        }
        let of = tenant.clone();
        blocking(move || offer.place(&of, &file)).await?
    }

    /// The addresses of a long file's chunks.
    pub(crate) async fn chunks(&self, tenant: &Name, file: &FileEntry) -> Result<Vec<BlobId>, WorkspaceError> {
        chunks(&*self.objects, tenant, file).await
    }

    /// Chunks of a long file, from the one with that number on.
    pub(crate) async fn part(
        &self,
        tenant: &Name,
        file: &FileEntry,
        ids: &[BlobId],
        first: usize,
    ) -> Result<Vec<Bytes>, WorkspaceError> {
        let found = self.objects.get(tenant, ids).await?;
        ids.iter()
            .zip(found)
            .enumerate()
            .map(|(n, (id, bytes))| {
                let from = (first + n) as u64 * chunk::CHUNK as u64;
                let size = (file.size - from).min(chunk::CHUNK as u64);
                whole(&FileEntry { exec: false, size, content: *id }, bytes)
            })
            .collect()
    }
}

/// The addresses of a long file's chunks.
pub(crate) async fn chunks(
    objects: &dyn Objects,
    tenant: &Name,
    file: &FileEntry,
) -> Result<Vec<BlobId>, WorkspaceError> {
    let list = objects.get(tenant, &[file.content]).await?.pop().flatten();
    let list = list.ok_or(WorkspaceError::Missing(file.content))?;
    chunk::decode(&list, file.size).map_err(|e| WorkspaceError::Damaged { tree: TreeId(file.content.0), what: e.0 })
}

/// Short files in parts of few bytes each.
fn batches(files: &[FileEntry]) -> impl Iterator<Item = &[FileEntry]> {
    let mut rest = files;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fit = rest.iter().take(FILES).take_while(|f| {
            bytes += f.size;
            bytes <= BYTES
        });
        let (part, after) = rest.split_at(fit.count().max(1).min(rest.len()));
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}

/// The bytes of an object that must have the size of that file. The store has proved that they are those of the address.
pub(crate) fn whole(file: &FileEntry, bytes: Option<Bytes>) -> Result<Bytes, WorkspaceError> {
    match bytes {
        None => Err(WorkspaceError::Missing(file.content)),
        Some(bytes) if bytes.len() as u64 == file.size => Ok(bytes),
        Some(_) => {
            let what = "a file has not the size that its directory says";
            Err(WorkspaceError::Damaged { tree: TreeId(file.content.0), what })
        }
    }
}

/// Proves that each directory has what its parent says, and that no way down is longer than any workspace's.
fn prove(top: TreeId, directories: &HashMap<TreeId, Directory>) -> Result<(), WorkspaceError> {
    // How many levels are below each, in a walk without recursion: children first.
    let mut stack = vec![(top, false)];
    let mut heights = HashMap::<TreeId, usize>::new();
    while let Some((id, back)) = stack.pop() {
        if heights.contains_key(&id) {
            continue;
        }
        let damaged = |what| WorkspaceError::Damaged { tree: id, what };
        let directory = directories.get(&id).ok_or(WorkspaceError::Missing(BlobId(id.0)))?;
        let below = directory.iter().filter_map(|(_, e)| match e {
            Entry::Directory(d) => Some(d),
            _ => None,
        });
        if !back {
            stack.push((id, true));
            stack.extend(below.map(|d| (d.tree, false)));
            continue;
        }
        let mut height = 0;
        for d in below {
            let totals = directories[&d.tree].totals();
            if (totals.entries, totals.bytes) != (d.entries, d.bytes) {
                return Err(damaged("its sums are not those of what is in it"));
            }
            // An address is a hash of what is below, so none leads back to itself.
            height = height.max(heights.get(&d.tree).copied().unwrap_or(0) + 1);
        }
        if height > MAX_DEPTH {
            return Err(damaged("it has more levels than any workspace"));
        }
        heights.insert(id, height);
    }
    Ok(())
}

/// Runs what blocks on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, WorkspaceError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| WorkspaceError::disk("the workspaces' cache", std::io::Error::other(e)))
}
