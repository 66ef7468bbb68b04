//! The watch over memory: looks at what all boxes hold and how the host does, and when there is too little memory, stops the worst offender:
//! the box that holds most of what it was given. One at a time, and then it looks again. It also stops a box that has used the processor time
//! that its run had left.
//!
//! A box's own limit is the kernel's to hold; this is for many boxes that each keep theirs and are too much together.

use std::{fmt, sync::Weak, time::Duration};

use stead_core::{code, time::Span};
use stead_ports::sandbox::Usage;
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

/// Why the watch stopped a box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// There was too little memory, and it was the worst offender. Bytes.
    Worst {
        /// What there was too little of.
        why: String,
        /// Memory that the box held.
        held: u64,
        /// Memory that it had been given.
        given: Option<u64>,
    },
    /// It had used what was left of its run's budget of processor time when it was started.
    Spent {
        /// What it had used.
        used: Span,
        /// What was left.
        left: Span,
    },
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worst { why, held, given } => {
                write!(f, "{}: {why}, and this sandbox held most of what it was given: {held} ", code::BOX_STOPPED)?;
                match given {
                    Some(given) => write!(f, "of {given} bytes"),
                    None => f.write_str("bytes, without a limit"),
                }
            }
            Self::Spent { used, left } => write!(
                f,
                "{}: it used {used} of processor time, and the budget of its run had {left} left when it started",
                code::BUDGET
            ),
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
        let Ok(usage) = watched.control.usage().await else { continue };
        if let Some(spent) = spent(&usage, watched.cpu) {
            tracing::info!(whose = %watched.whose, tenant = %watched.whose.tenant, %spent, "a sandbox is stopped");
            live.stop(watched.id, spent);
        } else if let Some(memory) = usage.memory {
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
    live.stop(id, Stopped::Worst { why, held: memory, given })
}

/// Whether a box has used what its run had left. Where nothing measures its processor time, its time counts, as it does in the budget.
fn spent(usage: &Usage, left: Option<Span>) -> Option<Stopped> {
    let span = |d: Duration| Span(u64::try_from(d.as_micros()).unwrap_or(u64::MAX));
    let (used, left) = (span(usage.cpu.unwrap_or(usage.wall)), left?);
    (used > left).then_some(Stopped::Spent { used, left })
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
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn host() -> HostLimits {
        HostLimits { memory: Some(1000), spare: Some(100), ..HostLimits::default() }
    }

    #[test]
    fn what_a_run_has_left_bounds_its_boxes_and_time_counts_where_nothing_measures() {
        let usage = Usage { wall: Duration::from_secs(9), cpu: Some(Duration::from_secs(2)), ..Usage::default() };
        assert_eq!((spent(&usage, None), spent(&usage, Some(Span::from_secs(2)))), (None, None));
        let told = spent(&usage, Some(Span::from_secs(1))).unwrap();
        assert_eq!(told, Stopped::Spent { used: Span::from_secs(2), left: Span::from_secs(1) });
        assert!(told.to_string().starts_with("ST0001"), "{told}");
        assert!(spent(&Usage { cpu: None, ..usage }, Some(Span::from_secs(8))).is_some());
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
