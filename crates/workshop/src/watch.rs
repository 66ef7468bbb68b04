//! The watch: looks at what all boxes hold and how the host does, and when there is too little memory, stops the worst offender: the
//! box that holds most of what it was given. One at a time, and then it looks again.
//!
//! A box's own limit is the kernel's to hold; this is for many boxes that each keep theirs and are too much together.

use std::{fmt, sync::Weak, time::Duration};

use stead_core::code;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::{
    host::{HostLimits, Memory},
    live::{Live, Watched},
    workshop::Inner,
};

/// How long one look may take: a launcher that does not answer is no reason to stand still.
const LOOK: Duration = Duration::from_secs(5);
/// How long the kernel's average of pressure remembers: until then, a box stopped for it is enough.
const MEMORY_OF_PRESSURE: Duration = Duration::from_secs(10);
/// What is below this part of the largest box is left alone: to stop it would free nothing.
const WORTHWHILE: u64 = 10;
/// Memory to spare, at most, when nothing is configured.
const SPARE: u64 = 1 << 30;

/// Why the watch stopped a box. Bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// What there was too little of.
    pub why: String,
    /// Memory that the box held.
    pub held: u64,
    /// Memory that it had been given.
    pub given: Option<u64>,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { why, held, given } = self;
        write!(f, "{}: {why}, and this sandbox held most of what it was given: {held} ", code::BOX_STOPPED)?;
        match given {
            Some(given) => write!(f, "of {given} bytes"),
            None => f.write_str("bytes, without a limit"),
        }
    }
}

/// What is too much.
#[derive(Debug, PartialEq, Eq)]
enum Short {
    /// All boxes hold more than they may, or leave the host too little. It shows at once when one is gone.
    Memory(String),
    /// Everything waits for memory. It shows later.
    Pressure(String),
}

/// Watches until the workshop is gone.
pub(crate) async fn run(shop: Weak<Inner>, every: Duration) {
    let mut ticks = interval(every.max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut calm_until = Instant::now();
    loop {
        ticks.tick().await;
        let Some(shop) = shop.upgrade() else { return };
        let patient = Instant::now() < calm_until;
        match timeout(LOOK, look(&shop.live, &shop.host, patient)).await {
            Ok(true) => calm_until = Instant::now() + MEMORY_OF_PRESSURE,
            Ok(false) => {}
            Err(_) => tracing::warn!("sandboxes do not tell what they use within {LOOK:?}"),
        }
    }
}

/// Looks once; stops one box at most, and tells whether it did. A `patient` look lets pressure pass.
pub(crate) async fn look(live: &Live, host: &HostLimits, patient: bool) -> bool {
    let mut held = Vec::new();
    for watched in live.all() {
        // One that has ended holds nothing.
        if let Ok(usage) = watched.control.usage().await
            && let Some(memory) = usage.memory
        {
            held.push((memory, watched));
        }
    }
    if held.is_empty() {
        return false;
    }
    let all = held.iter().map(|(memory, _)| memory).sum();
    let now = host.gauge.read();
    let why = match short(all, &now, host) {
        None => return false,
        Some(Short::Pressure(_)) if patient => return false,
        Some(Short::Memory(why) | Short::Pressure(why)) => why,
    };
    let Some((memory, worst)) = worst(held, now.total.unwrap_or(u64::MAX)) else { return false };
    let Watched { id, whose, memory: given, .. } = worst;
    tracing::warn!(%whose, tenant = %whose.tenant, held = memory, ?given, why, "a sandbox is stopped");
    live.stop(id, Stopped { why, held: memory, given })
}

/// Whether there is too little.
fn short(all: u64, now: &Memory, host: &HostLimits) -> Option<Short> {
    let most = host.memory.or(now.total.map(|t| t / 4 * 3));
    let spare = host.spare.or(now.total.map(|t| (t / 20).min(SPARE)));
    if let Some(most) = most.filter(|most| all > *most) {
        return Some(Short::Memory(format!(
            "all sandboxes together held {all} bytes of memory, and {most} are the bound"
        )));
    }
    if let Some((available, spare)) = now.available.zip(spare).filter(|(available, spare)| available < spare) {
        return Some(Short::Memory(format!("the host had {available} bytes of memory left, and must keep {spare}")));
    }
    let stalled = now.stalled.filter(|stalled| *stalled > host.pressure)?;
    Some(Short::Pressure(format!("everything on the host waited for memory, {}% of the time", stalled / 100)))
}

/// The box that holds most of what it was given, of those that hold enough to matter.
fn worst(held: Vec<(u64, Watched)>, total: u64) -> Option<(u64, Watched)> {
    let largest = held.iter().map(|(memory, _)| *memory).max()?;
    let share = |memory: u64, watched: &Watched| {
        let given = watched.memory.unwrap_or(total).max(1);
        u128::from(memory) * 1_000_000 / u128::from(given)
    };
    let matters = held.into_iter().filter(|(memory, _)| *memory >= largest / WORTHWHILE);
    matters.max_by_key(|(memory, watched)| (share(*memory, watched), *memory))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> HostLimits {
        HostLimits { memory: Some(1000), spare: Some(100), ..HostLimits::default() }
    }

    #[test]
    fn too_little_is_told_apart() {
        let now = Memory { total: Some(4000), available: Some(500), stalled: Some(100) };
        assert_eq!(short(1000, &now, &host()), None);
        assert!(matches!(short(1001, &now, &host()), Some(Short::Memory(why)) if why.contains("1000 are the bound")));
        let low = Memory { available: Some(99), ..now };
        assert!(matches!(short(1, &low, &host()), Some(Short::Memory(why)) if why.contains("must keep 100")));
        let stalled = Memory { stalled: Some(5000), ..now };
        assert!(matches!(short(1, &stalled, &host()), Some(Short::Pressure(why)) if why.contains("50%")));
        // A host that tells nothing is not short of anything.
        assert_eq!(short(u64::MAX, &Memory::default(), &HostLimits::default()), None);
    }
}
