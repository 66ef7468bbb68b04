//! Making boxes: a process, its groups, its socket. Some are made ahead, so that an action waits neither for namespaces nor
//! for the command's process. A box is used once.

use std::{
    collections::VecDeque,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions},
};

use crate::{
    cgroup::{Group, Groups},
    fault::{At, Fault},
    init,
    seccomp::Filter,
    sys,
    wire::{self, Go, Plan, Report},
};

/// What all boxes of a launcher share.
pub(crate) struct Maker {
    pub(crate) groups: Groups,
    pub(crate) filter: Filter,
    /// Whether the launcher is root.
    pub(crate) root: bool,
    /// Who private folders belong to.
    pub(crate) user: u32,
    made: u64,
}

/// A box, waiting or at work.
pub(crate) struct Made {
    pub(crate) number: u64,
    pub(crate) group: Group,
    pub(crate) socket: OwnedFd,
    pub(crate) pidfd: OwnedFd,
    pid: Pid,
}

impl Maker {
    pub(crate) fn new(groups: Groups, root: bool, user: u32) -> Self {
        Self { groups, filter: Filter::new(), root, user, made: 0 }
    }

    /// Makes a box. It sets itself up while this returns; what it is told meanwhile waits in its socket.
    pub(crate) fn make(&mut self) -> Result<Made, Fault> {
        self.made += 1;
        let number = self.made;
        let group = self.groups.make(number)?;
        let started = wire::pair().and_then(|(ours, its)| {
            let child = sys::fork_init(self.groups.start_in(&group))?;
            let Some(child) = child else {
                drop(ours);
                let (groups, filter, root, user) = (&self.groups, &self.filter, self.root, self.user);
                init::run(&init::Context { groups, group: &group, filter, root, user }, &its)
            };
            Ok((ours, child))
        });
        match started {
            Ok((socket, child)) => Ok(Made { number, group, socket, pidfd: child.pidfd, pid: child.pid }),
            Err(e) => {
                self.groups.remove(&group);
                Err(e).at("starting the first process of a sandbox")
            }
        }
    }
}

impl Made {
    /// Tells what runs.
    pub(crate) fn go(&self, plan: Plan, descriptors: &[OwnedFd]) -> Result<(), Errno> {
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        wire::send(&self.socket, &Go { plan }, &descriptors, false)
    }

    /// Kills all that is in it.
    pub(crate) fn kill(&self) {
        // One that is dead needs no signal.
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Takes a dead one's status away, so that nothing of it is left.
    pub(crate) fn bury(&self) {
        let _ = rustix::io::retry_on_intr(|| {
            rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED)
        });
    }

    /// What it has told, if something.
    pub(crate) fn hear(&self, room: &mut Vec<u8>) -> Heard {
        match wire::receive::<Report>(&self.socket, room, false) {
            Ok(Some((report, descriptors))) => Heard::Report(report, descriptors),
            Err(Errno::AGAIN) => Heard::Nothing,
            Ok(None) | Err(_) => Heard::Over,
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }
}

/// What an init told.
pub(crate) enum Heard {
    Report(Report, Vec<OwnedFd>),
    Nothing,
    /// It tells nothing any more.
    Over,
}

/// Groups of dead boxes, removed when there is time.
#[derive(Default)]
pub(crate) struct Graves {
    groups: VecDeque<Group>,
    /// Something was still in one: when to try again.
    again: Option<Instant>,
}

impl Graves {
    /// Remembers one; with many waiting the oldest go at once.
    pub(crate) fn add(&mut self, groups: &Groups, group: Group) {
        const MOST: usize = 32;
        self.groups.push_back(group);
        if self.groups.len() > MOST {
            self.clear(groups);
        }
    }

    /// How long until there is something to do.
    pub(crate) fn patience(&self, now: Instant) -> Option<Duration> {
        let again = self.again.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        (!self.groups.is_empty()).then_some(again)
    }

    /// Removes those that can be.
    pub(crate) fn clear(&mut self, groups: &Groups) {
        const PAUSE: Duration = Duration::from_millis(50);
        self.groups.retain(|group| !groups.remove(group));
        self.again = (!self.groups.is_empty()).then(|| Instant::now() + PAUSE);
    }
}

/// When a box has to end.
pub(crate) fn deadline(from: Instant, wall_ms: u64) -> Instant {
    const MOST: Duration = Duration::from_secs(30 * 24 * 3600);
    from + Duration::from_millis(wall_ms).min(MOST)
}
