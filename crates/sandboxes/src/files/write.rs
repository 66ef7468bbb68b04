//! Writing a file: it is there whole, or as it was before.

use std::{fs::File, io::Write as _, os::fd::OwnedFd, sync::Arc};

use bytes::Bytes;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use tokio::sync::OwnedRwLockReadGuard;

use super::{Files, blocking, give};
use crate::{PathFault, SandboxesError, limits::FILE};

/// A file that is being written, beside the place that it is for. Dropped before [`Upload::finish`], nothing of it is left.
#[derive(Debug)]
pub struct Upload {
    path: String,
    draft: Option<Arc<Draft>>,
    mode: Mode,
    bytes: u64,
    _writes: OwnedRwLockReadGuard<()>,
}

#[derive(Debug)]
struct Draft {
    file: File,
    parent: OwnedFd,
    name: String,
    draft: String,
    placed: std::sync::atomic::AtomicBool,
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.placed.load(std::sync::atomic::Ordering::Relaxed) {
            // If somebody inside took it away, there is nothing to do.
            let _ = rustix::fs::unlinkat(&self.parent, &self.draft, AtFlags::empty());
        }
    }
}

impl Files {
    /// Begins to write a file. Its folder must be there; a file or link that has its name is replaced at the end. `mode` is its lowest nine
    /// bits: by default 0644.
    ///
    /// # Errors
    /// ST0202 when the folder is not there, ST0324 for a path that does not do, ST0327 when there is no room.
    pub async fn upload(&self, path: &str, mode: Option<u32>) -> Result<Upload, SandboxesError> {
        let writes = self.writes().await;
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|e| SandboxesError::path(path, PathFault::System(format!("no random bytes: {e}"))))?;
        let draft = format!(".stead-{:016x}", u64::from_ne_bytes(random));
        let draft = self
            .at(path, move |spot| {
                let (parent, name) = spot.parent()?;
                if is_folder(&parent, name) {
                    return Err(PathFault::Kind("it is a folder"));
                }
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = rustix::fs::openat(&parent, &draft, flags, Mode::from(0o600))?;
                let name = name.to_owned();
                give(&file, spot.owner)?;
                let placed = std::sync::atomic::AtomicBool::new(false);
                Ok(Draft { file: file.into(), parent, name, draft, placed })
            })
            .await?;
        let mode = Mode::from(mode.unwrap_or(0o644) & 0o777);
        Ok(Upload { path: path.to_owned(), draft: Some(Arc::new(draft)), mode, bytes: 0, _writes: writes })
    }
}

fn is_folder(parent: &OwnedFd, name: &str) -> bool {
    let found = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
    found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Directory)
}

impl Upload {
    /// Adds bytes.
    ///
    /// # Errors
    /// ST0327 when the file is too long, or the sandbox has no room for it.
    pub async fn write(&mut self, piece: Bytes) -> Result<(), SandboxesError> {
        self.bytes += piece.len() as u64;
        if self.bytes > FILE {
            return Err(SandboxesError::path(
                &self.path,
                PathFault::Full("a file that is written has at most 512 MiB"),
            ));
        }
        let Some(draft) = self.draft.clone() else { return Ok(()) };
        blocking(&self.path, move || Ok((&draft.file).write_all(&piece)?)).await
    }

    /// Puts it in its place. Bytes of the file.
    ///
    /// # Errors
    /// ST0324 when something is there that cannot be replaced.
    pub async fn finish(mut self) -> Result<u64, SandboxesError> {
        let mode = self.mode;
        if let Some(draft) = self.draft.take() {
            blocking(&self.path, move || {
                rustix::fs::fchmod(&draft.file, mode)?;
                rustix::fs::renameat(&draft.parent, &draft.draft, &draft.parent, &draft.name)?;
                draft.placed.store(true, std::sync::atomic::Ordering::Relaxed);
                Ok(())
            })
            .await?;
        }
        Ok(self.bytes)
    }
}
