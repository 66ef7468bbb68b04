//! A reader that gives only so many bytes, and the entries of an archive as a layer in the making.

use std::{
    io::{self, Read, Seek, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    WorkspaceError,
    intake::Intake,
    layer::{Folder, Node},
    limits::check,
    name::TreePath,
    tree::{FileEntry, Leaf},
};

/// How many bytes may still be read. Shared with whoever sets it anew.
#[derive(Clone, Debug)]
pub(super) struct Allowance(Arc<AtomicU64>);

impl Allowance {
    pub(super) fn new(bytes: u64) -> Self {
        Self(Arc::new(AtomicU64::new(bytes)))
    }

    pub(super) fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    fn spent(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// Gives bytes until the allowance is spent, and then an error, never an end: an archive is not to look whole where it was cut.
pub(super) struct Bounded<R> {
    inner: R,
    left: Allowance,
}

impl<R> Bounded<R> {
    pub(super) fn new(inner: R, left: Allowance) -> Self {
        Self { inner, left }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.left.0.load(Ordering::Relaxed);
        if left == 0 && !buf.is_empty() {
            // The end itself may still be met.
            return match self.inner.read(&mut [0])? {
                0 => Ok(0),
                _ => Err(io::Error::other("it is longer than an archive may be")),
            };
        }
        let most = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let got = self.inner.read(&mut buf[..most])?;
        self.left.0.fetch_sub(got as u64, Ordering::Relaxed);
        Ok(got)
    }
}

impl<R: Seek> Seek for Bounded<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

/// Takes the entries of an archive, one after the other.
pub(super) struct Entries<'e> {
    pub(super) intake: &'e mut Intake,
    pub(super) layer: &'e mut Folder,
    /// What the whole archive may still expand to.
    pub(super) left: Allowance,
}

impl Entries<'_> {
    /// The path of the next entry, counted and checked before anything else of it is looked at.
    pub(super) fn path(&mut self, name: &[u8]) -> Result<TreePath, WorkspaceError> {
        let path = TreePath::parse(name).map_err(|e| archive("the archive", e))?;
        if path.is_reserved() {
            return Err(archive(path, "`.stead` is Stead's own, and no part of a workspace"));
        }
        check(&path, path.names().len().saturating_sub(1) as u64, self.intake.limits.depth as u64, "levels")?;
        self.count(&path)?;
        Ok(path)
    }

    fn count(&mut self, path: &TreePath) -> Result<(), WorkspaceError> {
        self.intake.tally.entry(&self.intake.limits, path)
    }

    /// Puts an entry there. A path that was there before has the later one.
    pub(super) fn put(&mut self, path: &TreePath, node: Node) -> Result<(), WorkspaceError> {
        let made = self.layer.put(path, node).map_err(|e| archive(path, e))?;
        let dirs = path.names().len().saturating_sub(1);
        for n in dirs.saturating_sub(made as usize)..path.names().len() {
            if n < dirs {
                self.count(path)?;
            }
            self.intake.tally.words(path.names()[n].as_bytes().len(), path)?;
        }
        Ok(())
    }

    /// A directory. The top is one already.
    pub(super) fn directory(&mut self, path: &TreePath) -> Result<(), WorkspaceError> {
        if path.names().is_empty() {
            return Ok(());
        }
        let fresh = self.layer.fresh;
        self.put(path, Node::Folder(Folder { fresh, ..Folder::default() }))
    }

    /// A link.
    pub(super) fn link(&mut self, path: &TreePath, target: &[u8]) -> Result<(), WorkspaceError> {
        if target.is_empty() || target.contains(&0) {
            return Err(archive(path, "a link to nothing"));
        }
        check(path, target.len() as u64, crate::MAX_PATH as u64, "bytes of a link's target")?;
        self.intake.tally.words(target.len(), path)?;
        self.put(path, Node::Leaf(Leaf::Symlink(target.into())))
    }

    /// A file, which must have the size that was said.
    pub(super) fn file(
        &mut self,
        path: &TreePath,
        exec: bool,
        size: u64,
        reader: &mut dyn Read,
    ) -> Result<(), WorkspaceError> {
        let file = self.read(path, exec, size, reader)?;
        self.put(path, Node::Leaf(Leaf::File(file)))
    }

    fn read(
        &mut self,
        path: &TreePath,
        exec: bool,
        size: u64,
        reader: &mut dyn Read,
    ) -> Result<FileEntry, WorkspaceError> {
        let file = self.intake.file(path, exec, Some(size), reader).map_err(|e| match e {
            // What failed is the archive, and it says where.
            WorkspaceError::Disk { what, .. } if self.left.spent() => self.too_long(path, what),
            WorkspaceError::Disk { what, .. } => archive(path, what),
            e => e,
        })?;
        if file.size != size {
            return Err(archive(path, format!("it has {} bytes and was said to have {size}", file.size)));
        }
        Ok(file)
    }

    /// What a reading error means: that the archive is too long, or that it is broken.
    pub(super) fn broken(&self, entry: impl ToString, error: &dyn std::fmt::Display) -> WorkspaceError {
        if self.left.spent() { self.too_long(entry, error.to_string()) } else { archive(entry, error) }
    }

    fn too_long(&self, path: impl ToString, what: String) -> WorkspaceError {
        WorkspaceError::Limit { path: path.to_string(), what, most: self.intake.limits.archive }
    }
}

/// An archive that is refused.
pub(super) fn archive(entry: impl ToString, what: impl ToString) -> WorkspaceError {
    WorkspaceError::Archive { entry: entry.to_string(), what: what.to_string() }
}
