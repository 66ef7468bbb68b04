//! Whoever has a hand on a box that runs: kill, limit, resize; and the last one that lets go kills it.

use std::{sync::Arc, time::Duration};

use stead_ports::{
    BoxFuture,
    sandbox::{BoxError, Change, Control, Pressure, Property, Tier, Usage},
};
use stead_tier::{end::Asked, terminal::Terminal};

use super::link::Link;
use crate::wire::{self, Failure, Order};

/// A hand on a box; it is in each of its parts, and the last word is a kill.
pub(super) struct Hand {
    pub(super) link: Arc<Link>,
    pub(super) id: u64,
    pub(super) terminal: Option<Terminal>,
    pub(super) asked: Asked,
}

impl Hand {
    pub(super) fn end(&self) {
        self.asked.end();
        self.link.kill(self.id);
    }
}

impl Control for Hand {
    fn kill(&self) {
        self.end();
    }

    fn limit(&self, change: Change) -> BoxFuture<'_, Result<(), BoxError>> {
        Box::pin(async move {
            let Change { memory, pids, cpu_milli } = change;
            let host = self.link.host();
            for (asked, property, found) in [
                (memory.is_some(), Property::MemoryLimit, &host.memory),
                (pids.is_some(), Property::PidsLimit, &host.pids),
                (cpu_milli.is_some(), Property::CpuLimit, &host.cpu),
            ] {
                let by_group = matches!(found, wire::Found::By(by) if by.starts_with("control group"));
                if asked && !by_group {
                    let why = "no control group holds it, so it stays as it was at the start".to_owned();
                    return Err(BoxError::Lacks { tier: Tier::Namespace, property, why });
                }
            }
            let id = self.id;
            match self.link.limit(|asked| Order::Limit { id, asked, memory, pids, cpu_milli }).await? {
                None => Ok(()),
                Some(Failure::Over) => Err(ended()),
                Some(Failure::Spec(why) | Failure::Host(why) | Failure::Command(why)) => Err(BoxError::Spec(why)),
                Some(Failure::Busy(count)) => Err(BoxError::Busy(usize::try_from(count).unwrap_or(usize::MAX))),
            }
        })
    }

    fn usage(&self) -> BoxFuture<'_, Result<Usage, BoxError>> {
        Box::pin(async move { self.link.measure(self.id).await?.map(usage).ok_or_else(ended) })
    }

    fn resize(&self, size: (u16, u16)) {
        if let Some(terminal) = &self.terminal {
            terminal.resize(size);
        }
    }
}

/// Kills the box of whoever does not wait for it any more.
pub(super) struct Guard {
    pub(super) link: Arc<Link>,
    pub(super) id: u64,
    pub(super) over: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.over {
            self.link.leave(self.id);
            self.link.kill(self.id);
        }
    }
}

pub(super) fn lost() -> BoxError {
    BoxError::Lost("its launcher is gone; the next sandbox starts another".to_owned())
}

fn ended() -> BoxError {
    BoxError::Lost("it has ended".to_owned())
}

/// In the port's words.
pub(super) fn usage(told: wire::Usage) -> Usage {
    Usage {
        wall: Duration::from_micros(told.wall_us),
        cpu: told.cpu_us.map(Duration::from_micros),
        memory: told.memory,
        memory_peak: told.memory_peak,
        oom_kills: told.oom_kills,
        pids: told.pids,
        pids_refused: told.pids_refused,
        pressure: told.pressure.map(|p| Pressure { cpu: p.cpu, memory: p.memory, io: p.io }),
    }
}
