//! Opening one name below a directory, and nothing beyond it.
//!
//! Everything is opened by `openat2(2)` with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV`, one name at
//! a time, from the descriptor of the directory that it was seen in. Whoever swaps a directory for a link in between makes the
//! open fail; there is no moment in which it could lead elsewhere.

use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
};

/// How often an open is tried again that the kernel could not decide because something was renamed meanwhile.
const TRIES: usize = 64;

const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// Opens a directory to read its entries.
pub(crate) fn directory(dir: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    owned(dir, name, OFlags::RDONLY | OFlags::DIRECTORY, 0o700)
}

/// Opens what should be a plain file, to read it: without waiting for the other end of a pipe, and without a terminal becoming
/// ours.
pub(crate) fn file(dir: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    owned(dir, name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, 0o600)
}

/// Opens what may be closed to its own owner, who is us: then it is opened up first.
fn owned(dir: impl AsFd, name: &[u8], flags: OFlags, mode: u32) -> Result<OwnedFd, Errno> {
    match open(&dir, name, flags) {
        Err(Errno::ACCESS) => {
            let path = open(&dir, name, OFlags::PATH | OFlags::NOFOLLOW)?;
            // A descriptor of a path cannot be changed itself; the name of the descriptor can.
            let proc = format!("/proc/self/fd/{}", path.as_raw_fd());
            rustix::fs::chmod(proc, Mode::from_raw_mode(mode)).map_err(|_| Errno::ACCESS)?;
            open(&dir, name, flags)
        }
        opened => opened,
    }
}

fn open(dir: impl AsFd, name: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut tries = 0;
    loop {
        match openat2(&dir, name, flags, Mode::empty(), RESOLVE) {
            Err(Errno::AGAIN | Errno::INTR) if tries < TRIES => tries += 1,
            opened => return opened,
        }
    }
}
