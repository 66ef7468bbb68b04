//! Directories made of the cache's files, each for one tree.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use rustix::{
    fs::{
        AtFlags, CWD, Gid, Mode, OFlags, RenameFlags, Uid, chownat, fchmod, linkat, mkdirat, openat, renameat_with,
        symlinkat,
    },
    io::Errno,
};
use stead_core::id::{Name, TreeId};

use super::{Cache, files::place, hex, tag};
use crate::{
    WorkspaceError,
    tree::{Directory, Entry, FileEntry},
};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// A base that there is.
pub(super) struct Slot {
    /// Held by whoever uses it; alone here, nobody does.
    pub(super) used: Arc<()>,
    /// When it was used last, as a count.
    pub(super) last: u64,
}

/// A directory with the content of a tree, read-only by agreement: an overlay's lower directory, or a read-only bind mount. It stays
/// until this is dropped.
#[derive(Clone, Debug)]
pub struct Base {
    tree: TreeId,
    path: PathBuf,
    _used: Arc<()>,
}

impl Base {
    /// The tree whose content it has.
    pub fn tree(&self) -> TreeId {
        self.tree
    }

    /// Where it stands. Whoever has another user's rights cannot go there; see [`Self::open`].
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory itself, for mounts by descriptor.
    ///
    /// # Errors
    /// ST0245 when it cannot be opened.
    pub fn open(&self) -> Result<OwnedFd, WorkspaceError> {
        openat(CWD, &self.path, DIRECTORY, Mode::empty()).map_err(|e| WorkspaceError::disk(self.path.display(), e))
    }
}

/// All directories of a tree that is to be made.
pub(crate) struct Plan {
    pub(crate) top: TreeId,
    pub(crate) directories: HashMap<TreeId, Directory>,
}

impl Cache {
    /// The base of a tree, if there is one.
    pub(crate) fn base(&self, tenant: &Name, tree: TreeId) -> Option<Base> {
        self.slot(&tag(tenant), tree)
    }

    fn slot(&self, tag: &str, tree: TreeId) -> Option<Base> {
        let key = (tag.to_owned(), tree);
        let mut bases = self.0.bases.lock();
        let slot = bases.get_mut(&key)?;
        slot.last = self.0.next.fetch_add(1, Ordering::Relaxed);
        Some(Base { tree, path: self.place_of(&key.0, tree), _used: slot.used.clone() })
    }

    fn place_of(&self, tag: &str, tree: TreeId) -> PathBuf {
        self.0.root.join("bases").join(tag).join(hex(&tree.0))
    }

    /// Makes the base of a tree. When files are missing, nothing is made and they are named. It blocks.
    pub(crate) fn make(&self, tenant: &Name, plan: &Plan) -> Result<Result<Base, HashSet<FileEntry>>, WorkspaceError> {
        let (tag, new) = (tag(tenant), self.fresh("new"));
        let fail = |e: Errno| WorkspaceError::disk(new.display(), e);
        let files = openat(CWD, self.0.root.join("files"), DIRECTORY, Mode::empty()).map_err(fail)?;
        let mut build = Build { files, tag: &tag, plan, owner: self.0.owner, missing: HashSet::new() };
        let made = build.directory(CWD, new.as_os_str().as_encoded_bytes(), plan.top).map_err(fail);
        if let (Ok(()), true) = (&made, build.missing.is_empty()) {
            return self.enter(&tag, plan.top, &new).map(Ok);
        }
        let missing = build.missing;
        self.discard(&new);
        made.map(|()| Err(missing))
    }

    /// Puts a finished directory in its place, unless somebody was faster.
    fn enter(&self, tag: &str, tree: TreeId, new: &Path) -> Result<Base, WorkspaceError> {
        let to = self.place_of(tag, tree);
        let fail = |e: io::Error| WorkspaceError::disk(to.display(), e);
        std::fs::create_dir_all(to.parent().expect("it has directories above")).map_err(fail)?;
        let base = {
            let mut bases = self.0.bases.lock();
            let last = self.0.next.fetch_add(1, Ordering::Relaxed);
            let slot = match renameat_with(CWD, new, CWD, &to, RenameFlags::NOREPLACE) {
                Ok(()) => bases.entry((tag.to_owned(), tree)).or_insert(Slot { used: Arc::new(()), last }),
                Err(Errno::EXIST) => {
                    bases.get_mut(&(tag.to_owned(), tree)).ok_or_else(|| fail(io::ErrorKind::AlreadyExists.into()))?
                }
                Err(e) => return Err(fail(e.into())),
            };
            slot.last = last;
            // Taken under the lock, so that nobody makes room with it in between.
            Base { tree, path: to.clone(), _used: slot.used.clone() }
        };
        self.discard(new);
        Ok(base)
    }

    /// Removes a directory that nobody uses.
    pub(super) fn discard(&self, dir: &Path) {
        if let Err(error) = std::fs::remove_dir_all(dir)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(dir = %dir.display(), %error, "a directory of the workspaces' cache stays until the next start");
        }
    }
}

struct Build<'b> {
    files: OwnedFd,
    tag: &'b str,
    plan: &'b Plan,
    owner: Option<(u32, u32)>,
    missing: HashSet<FileEntry>,
}

impl Build<'_> {
    /// Makes one directory with all below it. The plan has no more levels than a workspace may have.
    fn directory(&mut self, at: BorrowedFd<'_>, name: &[u8], tree: TreeId) -> Result<(), Errno> {
        mkdirat(at, name, Mode::from_raw_mode(0o755))?;
        let dir = openat(at, name, DIRECTORY, Mode::empty())?;
        // Whatever the process's mask takes away.
        fchmod(&dir, Mode::from_raw_mode(0o755))?;
        give(self.owner, at, name)?;
        let plan = self.plan;
        for (name, entry) in plan.directories.get(&tree).ok_or(Errno::NOENT)? {
            match entry {
                Entry::File(file) => self.file(dir.as_fd(), name.as_bytes(), file)?,
                Entry::Symlink(target) => {
                    symlinkat(&target[..], &dir, name.as_bytes())?;
                    give(self.owner, dir.as_fd(), name.as_bytes())?;
                }
                Entry::Directory(d) => self.directory(dir.as_fd(), name.as_bytes(), d.tree)?,
            }
        }
        Ok(())
    }

    fn file(&mut self, dir: BorrowedFd<'_>, name: &[u8], file: &FileEntry) -> Result<(), Errno> {
        let from = place(self.tag, file);
        match linkat(&self.files, &*from, dir, name, AtFlags::empty()) {
            Ok(()) => Ok(()),
            Err(Errno::NOENT) => {
                self.missing.insert(*file);
                Ok(())
            }
            // A file has only so many names, and some file systems give it only one.
            Err(Errno::MLINK | Errno::PERM | Errno::NOTSUP) => self.copy(dir, name, file, &from),
            Err(e) => Err(e),
        }
    }

    fn copy(&self, dir: BorrowedFd<'_>, name: &[u8], file: &FileEntry, from: &str) -> Result<(), Errno> {
        let mode = Mode::from_raw_mode(if file.exec { 0o755 } else { 0o644 });
        let from = openat(&self.files, from, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let to = openat(dir, name, flags, mode)?;
        fchmod(&to, mode)?;
        io::copy(&mut File::from(from), &mut File::from(to))
            .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        give(self.owner, dir, name)
    }
}

/// Gives what was made to its owner, if it is another's.
pub(super) fn give(owner: Option<(u32, u32)>, dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    let Some((user, group)) = owner else { return Ok(()) };
    chownat(dir, name, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)), AtFlags::SYMLINK_NOFOLLOW)
}
