//! What the tests share: objects in memory, a clock that stands, and small words for trees.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    os::fd::OwnedFd,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use stead_core::{
    code,
    id::{BlobId, Name, TreeId},
    time::Timestamp,
};
use stead_ports::{
    BoxFuture,
    clock::Clock,
    journal::StoreError,
    objects::{MAX_OBJECT, Objects},
    workspace::{Marks, Still, Written},
};
use stead_workspace::{Limits, Options, TreePath, Workspaces, tree::Entry};

/// Objects in memory. The stores have their own tests; here it counts what is asked of them.
#[derive(Default, Debug)]
pub(crate) struct Memory {
    pub(crate) kept: Mutex<HashMap<(Name, BlobId), (Bytes, Timestamp)>>,
    pub(crate) gets: AtomicU64,
    pub(crate) put_bytes: AtomicU64,
}

#[async_trait]
impl Objects for Memory {
    fn address(&self, tenant: &Name, content: &[u8]) -> BlobId {
        BlobId(Sha256::new().chain_update(tenant.as_bytes()).chain_update([0]).chain_update(content).finalize().into())
    }

    async fn hold(&self, tenant: &Name, ids: &[BlobId], until: Timestamp) -> Result<Vec<BlobId>, StoreError> {
        let mut kept = self.kept.lock().unwrap();
        Ok(ids
            .iter()
            .copied()
            .filter(|id| match kept.get_mut(&(tenant.clone(), *id)) {
                Some((_, held)) => {
                    *held = (*held).max(until);
                    false
                }
                None => true,
            })
            .collect())
    }

    async fn put(&self, tenant: &Name, contents: &[Bytes], until: Timestamp) -> Result<(), StoreError> {
        if contents.iter().any(|c| c.len() > MAX_OBJECT) {
            return Err(StoreError { code: code::TOO_LARGE, detail: "too long".into() });
        }
        for content in contents {
            self.put_bytes.fetch_add(content.len() as u64, Ordering::Relaxed);
            let key = (tenant.clone(), self.address(tenant, content));
            let mut kept = self.kept.lock().unwrap();
            let slot = kept.entry(key).or_insert_with(|| (content.clone(), until));
            slot.1 = slot.1.max(until);
        }
        Ok(())
    }

    async fn get(&self, tenant: &Name, ids: &[BlobId]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.gets.fetch_add(ids.len() as u64, Ordering::Relaxed);
        let kept = self.kept.lock().unwrap();
        Ok(ids.iter().map(|id| kept.get(&(tenant.clone(), *id)).map(|(b, _)| b.clone())).collect())
    }

    async fn tenant(&self, after: Option<&Name>) -> Result<Option<Name>, StoreError> {
        let kept = self.kept.lock().unwrap();
        let tenants = kept.keys().map(|(tenant, _)| tenant).filter(|tenant| after.is_none_or(|after| *tenant > after));
        Ok(tenants.min().cloned())
    }

    async fn unheld(
        &self,
        tenant: &Name,
        at: Timestamp,
        after: Option<BlobId>,
        limit: u32,
    ) -> Result<Vec<BlobId>, StoreError> {
        let kept = self.kept.lock().unwrap();
        let mut ids: Vec<BlobId> = kept
            .iter()
            .filter(|((t, id), (_, held))| t == tenant && *held < at && after.is_none_or(|a| *id > a))
            .map(|((_, id), _)| *id)
            .collect();
        ids.sort();
        ids.truncate(limit as usize);
        Ok(ids)
    }

    async fn remove(&self, tenant: &Name, ids: &[BlobId], at: Timestamp) -> Result<u64, StoreError> {
        let mut kept = self.kept.lock().unwrap();
        let before = kept.len();
        kept.retain(|(t, id), (_, held)| t != tenant || *held >= at || !ids.contains(id));
        Ok((before - kept.len()) as u64)
    }
}

/// A clock that is set.
#[derive(Debug)]
pub(crate) struct Hand(pub(crate) AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
    fn boot_micros(&self) -> u64 {
        0
    }
    fn random(&self) -> [u8; 16] {
        [0; 16]
    }
    fn sleep_until(&self, _at: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// A box that has ended: nothing of it ever ran.
#[derive(Debug)]
pub(crate) struct Ended(Vec<u8>, Option<Marks>);

impl Ended {
    pub(crate) fn upper(dir: &Path, marks: Marks) -> Self {
        Self(dir.as_os_str().as_encoded_bytes().to_vec(), Some(marks))
    }
    pub(crate) fn whole(dir: &Path) -> Self {
        Self(dir.as_os_str().as_encoded_bytes().to_vec(), None)
    }
}

impl Still for Ended {
    fn written(&self) -> io::Result<Written> {
        use rustix::fs::{Mode, OFlags, open};
        let dir: OwnedFd = open(&self.0[..], OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(match self.1 {
            Some(marks) => Written::Upper { dir, marks },
            None => Written::Whole { dir },
        })
    }
}

/// Workspaces on memory, with a cache in a folder of their own.
pub(crate) struct Kit {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) objects: Arc<Memory>,
    pub(crate) clock: Arc<Hand>,
    pub(crate) work: Workspaces,
    pub(crate) tenant: Name,
}

impl Kit {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(set: impl FnOnce(&mut Options)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (objects, clock) = (Arc::new(Memory::default()), Arc::new(Hand(AtomicI64::new(1_000_000_000_000))));
        let mut options = Options::new(dir.path().join("cache"));
        set(&mut options);
        let work = Workspaces::open(objects.clone(), clock.clone(), options).unwrap();
        Self { dir, objects, clock, work, tenant: "acme".into() }
    }

    pub(crate) fn limited(set: impl FnOnce(&mut Limits)) -> Self {
        Self::with(|o| set(&mut o.limits))
    }

    pub(crate) async fn empty(&self) -> TreeId {
        self.work.empty(&self.tenant).await.unwrap().tree
    }

    /// A tree with those files.
    pub(crate) async fn tree(&self, files: &[(&str, &[u8])]) -> TreeId {
        let mut tree = self.empty().await;
        for (path, content) in files {
            let content = Bytes::copy_from_slice(content);
            tree = self.work.write(&self.tenant, tree, &path_of(path), content, None).await.unwrap().tree;
        }
        tree
    }

    /// Everything in a tree, by path.
    pub(crate) async fn all(&self, tree: TreeId) -> BTreeMap<String, Is> {
        let mut out = BTreeMap::new();
        let mut dirs = vec![TreePath::TOP];
        while let Some(dir) = dirs.pop() {
            for (name, entry) in self.work.list(&self.tenant, tree, &dir, None, usize::MAX).await.unwrap() {
                let path = dir.join(&name);
                let is = match entry {
                    Entry::File(f) => {
                        let bytes = self.work.read(&self.tenant, tree, &path, 0, u64::MAX).await.unwrap();
                        Is::File(bytes.to_vec(), f.exec)
                    }
                    Entry::Symlink(target) => Is::Link(target.to_vec()),
                    Entry::Directory(_) => {
                        dirs.push(path.clone());
                        Is::Dir
                    }
                };
                out.insert(path.to_string(), is);
            }
        }
        out
    }
}

/// What is at a path, for comparing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Is {
    File(Vec<u8>, bool),
    Link(Vec<u8>),
    Dir,
}

pub(crate) fn path_of(path: &str) -> TreePath {
    TreePath::parse(path.as_bytes()).unwrap()
}

/// What a folder of the host has, by path.
pub(crate) fn on_disk(dir: &Path) -> BTreeMap<String, Is> {
    use std::os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _};
    fn walk(top: &Path, dir: &Path, out: &mut BTreeMap<String, Is>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let is = if meta.is_symlink() {
                Is::Link(std::fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec())
            } else if meta.is_dir() {
                walk(top, &path, out);
                Is::Dir
            } else {
                Is::File(std::fs::read(&path).unwrap(), meta.permissions().mode() & 0o100 != 0)
            };
            let shown = TreePath::parse(path.strip_prefix(top).unwrap().as_os_str().as_bytes()).unwrap().to_string();
            out.insert(shown, is);
        }
    }
    let mut out = BTreeMap::new();
    walk(dir, dir, &mut out);
    out
}
