//! A hand on a machine that runs, and why it ended.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use stead_ports::{
    BoxFuture,
    sandbox::{BoxError, Change, Control, End, Property, Tier, Usage},
};
use stead_tier::end::{self, Known, Raw};
use tokio::{sync::Notify, time::timeout};

use super::link::Link;
use crate::{
    vmm::Process,
    wire::{self, News, Order},
};

/// How long a machine may take to tell what it counts.
const LOOK: Duration = Duration::from_secs(5);

/// Why a box was ended from here; the first reason counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Killed = 1,
    Output = 2,
    Deadline = 3,
}

/// A hand on a machine.
pub(super) struct Hand {
    pub(super) link: Arc<Link>,
    pub(super) process: Arc<Process>,
    /// The reason for its end, as a number; nought is none.
    pub(super) reason: AtomicU8,
    /// Somebody wants its end.
    pub(super) ends: Notify,
    pub(super) begun: Instant,
    /// Bytes of memory that the box can be given.
    pub(super) most: u64,
}

impl Hand {
    pub(super) fn end(&self, reason: Reason) {
        let _ = self.reason.compare_exchange(0, reason as u8, Ordering::Relaxed, Ordering::Relaxed);
        self.ends.notify_one();
    }

    pub(super) fn reason(&self) -> Option<Reason> {
        let number = self.reason.load(Ordering::Relaxed);
        [Reason::Killed, Reason::Output, Reason::Deadline].into_iter().find(|reason| *reason as u8 == number)
    }
}

pub(super) fn lost(process: &Process) -> BoxError {
    BoxError::Lost(format!("its machine ended, {}", process.last_words()))
}

impl Control for Hand {
    fn kill(&self) {
        self.end(Reason::Killed);
    }

    fn limit(&self, change: Change) -> BoxFuture<'_, Result<(), BoxError>> {
        Box::pin(async move {
            let Change { memory, pids, cpu_milli } = change;
            if memory.is_some_and(|bytes| bytes > self.most) {
                let why = format!("its machine began with {} bytes for it, and has no more", self.most);
                return Err(BoxError::Lacks { tier: Tier::Microvm, property: Property::MemoryLimit, why });
            }
            match self.link.ask(&Order::Limit { memory, pids, cpu_milli }).await {
                Some(News::Limited { failure: None }) => Ok(()),
                Some(News::Limited { failure: Some(why) }) => Err(BoxError::Spec(why)),
                _ => Err(lost(&self.process)),
            }
        })
    }

    fn usage(&self) -> BoxFuture<'_, Result<Usage, BoxError>> {
        Box::pin(async move {
            let cpu = self.process.used().ok_or_else(|| lost(&self.process))?;
            let (memory, memory_peak) = self.process.memory();
            // What only the guest counts is missing if it does not answer.
            let counted = match timeout(LOOK, self.link.ask(&Order::Look)).await {
                Ok(Some(News::Used { usage })) => usage,
                Ok(_) => return Err(lost(&self.process)),
                Err(_) => wire::Usage::default(),
            };
            Ok(Usage {
                wall: self.begun.elapsed(),
                cpu: Some(cpu),
                memory,
                memory_peak,
                oom_kills: counted.oom_kills,
                pids: counted.pids,
                pids_refused: counted.pids_refused,
                pressure: None,
            })
        })
    }

    fn resize(&self, size: (u16, u16)) {
        self.link.post(&Order::Resize { size });
    }
}

/// Kills the machine of whoever does not wait for it any more.
pub(super) struct Guard(pub(super) Arc<Process>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.kill();
    }
}

/// The end of a machine that was ended from here.
pub(super) fn forced(reason: Option<Reason>) -> Option<End> {
    reason.map(|reason| match reason {
        Reason::Killed => End::Killed,
        Reason::Output => End::Output,
        Reason::Deadline => End::Deadline,
    })
}

/// Why a box ended, of all that is known: a machine tells how its command ended, and nothing of what was asked from here.
pub(super) fn told_end(end: wire::End, usage: &wire::Usage, reason: Option<Reason>) -> End {
    let raw = match (end, reason) {
        (wire::End::Exited(0), _) => Raw::Exited(0),
        (_, Some(Reason::Deadline)) => Raw::Deadline,
        (_, Some(Reason::Killed | Reason::Output)) => Raw::Killed,
        (wire::End::Exited(code), None) => Raw::Exited(code),
        (wire::End::Signal(signal), None) => Raw::Signal(signal),
    };
    let (asked, full) = (reason == Some(Reason::Killed), reason == Some(Reason::Output));
    end::told(raw, Known { oom_kills: usage.oom_kills, asked, full })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_that_ended_an_action_is_told_apart() {
        let told =
            |end, kills, reason| told_end(end, &wire::Usage { oom_kills: Some(kills), ..Default::default() }, reason);
        let (exited, signal) = (wire::End::Exited, wire::End::Signal);
        assert_eq!(told(exited(0), 2, None), End::Exited(0), "it went well all the same");
        assert_eq!(told(exited(137), 1, None), End::Memory);
        assert_eq!(told(signal(9), 1, None), End::Memory);
        assert_eq!(told(signal(9), 0, None), End::Signal(9));
        assert_eq!(told(signal(9), 1, Some(Reason::Output)), End::Output);
        assert_eq!(told(signal(9), 0, Some(Reason::Killed)), End::Killed);
        assert_eq!(told(signal(9), 1, Some(Reason::Deadline)), End::Deadline);
    }
}
