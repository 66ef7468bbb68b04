//! A helper of the launcher that lets go of what dead boxes leave. The last holder of a mount namespace takes it down, for a
//! millisecond or more; that is not the box's init, whose end an action waits for, nor the launcher, but this.

use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Pid, Signal, WaitOptions};

use crate::{
    fault::{At, Fault},
    privileges, sys, wire,
};

/// The helper, seen from the launcher.
pub(super) struct Undertaker {
    socket: OwnedFd,
    pid: Pid,
}

impl Undertaker {
    /// Starts it.
    pub(super) fn start() -> Result<Self, Fault> {
        let (ours, its) = wire::pair().at("making a socket")?;
        match sys::fork().at("starting the undertaker")? {
            Some(pid) => Ok(Self { socket: ours, pid }),
            None => {
                drop(ours);
                work(&its)
            }
        }
    }

    /// Gives it something to let go of. If it has its hands full, that is done here.
    pub(super) fn take(&self, remains: OwnedFd) {
        let _ = wire::send(&self.socket, &(), &[remains.as_fd()], false);
    }

    /// Ends it.
    pub(super) fn close(self) {
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        let _ = rustix::process::waitpid(Some(self.pid), WaitOptions::empty());
    }
}

fn work(socket: &OwnedFd) -> ! {
    // A launcher that died before this was said has closed its end.
    let _ = privileges::die_with_parent();
    let Ok(socket) = sys::keep_only(socket.as_fd()) else { sys::exit(1) };
    let mut room = wire::buffer();
    while let Ok(Some(((), remains))) = wire::receive::<()>(&socket, &mut room, true) {
        drop(remains);
    }
    sys::exit(0)
}
