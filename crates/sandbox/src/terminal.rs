//! A terminal of the box's own: a pair from a `devpts` of its own, so that no terminal of the host is ever in reach.

use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
    os::unix::fs::fchown,
    path::Path,
};

use rustix::{
    mount::MountAttrFlags,
    pty::OpenptFlags,
    termios::{Winsize, tcsetwinsize},
};

use crate::{
    fault::{At, Fault},
    root::{filesystem, hang},
};

/// Both ends.
pub(crate) struct Terminal {
    /// What the server reads and writes.
    pub(crate) outer: OwnedFd,
    /// What the command has.
    pub(crate) inner: OwnedFd,
}

/// Rows and columns as the kernel takes them.
pub(crate) fn size((rows, columns): (u16, u16)) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// Makes the place of a box's terminals.
pub(crate) fn place() -> Result<(), Fault> {
    let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let options = [("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620"), ("max", "64")];
    hang(filesystem("devpts", &options, flags)?, Path::new("/dev/pts"))
}

/// Makes one, and its place.
pub(crate) fn open(dimensions: (u16, u16), user: u32) -> Result<Terminal, Fault> {
    place()?;
    let terminal = pair(dimensions)?;
    fchown(terminal.inner.as_fd(), Some(user), Some(user)).at("giving the terminal away")?;
    Ok(terminal)
}

/// Makes one that belongs to the user of this process.
pub(crate) fn pair(dimensions: (u16, u16)) -> Result<Terminal, Fault> {
    let outer = fs::File::options().read(true).write(true).open("/dev/pts/ptmx").at("opening a terminal")?;
    let outer = OwnedFd::from(outer);
    rustix::pty::unlockpt(&outer).at("unlocking a terminal")?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let inner = rustix::pty::ioctl_tiocgptpeer(&outer, flags).at("opening the terminal's other end")?;
    tcsetwinsize(&outer, size(dimensions)).at("setting the terminal's size")?;
    Ok(Terminal { outer, inner })
}
