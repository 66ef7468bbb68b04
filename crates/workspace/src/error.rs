//! What can go wrong with a workspace, each with its stable code.

use std::io;

use stead_core::{
    code::{self, Code},
    id::{BlobId, TreeId},
};
use stead_ports::journal::StoreError;

use crate::name::BadName;

/// Why a workspace was not read, written, made or kept. Nothing of what was asked has happened then: the tree before stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkspaceError {
    /// More than a workspace may have.
    #[error("{path}: {what} is more than the {most} that a workspace may have")]
    Limit {
        /// Where.
        path: String,
        /// What there is too much of, with its number.
        what: String,
        /// How much there may be.
        most: u64,
    },
    /// Something that no workspace may hold.
    #[error("{path}: {what} may not be part of a workspace; nothing of it was kept")]
    Forged {
        /// Where.
        path: String,
        /// What it is.
        what: &'static str,
    },
    /// A part of a stored tree is not there.
    #[error("{0} of a workspace is missing from the store; restore it from a backup")]
    Missing(BlobId),
    /// A part of a stored tree is not what such a part must be.
    #[error("{tree} is not a directory of a workspace: {what}; restore it from a backup")]
    Damaged {
        /// The part.
        tree: TreeId,
        /// What is wrong.
        what: &'static str,
    },
    /// A path that cannot be one.
    #[error(transparent)]
    Name(#[from] BadName),
    /// A path that leads nowhere, or to something else than was asked for.
    #[error("{path}: {what}")]
    Path {
        /// The path.
        path: String,
        /// Why it does not do.
        what: &'static str,
    },
    /// An archive that cannot be unpacked.
    #[error("{entry}: {what}; nothing of the archive was unpacked")]
    Archive {
        /// Which entry, or the archive.
        entry: String,
        /// What is wrong.
        what: String,
    },
    /// The file system did not do what it was asked.
    #[error("{place}: {what}")]
    Disk {
        /// Where.
        place: String,
        /// What it said.
        what: String,
    },
    /// Something wrote while it was read.
    #[error("{0} changed while it was read: something still writes to this workspace; nothing of it was kept")]
    Moved(String),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl WorkspaceError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Limit { .. } => code::WORKSPACE_LIMIT,
            Self::Forged { .. } => code::WORKSPACE_FORGED,
            Self::Missing(_) | Self::Damaged { .. } => code::WORKSPACE_DAMAGED,
            Self::Name(_) | Self::Path { .. } => code::WORKSPACE_PATH,
            Self::Archive { .. } => code::ARCHIVE_REFUSED,
            Self::Disk { .. } => code::WORKSPACE_DISK,
            Self::Moved(_) => code::WORKSPACE_MOVED,
            Self::Store(e) => e.code,
        }
    }

    pub(crate) fn path(path: impl ToString, what: &'static str) -> Self {
        Self::Path { path: path.to_string(), what }
    }

    pub(crate) fn disk(place: impl ToString, error: impl Into<io::Error>) -> Self {
        Self::Disk { place: place.to_string(), what: error.into().to_string() }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn forged(path: impl ToString, what: &'static str) -> Self {
        Self::Forged { path: path.to_string(), what }
    }
}
