//! What the launcher does with zygotes: it asks for them, has them fork into boxes, makes boxes ahead for them, and ends them.

use std::{os::fd::OwnedFd, time::Instant};

use rustix::event::epoll;

use super::serve::{Launcher, ZYGOTE};
use crate::{
    fault::{At, Fault},
    wire::{Failure, News, Plan, Served},
    zygote::Told,
};

/// Most boxes made ahead for one zygote.
const AHEAD: usize = 2;

impl Launcher {
    /// Starts a command, by a zygote if one is asked for and can.
    pub(super) fn warm_or_cold(&mut self, id: u64, mut plan: Plan, streams: Vec<OwnedFd>) -> Result<(), Failure> {
        let Some(tenant) = plan.zygote.take() else { return self.start(id, plan, streams, None) };
        let (zygote, served) = match self.nursery.ask(&tenant, &plan, Instant::now()) {
            Ok(number) => (Some(number), self.nursery.served(number)),
            Err((why, started)) => {
                if let Some(number) = started {
                    self.watch_zygote(number);
                }
                (None, Served::Cold(why))
            }
        };
        let copies = || streams.iter().map(OwnedFd::try_clone).collect::<Result<Vec<_>, _>>().ok();
        let again = zygote.and_then(|_| copies()).map(|copies| (plan.clone(), copies));
        self.start(id, plan, streams, zygote)?;
        if let Some(job) = self.job_of(id) {
            (job.served, job.again) = (Some(served), again);
        }
        Ok(())
    }

    /// A box's zygote did not fork into it, and nothing of the command has run: it starts cold, in another box.
    pub(super) fn start_cold(&mut self, number: u64, failure: &Failure) {
        let Some(live) = self.live.get_mut(&number) else { return };
        let (zygote, Some(mut job)) = (live.made.zygote, live.job.take()) else { return };
        live.made.kill();
        let Some((plan, streams)) = job.again.take() else { return };
        self.ids.remove(&job.id);
        let why = match failure {
            Failure::Host(why) => why.clone(),
            other => format!("{other:?}"),
        };
        if let Some(zygote) = zygote.filter(|zygote| self.nursery.blame(*zygote, &why, Instant::now())) {
            self.end_zygote(zygote);
        }
        if let Err(failure) = self.start(job.id, plan, streams, None) {
            return self.tell(&News::Failed { id: job.id, failure }, &[]);
        }
        if let Some(new) = self.job_of(job.id) {
            new.served = Some(Served::Cold(format!("its zygote did not fork: {why}")));
        }
    }

    /// Hears what a zygote tells, or that it has ended.
    pub(super) fn zygote_tells(&mut self, number: u64) {
        if self.nursery.hear(number, Instant::now()) == Told::Over {
            self.end_zygote(number);
        }
    }

    /// The zygote for which a box is to be made ahead.
    pub(super) fn wants_warm(&self) -> Option<u64> {
        let most = self.options.ahead.min(AHEAD);
        self.nursery.ready().find(|number| self.waiting(Some(*number)).count() < most)
    }

    /// Has a zygote fork into a box that asks for it.
    pub(super) fn sow(&mut self, number: u64, mut beside: Vec<OwnedFd>) {
        let Some(live) = self.live.get(&number) else { return };
        let Some(zygote) = live.made.zygote else { return };
        // Without the lists the fork would stand outside of its limits. What is beside is dropped, which the init hears.
        if let Ok(lists) = self.maker.groups.lists(&live.made.group) {
            beside.extend(lists);
            self.nursery.fork(zygote, &beside);
        }
    }

    /// A box made ahead did not stand.
    pub(super) fn discourage(&mut self, number: u64) {
        match self.live.get(&number).and_then(|live| live.made.zygote) {
            None => self.discouraged = true,
            Some(zygote) => self.nursery.discourage(zygote),
        }
    }

    /// Ends zygotes whose time is over.
    pub(super) fn retire(&mut self) {
        while let Some(number) = self.nursery.tired(Instant::now()) {
            self.end_zygote(number);
        }
    }

    fn end_zygote(&mut self, number: u64) {
        if let Some(socket) = self.nursery.socket(number) {
            let _ = epoll::delete(&self.events, socket);
        }
        for waiting in self.live.values().filter(|l| l.job.is_none() && l.made.zygote == Some(number)) {
            waiting.made.kill();
        }
        self.nursery.end(number);
    }

    fn watch_zygote(&mut self, number: u64) {
        let data = epoll::EventData::new_u64(ZYGOTE | number);
        let watched = match self.nursery.socket(number) {
            Some(socket) => epoll::add(&self.events, socket, data, epoll::EventFlags::IN).at("watching a zygote"),
            None => Ok(()),
        };
        if let Err(Fault(why)) = watched {
            self.nursery.blame(number, &why, Instant::now());
            self.nursery.end(number);
        }
    }

    fn job_of(&mut self, id: u64) -> Option<&mut super::job::Job> {
        let number = self.ids.get(&id)?;
        self.live.get_mut(number)?.job.as_mut()
    }
}
