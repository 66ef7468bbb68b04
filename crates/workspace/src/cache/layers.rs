//! Directories with what differs between two trees, as overlayfs reads them: what is gone is a whiteout (a character device 0/0, which anybody
//! may make and any mount knows), what is new a hard link to a file of the cache. No mark in an extended attribute is needed, because a
//! directory that was replaced is compared name by name.

use std::{
    fs,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, fchmod, linkat, mkdirat, mknodat, openat, symlinkat},
    io::Errno,
};
use stead_core::id::Name;

use super::{Cache, bases::give, files::place, tag};
use crate::{
    Change, WorkspaceError,
    tree::{Entry, FileEntry},
};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// A directory with what differs. It goes when nobody has it any more.
#[derive(Clone, Debug)]
pub(crate) struct Layer(Arc<Dir>);

#[derive(Debug)]
struct Dir {
    cache: Cache,
    path: PathBuf,
}

impl Layer {
    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        self.cache.discard(&self.path);
    }
}

impl Cache {
    /// Those of the files that are not here.
    pub(crate) fn lacks(&self, tenant: &Name, files: Vec<FileEntry>) -> Vec<FileEntry> {
        let (tag, dir) = (tag(tenant), self.0.root.join("files"));
        files.into_iter().filter(|file| fs::symlink_metadata(dir.join(place(&tag, file))).is_err()).collect()
    }

    /// Makes the directory of these changes, which are in the order of their paths; none when a file of it has gone from the cache. It
    /// blocks.
    pub(crate) fn layer(&self, tenant: &Name, changes: &[Change]) -> Result<Option<Layer>, WorkspaceError> {
        let dir = Dir { cache: self.clone(), path: self.fresh("layers") };
        let fail = |e: Errno| WorkspaceError::disk(dir.path.display(), e);
        let top = self.directory(CWD.as_fd(), dir.path.as_os_str().as_encoded_bytes()).map_err(fail)?;
        let files = openat(CWD, self.0.root.join("files"), DIRECTORY, Mode::empty()).map_err(fail)?;
        let tag = tag(tenant);
        for change in changes {
            match self.lay(&top, &files, &tag, change) {
                Ok(()) => {}
                Err(Errno::NOENT) => return Ok(None),
                Err(e) => return Err(fail(e)),
            }
        }
        Ok(Some(Layer(Arc::new(dir))))
    }

    fn lay(&self, top: &OwnedFd, files: &OwnedFd, tag: &str, change: &Change) -> Result<(), Errno> {
        let Some((way, name)) = change.path.split_last() else { return Ok(()) };
        let mut dir = openat(top, ".", DIRECTORY, Mode::empty())?;
        for name in way {
            // Each was made a moment ago, or is only passed through: a tree has no link on the way to a change.
            dir = self.directory(dir.as_fd(), name.as_bytes())?;
        }
        let name = name.as_bytes();
        match &change.after {
            None => return mknodat(&dir, name, FileType::CharacterDevice, Mode::empty(), 0),
            Some(Entry::Directory(_)) => return self.directory(dir.as_fd(), name).map(drop),
            Some(Entry::Symlink(target)) => symlinkat(&target[..], &dir, name)?,
            // A file that cannot have another name makes this layer impossible, and a whole directory copies it.
            Some(Entry::File(file)) => {
                return linkat(files, place(tag, file), &dir, name, AtFlags::empty()).map_err(|e| match e {
                    Errno::MLINK | Errno::PERM | Errno::NOTSUP => Errno::NOENT,
                    e => e,
                });
            }
        }
        give(self.0.owner, dir.as_fd(), name)
    }

    /// The directory of that name, made if it is not there.
    fn directory(&self, at: std::os::fd::BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
        match mkdirat(at, name, Mode::from_raw_mode(0o755)) {
            Err(Errno::EXIST) => return openat(at, name, DIRECTORY, Mode::empty()),
            made => made?,
        }
        let dir = openat(at, name, DIRECTORY, Mode::empty())?;
        fchmod(&dir, Mode::from_raw_mode(0o755))?;
        give(self.0.owner, at, name)?;
        Ok(dir)
    }
}
