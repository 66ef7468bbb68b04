//! The seam between a box and the workspace that it wrote: what was written is read only when nothing writes any more.
//!
//! Not here: boxes (`stead-sandbox`) and trees (`stead-workspace`); those two do not know each other.

use std::{io, os::fd::OwnedFd};

/// Proof that a box writes no more: its last process was reaped, or all of them are frozen.
///
/// **Implement it only for a type of which a value cannot be had earlier**: one that is made by waiting for the last process of
/// the box, or by the freezer having told that every process stands still, and that thaws nothing before it is dropped. A commit
/// borrows it until it is done; that is how "commit only when the box is dead or frozen" is held.
pub trait Still: Send + Sync {
    /// What was written, as directories that are read below these descriptors only.
    ///
    /// # Errors
    /// When the directory cannot be opened.
    fn written(&self) -> io::Result<Written>;
}

/// Where what was written stands.
#[derive(Debug)]
pub enum Written {
    /// The upper directory of an overlay whose one lower directory was the workspace before. It was mounted with `index=off`,
    /// `metacopy=off` and `redirect_dir=nofollow` (or `off`), and is not mounted any more, or is frozen.
    Upper {
        /// The directory, opened for reading.
        dir: OwnedFd,
        /// Where that overlay keeps its own marks.
        marks: Marks,
    },
    /// A directory with the whole workspace, written to in place.
    Whole {
        /// The directory, opened for reading.
        dir: OwnedFd,
    },
}

/// The namespace of extended attributes in which an overlay keeps what it knows (`userxattr` of its mount options).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// `trusted.overlay.`: a mount made by root.
    Trusted,
    /// `user.overlay.`: a mount with `userxattr`, as in a user namespace.
    User,
}
