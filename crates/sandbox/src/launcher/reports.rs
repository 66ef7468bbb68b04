//! What boxes tell, and what the server is told of them.

use std::{
    os::fd::{AsFd, OwnedFd},
    time::Instant,
};

use rustix::event::epoll;

use super::{
    graves::deadline,
    job::{Job, Live, SET_UP, microseconds},
    maker::{Heard, Made},
    serve::Launcher,
};
use crate::{
    init::REMAINS,
    wire::{self, End, Failure, News, Report, Served, Usage},
};

impl Launcher {
    /// Hears what a box tells.
    pub(super) fn hear(&mut self, number: u64) {
        while let Some(live) = self.live.get_mut(&number) {
            let (report, descriptors) = match live.made.hear(&mut self.room) {
                Heard::Nothing => return,
                Heard::Over => {
                    let _ = epoll::delete(&self.events, &live.made.socket);
                    return;
                }
                Heard::Report(report, descriptors) => (report, descriptors),
            };
            match (report, &mut live.job) {
                (Report::Seedless, _) => self.sow(number, descriptors),
                (Report::Failed(failure), None) => {
                    self.discourage(number);
                    let (Failure::Host(why) | Failure::Spec(why) | Failure::Command(why)) = failure else { return };
                    eprintln!("stead: a sandbox made ahead did not stand: {why}");
                }
                (Report::Failed(failure), Some(job)) => {
                    if job.again.is_some() && job.killed.is_none() && matches!(failure, Failure::Host(_)) {
                        self.start_cold(number, &failure);
                    } else if !std::mem::replace(&mut job.refused, true) {
                        let id = job.id;
                        self.tell(&News::Failed { id, failure }, &[]);
                    }
                }
                (Report::Started { cold }, Some(job)) => {
                    job.runs = true;
                    job.again = None;
                    if let Some(zygote) = live.made.zygote {
                        self.nursery.proves(zygote);
                    }
                    let served = cold.map(Served::Cold).or_else(|| job.served.take());
                    job.started = Instant::now();
                    job.deadline = deadline(job.started, job.wall_ms);
                    job.remains = descriptors;
                    let mut back = job.remains.split_off(REMAINS.min(job.remains.len()));
                    let id = job.id;
                    job.layers = back.split_off(job.back.min(back.len()));
                    let frozen_by = job.stays.take();
                    if let Some(freezer) = frozen_by {
                        // The same layers come again with the end.
                        match job.layers.iter().map(OwnedFd::try_clone).collect::<Result<Vec<_>, _>>() {
                            Ok(layers) => back.extend(layers.into_iter().chain(freezer)),
                            Err(_) => live.made.kill(),
                        }
                    }
                    self.tell(&News::Started { id, served }, &back);
                }
                (report, Some(job)) => job.report = Some(report),
                (_, None) => {}
            }
        }
    }

    /// A box is dead, with all that was in it.
    pub(super) fn ended(&mut self, number: u64) {
        self.hear(number);
        let Some(Live { made, job }) = self.live.remove(&number) else { return };
        // Said aloud: closing them is not enough while a box that is just being made still holds a copy, and what is watched by
        // mistake would wake this process without end.
        for watched in [&made.socket, &made.pidfd] {
            // The socket may have been let go before.
            let _ = epoll::delete(&self.events, watched);
        }
        made.bury();
        if let Some(mut job) = job {
            self.ids.remove(&job.id);
            let mut remains = std::mem::take(&mut job.remains);
            let untouched = matches!(
                job.report,
                Some(Report::Exited { untouched: true, .. } | Report::Signal { untouched: true, .. })
            );
            self.last_news(&made, job);
            // The network is the last of them.
            if untouched && remains.len() == REMAINS {
                let network = remains.pop().and_then(|network| self.maker.keep(network));
                remains.extend(network);
            }
            if !remains.is_empty() {
                self.undertaker.take(&remains);
            }
        } else {
            // It died before it was of use; made again, it would die again.
            match made.zygote {
                None => self.discouraged = true,
                Some(zygote) => self.nursery.discourage(zygote),
            }
        }
        self.graves.add(&self.maker.groups, made.group);
    }

    fn last_news(&mut self, made: &Made, job: Job) {
        if job.refused {
            return;
        }
        let id = job.id;
        if !job.runs {
            let why = match job.killed {
                Some(End::Deadline) => format!("it was not set up within {} s", SET_UP.as_secs()),
                Some(_) => "it was killed before it was set up".to_owned(),
                None => format!("its first process ({}) was killed while it was set up", made.pid()),
            };
            return self.tell(&News::Failed { id, failure: Failure::Host(why) }, &[]);
        }
        let (end, cpu) = match (job.report, job.killed) {
            (Some(Report::Exited { code, cpu_us, .. }), _) => (End::Exited(code), Some(cpu_us)),
            (Some(Report::Signal { signal, cpu_us, .. }), _) => (End::Signal(signal), Some(cpu_us)),
            (_, Some(killed)) => (killed, None),
            _ => (End::Killed, None),
        };
        let measured = self.maker.groups.usage(&made.group);
        let wall_us = microseconds(job.started);
        let usage = Usage { wall_us, cpu_us: measured.cpu_us.or(cpu), ..measured };
        self.tell(&News::Ended { id, end, usage }, &job.layers);
    }

    /// The server reads always; if it is gone, the next order says so.
    pub(super) fn tell(&self, news: &News, descriptors: &[OwnedFd]) {
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        let _ = wire::send(&self.control, news, &descriptors, true);
    }
}
