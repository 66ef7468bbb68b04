//! The loop: what happens is given to whom it concerns, and time passes.

use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{Timespec, epoll},
    io::Errno,
};

use super::{begin::Options, graves::Graves, job::Live, maker::Maker, undertaker::Undertaker};
use crate::{
    fault::{At, Fault},
    root::Roots,
    sys,
    wire::{self, End},
    zygote::Nursery,
};

pub(super) struct Launcher {
    pub(super) control: OwnedFd,
    pub(super) events: OwnedFd,
    pub(super) maker: Maker,
    pub(super) roots: Roots,
    pub(super) options: Options,
    pub(super) live: BTreeMap<u64, Live>,
    pub(super) ids: BTreeMap<u64, u64>,
    pub(super) graves: Graves,
    pub(super) undertaker: Undertaker,
    pub(super) nursery: Nursery,
    /// A box that was made ahead did not stand: none is made ahead before the next one is asked for.
    pub(super) discouraged: bool,
    pub(super) room: Vec<u8>,
}

/// What is told apart by events: the server's socket, a box's socket, a box's end, a zygote's socket.
pub(super) const CONTROL: u64 = 0;
pub(super) const SOCKET: u64 = 0;
pub(super) const END: u64 = 1;
pub(super) const ZYGOTE: u64 = 1 << 63;

impl Launcher {
    pub(super) fn new(
        control: OwnedFd,
        maker: Maker,
        roots: Roots,
        options: Options,
    ) -> Result<Self, (OwnedFd, Fault)> {
        let events = epoll::create(epoll::CreateFlags::CLOEXEC).and_then(|events| {
            let data = epoll::EventData::new_u64(CONTROL);
            epoll::add(&events, &control, data, epoll::EventFlags::IN).map(|()| events)
        });
        let ready = events.at("waiting for events").and_then(|events| Ok((events, Undertaker::start()?)));
        let (events, undertaker) = match ready {
            Ok(ready) => ready,
            Err(fault) => return Err((control, fault)),
        };
        let nursery = Nursery::new(maker.root, sys::landlock_version(), &maker.filters.plain);
        Ok(Self {
            control,
            events,
            maker,
            roots,
            options,
            live: BTreeMap::new(),
            ids: BTreeMap::new(),
            graves: Graves::default(),
            undertaker,
            nursery,
            discouraged: false,
            room: wire::buffer(),
        })
    }

    /// Works until the server is gone.
    pub(super) fn serve(&mut self) {
        let mut seen =
            [const { epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) } }; 32];
        loop {
            let wait = self.patience();
            let count = match epoll::wait(&self.events, seen.as_mut_slice(), wait.as_ref()) {
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(e) => {
                    eprintln!("stead: the sandbox launcher cannot wait: {e}");
                    return;
                }
            };
            for event in &seen[..count] {
                match event.data.u64() {
                    CONTROL => {
                        if !self.orders() {
                            return;
                        }
                    }
                    data if data & ZYGOTE != 0 => self.zygote_tells(data & !ZYGOTE),
                    data if data & 1 == SOCKET => self.hear(data >> 1),
                    data => self.ended(data >> 1),
                }
            }
            self.deadlines();
            self.retire();
            if count == 0 {
                self.idle();
            }
        }
    }

    /// How long to wait for events: not at all while there is something to do without them.
    fn patience(&self) -> Option<Timespec> {
        let now = Instant::now();
        let jobs = self.live.values().filter_map(|l| l.job.as_ref());
        let next = jobs.filter(|j| j.killed.is_none()).map(|j| j.deadline).min();
        let ahead = (self.wants_ahead() || self.wants_warm().is_some()).then_some(Duration::ZERO);
        let next = [next, self.nursery.next_end()].into_iter().flatten().min();
        let deadline = next.map(|d| d.saturating_duration_since(now));
        let wait = [ahead, self.graves.patience(now), deadline].into_iter().flatten().min();
        wait.and_then(|w| Timespec::try_from(w).ok())
    }

    fn deadlines(&mut self) {
        let now = Instant::now();
        for live in self.live.values_mut() {
            if let Some(job) = &mut live.job
                && job.killed.is_none()
                && job.deadline <= now
            {
                job.killed = Some(End::Deadline);
                live.made.kill();
                self.maker.groups.thaw(&live.made.group);
            }
        }
    }

    /// Kills all and leaves nothing.
    pub(super) fn close(mut self) {
        for live in self.live.values() {
            live.made.kill();
            self.maker.groups.thaw(&live.made.group);
        }
        for (_, live) in std::mem::take(&mut self.live) {
            live.made.bury();
            self.graves.add(&self.maker.groups, live.made.group);
        }
        self.nursery.close();
        self.undertaker.close();
        self.graves.clear(&self.maker.groups);
        self.maker.groups.close();
    }
}
