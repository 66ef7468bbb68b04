//! Whoever has a hand on a box that runs: kill, limit, watch, resize; and the last one that lets go kills it.

use std::{sync::Arc, time::Duration};

use stead_ports::{
    BoxFuture,
    sandbox::{BoxError, Change, Control, Pressure, Property, Tier, Usage},
};
use stead_tier::{end::Asked, terminal::Terminal};

use super::shepherd::Shepherd;
use crate::wire::{Held, Order, Used};

/// A hand on a box; it is in each of its parts, and the last word is a kill.
pub(super) struct Hand {
    pub(super) shepherd: Arc<Shepherd>,
    pub(super) terminal: Option<Terminal>,
    pub(super) limits: Held,
    pub(super) asked: Asked,
}

impl Control for Hand {
    fn kill(&self) {
        self.asked.end();
        self.shepherd.kill();
    }

    fn limit(&self, change: Change) -> BoxFuture<'_, Result<(), BoxError>> {
        Box::pin(async move {
            for (asked, property, held) in [
                (change.memory.is_some(), Property::MemoryLimit, &self.limits.memory),
                (change.pids.is_some(), Property::PidsLimit, &self.limits.pids),
                (change.cpu_milli.is_some(), Property::CpuLimit, &self.limits.cpu),
            ] {
                if let (true, Err(why)) = (asked, held) {
                    return Err(BoxError::Lacks { tier: Tier::Oci, property, why: why.clone() });
                }
            }
            match self.shepherd.limit(&Order::from(change))?.await {
                Ok(None) => Ok(()),
                Ok(Some(why)) => Err(BoxError::Spec(why)),
                Err(_) => Err(lost()),
            }
        })
    }

    fn usage(&self) -> BoxFuture<'_, Result<Usage, BoxError>> {
        Box::pin(async move { self.shepherd.measure()?.await.map(usage).map_err(|_| lost()) })
    }

    fn resize(&self, size: (u16, u16)) {
        if let Some(terminal) = &self.terminal {
            terminal.resize(size);
        }
    }
}

/// Kills the box of whoever does not wait for it any more.
pub(super) struct Guard(pub(super) Arc<Shepherd>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.kill();
    }
}

pub(super) fn lost() -> BoxError {
    BoxError::Lost("its shim is gone; the next sandbox has another".to_owned())
}

/// In the port's words.
pub(super) fn usage(used: Used) -> Usage {
    Usage {
        wall: Duration::from_micros(used.wall_us),
        cpu: used.cpu_us.map(Duration::from_micros),
        memory: used.memory,
        memory_peak: used.memory_peak,
        oom_kills: used.oom_kills,
        pids: used.pids,
        pids_refused: used.pids_refused,
        pressure: used.pressure.map(|p| Pressure { cpu: p.cpu, memory: p.memory, io: p.io }),
    }
}
