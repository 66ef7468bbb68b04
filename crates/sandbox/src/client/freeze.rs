//! A box that stands still, and lets go on when it is dropped.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use stead_ports::{
    sandbox::BoxError,
    workspace::{Marks, Still, Written},
};

use crate::cgroup;

/// How long all processes of a box may take to stand still. One that waits for a disk stands still only after that.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks: the kernel does not tell of it in version 1.
const PAUSE: Duration = Duration::from_millis(1);

struct Frozen {
    freezer: OwnedFd,
    layer: OwnedFd,
    marks: Marks,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if let Err(error) = cgroup::thaw(self.freezer.as_fd()) {
            // Of a box that was killed meanwhile, the group may be gone.
            tracing::debug!(%error, "a sandbox cannot be thawed");
        }
    }
}

impl Still for Frozen {
    fn written(&self) -> io::Result<Written> {
        Ok(Written::Upper { dir: self.layer.try_clone()?, marks: self.marks })
    }
}

/// Freezes the box of that group, and waits until it stands still. It is thawed if it does not in time, and when nobody waits.
pub(super) async fn freeze(freezer: OwnedFd, layer: OwnedFd, root: bool) -> Result<Box<dyn Still>, BoxError> {
    let marks = if root { Marks::Trusted } else { Marks::User };
    let frozen = Frozen { freezer, layer, marks };
    let lost = |e: rustix::io::Errno| BoxError::Lost(format!("it cannot be frozen: {}", io::Error::from(e)));
    cgroup::freeze(frozen.freezer.as_fd()).map_err(lost)?;
    let until = Instant::now() + PATIENCE;
    while !cgroup::is_frozen(frozen.freezer.as_fd()) {
        if Instant::now() >= until {
            return Err(BoxError::Lost(format!("it did not stand still within {} s", PATIENCE.as_secs())));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(Box::new(frozen))
}
