//! A terminal of the box's own: a pair from a `devpts` of its own, so that no terminal of the host is ever in reach.

use std::{os::fd::AsFd, os::unix::fs::fchown, path::Path};

use rustix::mount::MountAttrFlags;
use stead_tier::pty::{self, Pair};

use crate::{
    fault::{At, Fault},
    root::{filesystem, hang},
};

/// Makes the place of a box's terminals.
pub(crate) fn place() -> Result<(), Fault> {
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let options = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), ("max", "64")];
    hang(filesystem("devpts", &options, flags)?, Path::new("/dev/pts"))
}

/// Makes one, and its place.
pub(crate) fn open(dimensions: (u16, u16), user: u32) -> Result<Pair, Fault> {
    place()?;
    let terminal = pair(dimensions)?;
    fchown(terminal.inner.as_fd(), Some(user), Some(user)).at("giving the terminal away")?;
    Ok(terminal)
}

/// Makes one that belongs to the user of this process.
pub(crate) fn pair(dimensions: (u16, u16)) -> Result<Pair, Fault> {
    pty::pair(Path::new("/dev/pts/ptmx"), dimensions)
}
