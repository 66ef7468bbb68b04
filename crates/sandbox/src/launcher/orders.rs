//! What the server asks.

use std::{os::fd::OwnedFd, time::Instant};

use rustix::io::Errno;

use super::{
    job::{Job, Live, SET_UP, microseconds},
    serve::Launcher,
};
use crate::{
    cgroup::Controller,
    fault::Fault,
    root::{READ_ONLY, WRITABLE},
    wire::{self, Access, End, Failure, Found, Limits, News, Order, Plan, Usage},
};

impl Launcher {
    /// Does what the server asks. `false`: it is gone.
    pub(super) fn orders(&mut self) -> bool {
        // A few at a time: boxes have their turn too.
        for _ in 0..8 {
            let (order, descriptors) = match wire::receive::<Order>(&self.control, &mut self.room, false) {
                Ok(Some(received)) => received,
                Ok(None) => return false,
                Err(Errno::AGAIN) => return true,
                Err(e) => {
                    eprintln!("stead: the sandbox launcher cannot read its server: {e}");
                    return false;
                }
            };
            match order {
                Order::Start { id, plan } => {
                    if let Err(failure) = self.start(id, plan, descriptors) {
                        self.tell(&News::Failed { id, failure }, &[]);
                    }
                }
                Order::Kill { id } => self.kill(id),
                Order::Limit { id, asked, memory, pids, cpu_milli } => {
                    let limits = Limits { memory, pids, cpu_milli, ..Limits::default() };
                    let failure = self.limit(id, &limits).err();
                    self.tell(&News::Limited { asked, failure }, &[]);
                }
                Order::Measure { id, asked } => {
                    let usage = self.measure(id);
                    self.tell(&News::Measured { asked, usage }, &[]);
                }
            }
        }
        true
    }

    fn start(&mut self, id: u64, mut plan: Plan, mut descriptors: Vec<OwnedFd>) -> Result<(), Failure> {
        let host = |fault: Fault| Failure::Host(fault.0);
        let waiting = self.live.iter().find(|(_, l)| l.job.is_none()).map(|(number, _)| *number);
        if waiting.is_none() && self.live.len() >= self.options.most {
            return Err(Failure::Busy(self.live.len() as u64));
        }
        self.discouraged = false;
        let wanted: Vec<_> = plan.root.iter().map(|r| (r, READ_ONLY)).chain(plan.mounts.iter().map(flags)).collect();
        descriptors.extend(self.roots.folders(&wanted).map_err(|f| Failure::Spec(f.0))?);
        let number = match waiting {
            Some(number) => number,
            None => self.add().map_err(host)?,
        };
        let Some(live) = self.live.get_mut(&number) else {
            return Err(Failure::Host("a sandbox was lost".to_owned()));
        };
        plan.limits.nproc = matches!(self.maker.groups.found(Controller::Pids), Found::Not(_));
        let (groups, group) = (&self.maker.groups, &mut live.made.group);
        groups.limit(group, &plan.limits).and_then(|()| groups.lift(group, &plan.limits)).map_err(host)?;
        let started = Instant::now();
        live.job = Some(Job {
            id,
            started,
            deadline: started + SET_UP,
            wall_ms: plan.limits.wall_ms,
            runs: false,
            refused: false,
            killed: None,
            report: None,
            remains: Vec::new(),
            layers: Vec::new(),
            back: usize::from(plan.egress.is_some()) + usize::from(plan.terminal.is_some()),
        });
        self.ids.insert(id, number);
        if let Err(e) = live.made.go(plan, &descriptors) {
            // A box that died while it waited says why; the news of that goes out when its end is seen.
            if e != Errno::PIPE && e != Errno::CONNRESET {
                live.made.kill();
            }
        }
        Ok(())
    }

    fn kill(&mut self, id: u64) {
        if let Some(live) = self.ids.get(&id).and_then(|number| self.live.get_mut(number)) {
            if let Some(job) = &mut live.job {
                job.killed.get_or_insert(End::Killed);
            }
            live.made.kill();
        }
    }

    fn job(&self, id: u64) -> Option<&Live> {
        self.ids.get(&id).and_then(|number| self.live.get(number))
    }

    fn limit(&mut self, id: u64, limits: &Limits) -> Result<(), Failure> {
        let number = self.ids.get(&id).ok_or(Failure::Over)?;
        let live = self.live.get_mut(number).ok_or(Failure::Over)?;
        self.maker.groups.limit(&mut live.made.group, limits).map_err(|f| Failure::Spec(f.0))
    }

    /// What it has used until now.
    fn measure(&self, id: u64) -> Option<Usage> {
        let live = self.job(id)?;
        let started = live.job.as_ref().filter(|job| job.runs)?.started;
        Some(Usage { wall_us: microseconds(started), ..self.maker.groups.usage_now(&live.made.group) })
    }
}

fn flags(place: &wire::Place) -> (&wire::Folder, u64) {
    let flags = match place.access {
        Access::ReadOnly | Access::Layered => READ_ONLY,
        Access::ReadWrite => WRITABLE,
    };
    (&place.from, flags)
}
