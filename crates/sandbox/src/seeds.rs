//! The process that will be the command, as its init knows it: made, told, and become what it is to be. One of a box's own shares its
//! init's memory until then ([`crate::twin`]); one that a zygote forked is spoken with by a socket.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use parking_lot::Mutex;
use rustix::process::{Pid, WaitOptions};

use crate::{
    fault::{At, Fault},
    privileges,
    seccomp::Filters,
    seed, sys,
    twin::{self, Stack, Turn},
    wire::{self, Failure, Go, Plan, Sprout},
};

/// What an init and a seed that shares its memory tell each other. Whoever has the turn reads and writes.
pub(crate) struct Between {
    pub(crate) turn: Turn,
    /// What the seed is to become, and the numbers of its streams.
    pub(crate) order: Mutex<Option<(Plan, Vec<RawFd>)>>,
    pub(crate) said: Mutex<Option<Said>>,
}

/// What a seed has said last.
pub(crate) enum Said {
    /// It has given up its rights, and this is the listener of its filter, if there can be one.
    Bare(Option<OwnedFd>),
    Failed(Failure),
    /// Another process is what it was to be; it ends.
    Left(Pid),
}

enum Hold {
    Shared(&'static Between),
    Socket(OwnedFd),
}

/// See the module.
pub(crate) struct Seed {
    hold: Hold,
    pub(crate) pid: Pid,
    listener: Option<OwnedFd>,
}

/// What it has become.
pub(crate) struct Become {
    pub(crate) command: Pid,
    /// Why it is no fork of a zygote after all, though it was to be one.
    pub(crate) cold: Option<String>,
}

impl Seed {
    /// A fork of a zygote's, which has given up its rights.
    pub(crate) fn of_zygote(socket: OwnedFd, pid: Pid) -> Self {
        Self { hold: Hold::Socket(socket), pid, listener: None }
    }

    /// Makes one. Returns when it has given up its rights.
    pub(crate) fn own(root: bool, filters: &Filters, stack: &Stack) -> Result<Self, Fault> {
        let between = Between { turn: Turn::new(), order: Mutex::new(None), said: Mutex::new(None) };
        // It lives as long as this process does.
        let between: &'static Between = Box::leak(Box::new(between));
        let child: Box<dyn FnMut() + '_> = Box::new(move || seed::run(root, filters, between));
        let (pid, there) = twin::fork(&between.turn, stack, child).at("starting the command's process")?;
        // It opened its own files, and with them these, to write who it is.
        privileges::close_memory()?;
        match between.said.lock().take() {
            Some(Said::Bare(listener)) if there => Ok(Self { hold: Hold::Shared(between), pid, listener }),
            Some(Said::Failed(Failure::Host(why) | Failure::Spec(why) | Failure::Command(why))) => Err(Fault(why)),
            _ => Err(Fault("the command's process died while it gave its rights up".to_owned())),
        }
    }

    /// The listener of its filter. It can be taken once.
    pub(crate) fn listener(&mut self) -> Option<OwnedFd> {
        self.listener.take()
    }

    /// Tells it what to become, and returns when it has.
    pub(crate) fn go(self, plan: Plan, streams: &[BorrowedFd<'_>]) -> Result<Become, Failure> {
        let host = |Fault(why): Fault| Failure::Host(why);
        match self.hold {
            Hold::Socket(socket) => by_socket(&socket, plan, streams, self.pid),
            Hold::Shared(between) => {
                *between.order.lock() = Some((plan, streams.iter().map(AsRawFd::as_raw_fd).collect()));
                between.turn.to_child();
                match between.said.lock().take() {
                    Some(Said::Failed(failure)) => Err(failure),
                    Some(Said::Left(command)) => {
                        // It is about to end, and nobody else waits for it.
                        rustix::io::retry_on_intr(|| rustix::process::waitpid(Some(self.pid), WaitOptions::empty()))
                            .at("waiting for a process that has left another")
                            .map_err(host)?;
                        Ok(Become { command, cold: None })
                    }
                    Some(Said::Bare(_)) | None => Ok(Become { command: self.pid, cold: None }),
                }
            }
        }
    }
}

fn by_socket(socket: &OwnedFd, plan: Plan, streams: &[BorrowedFd<'_>], command: Pid) -> Result<Become, Failure> {
    let host = |Fault(why): Fault| Failure::Host(why);
    wire::send(socket, &Go { plan }, streams, true).at("telling the command").map_err(host)?;
    let (mut room, mut cold) = (wire::buffer(), None);
    // The end of this conversation means that it has become the command.
    loop {
        match wire::receive(socket.as_fd(), &mut room, true) {
            Ok(Some((Sprout::Failed(failure), _))) => return Err(failure),
            Ok(Some((Sprout::Cold(why), _))) if cold.is_none() => cold = Some(why),
            Ok(None) => return Ok(Become { command, cold }),
            Ok(Some(_)) | Err(_) => {
                return Err(Failure::Host("the command's process answered with nonsense".to_owned()));
            }
        }
    }
}

/// In a seed: says something for the last time, and ends.
pub(crate) fn end(between: &Between, said: Said) -> ! {
    *between.said.lock() = Some(said);
    sys::exit(127)
}
