//! Starts a zygote: a process with no network, no descriptor but its socket, the user of boxes, and of all rights the two that
//! entering a box needs. A filter of system calls leaves it nothing else to do with them.

use std::{
    ffi::CString,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    net::{
        SendFlags, Shutdown,
        sockopt::{self, Timeout},
    },
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions},
    thread::UnshareFlags,
};
use stead_tier::program;

use crate::{
    fault::{At, Fault},
    privileges,
    seccomp::Filter,
    sys, wire,
};

/// The interpreter's first lines: the rest comes through its socket. It has built-in functions of its own, so that an action that
/// changes those of Python does not change what ends it.
const FIRST: &str = "import socket\nchannel = socket.socket(fileno=3)\n\
                     exec(compile(channel.recv(1 << 18), '<zygote>', 'exec'), {'__name__': 'zygote', 'channel': channel, \
                     '__builtins__': dict(vars(__builtins__))})\n";

/// How long the launcher, which has other things to do, waits for one that has its hands full.
const PATIENCE: Duration = Duration::from_millis(50);

/// A zygote, seen from the launcher.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) socket: OwnedFd,
    pid: Pid,
    pidfd: OwnedFd,
}

impl Process {
    /// Starts one. `root`: whether the launcher is root.
    pub(super) fn start(root: bool, path: &str, filter: &Filter, program: &str) -> Result<Self, Fault> {
        let (ours, its) = wire::pair().at("making a socket")?;
        let sent = rustix::net::send(&ours, program.as_bytes(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        sent.at("sending a zygote its program")?;
        sockopt::set_socket_timeout(&ours, Timeout::Send, Some(PATIENCE)).at("preparing a zygote's socket")?;
        let Some(pid) = sys::fork().at("starting a zygote")? else {
            drop(ours);
            // Nobody is there to be told but by the end of the socket.
            let _ = become_interpreter(root, path, filter, &its);
            sys::exit(127)
        };
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty());
        match pidfd.at("holding a zygote") {
            Ok(pidfd) => Ok(Self { socket: ours, pid, pidfd }),
            Err(fault) => {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
                let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
                Err(fault)
            }
        }
    }

    /// Ends it. What it has forked lives on. It is let go first, for it waits for the processes between, which nobody else may
    /// ever wait for; that takes milliseconds.
    pub(super) fn end(self) {
        const SECOND: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
        let mut ended = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let _ = rustix::io::retry_on_intr(|| rustix::event::poll(&mut ended, Some(&SECOND)));
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        let _ = rustix::io::retry_on_intr(|| {
            rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED)
        });
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }
}

fn become_interpreter(root: bool, path: &str, filter: &Filter, socket: &OwnedFd) -> Result<(), Fault> {
    privileges::die_with_parent()?;
    let socket = sys::keep_only(socket.as_fd()).at("closing descriptors")?;
    sys::put_at(socket.as_fd(), sys::KEPT).at("keeping the socket")?;
    sys::unshare(UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS)
        .at("making the namespaces of a zygote")?;
    rustix::process::setsid().at("starting a session")?;
    privileges::bare_zygote(root)?;
    sys::default_signal(libc::SIGPIPE);
    rustix::process::umask(rustix::fs::Mode::from(0o022));
    filter.load().at("loading the filter of system calls")?;
    let strings = |words: &[String]| words.iter().filter_map(|w| CString::new(w.as_str()).ok()).collect::<Vec<_>>();
    let words = strings(&[path.to_owned(), "-c".to_owned(), FIRST.to_owned()]);
    Err(sys::exec(&words[0], &words, &strings(&program::environment(&[])))).at("starting the interpreter")
}
