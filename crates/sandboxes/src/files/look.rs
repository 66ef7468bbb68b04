//! What is at a place: one entry, or all of a folder.

use std::{ffi::CStr, os::fd::OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, OFlags};
use serde::Serialize;
use stead_core::time::Timestamp;

use super::Files;
use crate::{PathFault, SandboxesError, limits::LISTED};

/// What something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A pipe, socket or device.
    Other,
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its name; what is no UTF-8 in it is replaced.
    pub name: String,
    /// What it is. No link is followed.
    pub kind: Kind,
    /// Bytes of a file.
    pub size: u64,
    /// Its permissions, the lowest nine bits.
    pub mode: u32,
    /// When it was last written.
    pub modified: Timestamp,
    /// Where a link leads.
    pub target: Option<String>,
}

/// A folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Its entries, by name.
    pub entries: Vec<Stat>,
    /// Whether it has more than are listed.
    pub more: bool,
}

impl Files {
    /// What is there. A link at the end of the path is not followed.
    ///
    /// # Errors
    /// ST0202 when nothing is there, ST0324 for a path that does not do.
    pub async fn stat(&self, path: &str) -> Result<Stat, SandboxesError> {
        self.at(path, |spot| {
            if spot.below.is_empty() {
                let found = rustix::fs::fstat(&spot.folder)?;
                return Ok(stat("", &found, None));
            }
            let (parent, name) = spot.parent()?;
            one(&parent, name)
        })
        .await
    }

    /// The entries of a folder.
    ///
    /// # Errors
    /// As [`Files::stat`].
    pub async fn list(&self, path: &str) -> Result<Listing, SandboxesError> {
        self.at(path, |spot| {
            let folder = spot.open(OFlags::RDONLY | OFlags::DIRECTORY)?;
            let (mut entries, mut more) = (Vec::new(), false);
            for entry in Dir::read_from(&folder)? {
                let entry = entry?;
                if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                    continue;
                }
                if entries.len() == LISTED {
                    more = true;
                    break;
                }
                match named(&folder, entry.file_name()) {
                    Ok(found) => entries.push(found),
                    // It went while it was looked at.
                    Err(PathFault::Absent) => {}
                    Err(other) => return Err(other),
                }
            }
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(Listing { entries, more })
        })
        .await
    }
}

fn one(folder: &OwnedFd, name: &str) -> Result<Stat, PathFault> {
    let name = std::ffi::CString::new(name).map_err(|_| PathFault::Absent)?;
    named(folder, &name)
}

fn named(folder: &OwnedFd, name: &CStr) -> Result<Stat, PathFault> {
    let found = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let target = match FileType::from_raw_mode(found.st_mode) {
        // Another thing may be there by now; then it has no target.
        FileType::Symlink => rustix::fs::readlinkat(folder, name, Vec::new()).ok(),
        _ => None,
    };
    Ok(stat(&name.to_string_lossy(), &found, target.map(|t| t.to_string_lossy().into_owned())))
}

fn stat(name: &str, found: &rustix::fs::Stat, target: Option<String>) -> Stat {
    let kind = match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Folder,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    };
    let size = if kind == Kind::File { u64::try_from(found.st_size).unwrap_or(0) } else { 0 };
    let modified =
        found.st_mtime.saturating_mul(1_000_000).saturating_add(i64::try_from(found.st_mtime_nsec / 1000).unwrap_or(0));
    Stat { name: name.to_owned(), kind, size, mode: found.st_mode & 0o777, modified: Timestamp(modified), target }
}
