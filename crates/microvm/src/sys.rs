//! The two calls that no library of ours wraps safely.

#![expect(unsafe_code, reason = "system calls without a safe wrapper; each block says why it holds")]

use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

use rustix::{io::Errno, thread::UnshareFlags};

/// Leaves namespaces for new ones.
pub(crate) fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    debug_assert!(!flags.contains(UnshareFlags::FILES));
    // SAFETY: no flag here unshares the table of descriptors, on which safe code relies.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Takes a descriptor that the process that started this one left open for it, once.
pub(crate) fn inherited(number: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: only asks for flags; a number that is not open is refused.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } == -1 {
        return Err(Errno::BADF);
    }
    // SAFETY: it is open, and its number came with the arguments of this process: nothing in here knows it yet.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC)?;
    Ok(descriptor)
}
