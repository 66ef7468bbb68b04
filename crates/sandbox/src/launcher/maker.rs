//! Making boxes: a process, its groups, its socket. Some are made ahead, so that an action waits neither for namespaces nor
//! for the command's process. A box is used once.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions},
};

use crate::{
    cgroup::{Group, Groups},
    fault::{At, Fault},
    init, private,
    seccomp::Filters,
    sys,
    twin::Stack,
    wire::{self, Go, Plan, Report},
};

/// What all boxes of a launcher share.
pub(super) struct Maker {
    pub(super) groups: Groups,
    pub(super) filters: Filters,
    /// What the seed of a box runs on, in its init's copy of this memory.
    stack: Stack,
    /// Networks of dead boxes in which nobody ever had a socket.
    networks: Vec<OwnedFd>,
    /// Files of `/proc` that boxes do not see.
    telling: Vec<PathBuf>,
    /// Whether the launcher is root.
    pub(super) root: bool,
    /// Who private folders belong to.
    pub(super) user: u32,
    made: u64,
}

/// A box, waiting or at work.
pub(super) struct Made {
    pub(super) number: u64,
    /// The zygote of which its seed is a fork.
    pub(super) zygote: Option<u64>,
    pub(super) group: Group,
    pub(super) socket: OwnedFd,
    pub(super) pidfd: OwnedFd,
    pid: Pid,
}

impl Maker {
    /// Needs `/proc` of the host.
    pub(super) fn new(groups: Groups, root: bool, user: u32) -> Result<Self, Fault> {
        let stack = Stack::new().at("reserving memory for the processes of sandboxes")?;
        let (filters, telling) = (Filters::new(), private::telling());
        Ok(Self { groups, filters, stack, networks: Vec::new(), telling, root, user, made: 0 })
    }

    /// Makes a box, with a seed of its own or one that a zygote forks. It sets itself up while this returns; what it is told
    /// meanwhile waits in its socket.
    pub(super) fn make(&mut self, zygote: Option<u64>) -> Result<Made, Fault> {
        self.made += 1;
        let number = self.made;
        let group = self.groups.make(number)?;
        let network = self.networks.pop();
        let started = wire::pair().and_then(|(ours, its)| {
            let child = sys::fork_init(self.groups.start_in(&group))?;
            let Some(child) = child else {
                drop(ours);
                let (groups, filters, stack) = (&self.groups, &self.filters, &self.stack);
                let (telling, root, user) = (self.telling.as_slice(), self.root, self.user);
                let (group, network, zygote) = (&group, network.as_ref().map(AsFd::as_fd), zygote.is_some());
                let context = init::Context { groups, group, filters, network, stack, telling, root, user, zygote };
                init::run(&context, &its)
            };
            Ok((ours, child))
        });
        match started {
            Ok((socket, child)) => Ok(Made { number, zygote, group, socket, pidfd: child.pidfd, pid: child.pid }),
            Err(e) => {
                self.groups.remove(&group);
                Err(e).at("starting the first process of a sandbox")
            }
        }
    }
}

/// Most networks that are kept for boxes to come.
const NETWORKS: usize = 16;

impl Maker {
    /// Keeps the network of a dead box in which nobody ever had a socket. What cannot be kept is given back.
    pub(super) fn keep(&mut self, network: OwnedFd) -> Option<OwnedFd> {
        if self.networks.len() < NETWORKS {
            self.networks.push(network);
            return None;
        }
        Some(network)
    }
}

impl Made {
    /// Tells what runs.
    pub(super) fn go(&self, plan: Plan, descriptors: &[OwnedFd]) -> Result<(), Errno> {
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        wire::send(&self.socket, &Go { plan }, &descriptors, false)
    }

    /// Kills all that is in it.
    pub(super) fn kill(&self) {
        // One that is dead needs no signal.
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Takes a dead one's status away, so that nothing of it is left.
    pub(super) fn bury(&self) {
        let _ = rustix::io::retry_on_intr(|| {
            rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED)
        });
    }

    /// What it has told, if something.
    pub(super) fn hear(&self, room: &mut Vec<u8>) -> Heard {
        match wire::receive::<Report>(&self.socket, room, false) {
            Ok(Some((report, descriptors))) => Heard::Report(report, descriptors),
            Err(Errno::AGAIN) => Heard::Nothing,
            Ok(None) | Err(_) => Heard::Over,
        }
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }
}

/// What an init told.
pub(super) enum Heard {
    Report(Report, Vec<OwnedFd>),
    Nothing,
    /// It tells nothing any more.
    Over,
}
