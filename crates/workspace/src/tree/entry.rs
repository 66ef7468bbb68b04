//! What an entry of a directory can be. Nothing else is kept: no owner, time, device, pipe, socket, setuid bit, extended
//! attribute, and no hard link (two names of one file are two equal files).

use stead_core::id::{BlobId, TreeId};

/// A file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileEntry {
    /// Whether it may be executed.
    pub exec: bool,
    /// Its length in bytes.
    pub size: u64,
    /// The address of its bytes, or of the list of its chunks when it is longer than one ([`crate::chunk`]).
    pub content: BlobId,
}

/// A directory, with what is below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Its address.
    pub tree: TreeId,
    /// Files, links and directories below it.
    pub entries: u64,
    /// Bytes of the files below it.
    pub bytes: u64,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A file.
    File(FileEntry),
    /// A symbolic link: the bytes of its target, 1 to 4,095, without NUL. Nothing here ever follows it.
    Symlink(Box<[u8]>),
    /// A directory.
    Directory(DirEntry),
}

impl Entry {
    /// Bytes of files in it.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::File(f) => f.size,
            Self::Symlink(_) => 0,
            Self::Directory(d) => d.bytes,
        }
    }

    /// Itself, and all below it.
    pub fn count(&self) -> u64 {
        match self {
            Self::File(_) | Self::Symlink(_) => 1,
            Self::Directory(d) => d.entries.saturating_add(1),
        }
    }
}

/// An entry without anything below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// A file.
    File(FileEntry),
    /// A symbolic link, with its target.
    Symlink(Box<[u8]>),
}

impl From<Leaf> for Entry {
    fn from(leaf: Leaf) -> Self {
        match leaf {
            Leaf::File(file) => Self::File(file),
            Leaf::Symlink(target) => Self::Symlink(target),
        }
    }
}
