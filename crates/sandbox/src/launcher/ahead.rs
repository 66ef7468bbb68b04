//! What nobody waits for: boxes made ahead, and groups of the dead.

use std::os::fd::OwnedFd;

use rustix::event::epoll;

use super::{
    job::Live,
    serve::{END, Launcher, SOCKET},
};
use crate::{
    fault::{At, Fault},
    wire::Limits,
};

impl Launcher {
    pub(super) fn wants_ahead(&self) -> bool {
        let waiting = self.live.values().filter(|l| l.job.is_none()).count();
        !self.discouraged && waiting < self.options.ahead && self.live.len() < self.options.most
    }

    /// One piece of work that nobody waits for.
    pub(super) fn idle(&mut self) {
        if self.wants_ahead() {
            if self.add().and_then(|number| self.usual(number)).is_err() {
                self.discouraged = true;
            }
        } else {
            self.graves.clear(&self.maker.groups);
        }
    }

    /// Sets the limits that most ask for, so that nobody waits for them later.
    fn usual(&mut self, number: u64) -> Result<(), Fault> {
        let usual = stead_ports::sandbox::Limits::default();
        let usual = Limits { memory: usual.memory, pids: usual.pids, cpu_milli: usual.cpu_milli, ..Limits::default() };
        let live = self.live.get_mut(&number);
        live.map_or(Ok(()), |live| self.maker.groups.limit(&mut live.made.group, &usual))
    }

    pub(super) fn add(&mut self) -> Result<u64, Fault> {
        let made = self.maker.make()?;
        let number = made.number;
        let watch = |fd: &OwnedFd, what: u64| {
            epoll::add(&self.events, fd, epoll::EventData::new_u64(number << 1 | what), epoll::EventFlags::IN)
        };
        if let Err(e) = watch(&made.socket, SOCKET).and_then(|()| watch(&made.pidfd, END)) {
            made.kill();
            made.bury();
            self.graves.add(&self.maker.groups, made.group);
            return Err(e).at("watching a sandbox");
        }
        self.live.insert(number, Live { made, job: None });
        Ok(number)
    }
}
