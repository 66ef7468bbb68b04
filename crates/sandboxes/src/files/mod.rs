//! The files of a sandbox, reached from outside while it runs. Whoever is inside changes them at the same time and means harm: a folder
//! becomes a link between two looks, a file a pipe. So every name is opened below the descriptor of its folder, with
//! `RESOLVE_BENEATH` and `RESOLVE_NO_MAGICLINKS` (openat2(2)); what was opened is looked at by its descriptor, and nothing is looked at
//! twice by its name.
//!
//! * `place` turns a path into a folder and a name; `look` tells what is there; `read` and `write` move bytes; `change` makes,
//!   moves and removes; `watch` hears of changes.

mod change;
mod look;
mod place;
mod read;
mod watch;
mod write;

use std::{os::fd::OwnedFd, sync::Arc};

use stead_ports::sandbox::Session;
use tokio::sync::{OwnedRwLockReadGuard, RwLock, Semaphore};

pub use look::{Kind, Listing, Stat};
pub use read::Reader;
pub use watch::{Event, Happened, Watch};
pub use write::Upload;

use crate::{PathFault, SandboxesError};
use place::Spot;

/// The files of one sandbox. Paths are absolute, and below one of its writable folders: `/workspace`, `/tmp`, `/home/box`.
pub struct Files {
    session: Arc<dyn Session>,
    writing: Arc<RwLock<()>>,
    watches: Arc<Semaphore>,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Files")
    }
}

impl Files {
    pub(crate) fn new(session: &Arc<dyn Session>, writing: Arc<RwLock<()>>, watches: Arc<Semaphore>) -> Self {
        Self { session: Arc::clone(session), writing, watches }
    }

    /// Does something at a path, on a thread that may block.
    async fn at<T: Send + 'static>(
        &self,
        path: &str,
        work: impl FnOnce(&Spot) -> Result<T, PathFault> + Send + 'static,
    ) -> Result<T, SandboxesError> {
        let spot = place::find(&*self.session, path).map_err(|why| SandboxesError::path(path, why))?;
        blocking(path, move || work(&spot)).await
    }

    /// While this is held no snapshot is taken.
    async fn writes(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.writing).read_owned().await
    }
}

async fn blocking<T: Send + 'static>(
    path: &str,
    work: impl FnOnce() -> Result<T, PathFault> + Send + 'static,
) -> Result<T, SandboxesError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.unwrap_or_else(|e| Err(PathFault::System(e.to_string())));
    done.map_err(|why| SandboxesError::path(path, why))
}

/// Gives what was made from outside to the box's user.
fn give(made: &OwnedFd, (user, group): (u32, u32)) -> Result<(), PathFault> {
    let (user, group) = (rustix::process::Uid::from_raw(user), rustix::process::Gid::from_raw(group));
    match rustix::fs::fchown(made, Some(user), Some(group)) {
        // Without the right to do so it is the same user already.
        Ok(()) | Err(rustix::io::Errno::PERM) => Ok(()),
        Err(e) => Err(e.into()),
    }
}
