//! By `/proc`, pidfd_open(2) and prctl(2).

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{self, Errno},
    process::{PidfdFlags, Signal, getuid, pidfd_open, set_parent_process_death_signal},
};
use tokio::sync::watch;

use super::pid;

/// Whether there is a process of this number, whoever's it is.
pub(crate) fn lives(process: u32) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

/// Whether there is a process of this number, and it runs as this user.
pub(crate) fn is_mine(process: u32) -> bool {
    fs::metadata(format!("/proc/{process}")).is_ok_and(|process| process.uid() == getuid().as_raw())
}

/// Watches a process from a thread of its own, which lasts as long as either of the two processes. `None` when it has
/// ended already.
pub(crate) fn end_of(process: u32) -> Option<watch::Receiver<bool>> {
    let process = pidfd_open(pid(process)?, PidfdFlags::empty()).ok()?;
    let (tell, ended) = watch::channel(false);
    std::thread::spawn(move || {
        // Readable once the process has ended (pidfd_open(2)).
        while poll(&mut [PollFd::new(&process, PollFlags::IN)], None) == Err(Errno::INTR) {}
        tell.send_replace(true);
    });
    Some(ended)
}

/// Has the kernel end this process with its parent. The kernel keeps that over `exec` (`PR_SET_PDEATHSIG`), which is why it
/// needs no `unsafe` code between fork and exec.
pub(crate) fn end_with(_parent: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))
}
