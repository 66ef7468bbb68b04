//! A pair of ends of a terminal from a place of terminals (`devpts`) of a box's own.

use std::{fs::File, os::fd::OwnedFd, path::Path};

use rustix::{
    pty::OpenptFlags,
    termios::{Winsize, tcsetwinsize},
};

use crate::fault::{At, Fault};

/// Both ends.
#[derive(Debug)]
pub struct Pair {
    /// What the server reads and writes.
    pub outer: OwnedFd,
    /// What the command has.
    pub inner: OwnedFd,
}

/// Rows and columns as the kernel takes them.
pub fn size((rows, columns): (u16, u16)) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// Makes one of a size in rows and columns. `ptmx` is the file of the place that makes them; the inner end belongs to the user of
/// this process.
///
/// # Errors
/// What the system said, at which step.
pub fn pair(ptmx: &Path, dimensions: (u16, u16)) -> Result<Pair, Fault> {
    let outer = OwnedFd::from(File::options().read(true).write(true).open(ptmx).at("opening a terminal")?);
    rustix::pty::unlockpt(&outer).at("unlocking a terminal")?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let inner = rustix::pty::ioctl_tiocgptpeer(&outer, flags).at("opening the terminal's other end")?;
    tcsetwinsize(&outer, size(dimensions)).at("setting the terminal's size")?;
    Ok(Pair { outer, inner })
}
