//! A helper of the launcher that lets go of what dead boxes leave. The last holder of a namespace of mounts or of a network takes it
//! down, for a millisecond or more; that is not the box's init, whose end an action waits for, nor the launcher, but this. It lets
//! go of several at once, for what the kernel does for one network it does for all that wait.

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    io::Errno,
    process::{Pid, Signal, WaitOptions},
};

use crate::{
    fault::{At, Fault},
    privileges, sys, wire,
};

/// Most dead boxes that are held.
const AT_ONCE: usize = 16;

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
    pub(super) fn take(&self, remains: &[OwnedFd]) {
        let remains: Vec<_> = remains.iter().map(AsFd::as_fd).collect();
        let _ = wire::send(&self.socket, &(), &remains, false);
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
    let (mut room, mut held) = (wire::buffer(), Vec::new());
    loop {
        let more = match wire::receive::<()>(&socket, &mut room, false) {
            Err(Errno::AGAIN) => wait(&socket, held.is_empty()),
            Ok(Some(((), remains))) => {
                held.push(remains);
                held.len() < AT_ONCE
            }
            Ok(None) | Err(_) => sys::exit(0),
        };
        if !more {
            // First the mounts, each of which takes its time, then the networks, close together.
            while held.iter().any(|remains| !remains.is_empty()) {
                held.iter_mut().for_each(|remains| drop((!remains.is_empty()).then(|| remains.remove(0))));
            }
            held.clear();
        }
    }
}

/// Waits for more. `false`: none came for a while.
fn wait(socket: &OwnedFd, empty: bool) -> bool {
    let mut watched = [PollFd::new(socket, PollFlags::IN)];
    let patience = (!empty).then_some(Timespec { tv_sec: 0, tv_nsec: 20_000_000 });
    !matches!(rustix::event::poll(&mut watched, patience.as_ref()), Ok(0))
}
