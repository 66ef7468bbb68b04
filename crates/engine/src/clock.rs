//! The real clock and the kernel's dice.

use std::{cell::RefCell, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use stead_core::time::Timestamp;
use stead_ports::{BoxFuture, clock::Clock};

/// Random bytes drawn from the kernel at once, per thread: a record needs sixteen, and a system call costs more
/// than they do.
const POOL: usize = 512;

/// Longest sleep without a look at the wall clock, which may jump.
const NAP: Duration = Duration::from_secs(30);

/// Wall clock, boot-time clock and the kernel's random bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

struct Pool {
    bytes: [u8; POOL],
    used: usize,
}

thread_local! {
    static POOLED: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; POOL], used: POOL }) };
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let t = clock_gettime(ClockId::Realtime);
        Timestamp(t.tv_sec.saturating_mul(1_000_000).saturating_add(t.tv_nsec / 1_000))
    }

    fn boot_micros(&self) -> u64 {
        let t = since_boot();
        u64::try_from(t.tv_sec).unwrap_or(0).saturating_mul(1_000_000) + u64::try_from(t.tv_nsec / 1_000).unwrap_or(0)
    }

    fn random(&self) -> [u8; 16] {
        POOLED.with_borrow_mut(|pool| {
            if pool.used + 16 > POOL {
                fill(&mut pool.bytes);
                pool.used = 0;
            }
            let mut out = [0; 16];
            let drawn = &mut pool.bytes[pool.used..pool.used + 16];
            out.copy_from_slice(drawn);
            // What was handed out is not kept: it may become a key.
            drawn.fill(0);
            pool.used += 16;
            out
        })
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                let left = at.since(Self.now()).to_std();
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(NAP)).await;
            }
        })
    }
}

/// Boot time counts suspended time, which a lease must; a kernel without it (none since 2.6.39) gets monotonic time.
#[cfg(target_os = "linux")]
fn since_boot() -> rustix::time::Timespec {
    use rustix::time::{DynamicClockId, clock_gettime_dynamic};
    clock_gettime_dynamic(DynamicClockId::Boottime).unwrap_or_else(|_| clock_gettime(ClockId::Monotonic))
}

/// On macOS monotonic time goes on while the machine sleeps (clock_gettime(3)).
#[cfg(not(target_os = "linux"))]
fn since_boot() -> rustix::time::Timespec {
    clock_gettime(ClockId::Monotonic)
}

/// Fills `out` with random bytes of the kernel.
pub fn fill(out: &mut [u8]) {
    // Without randomness ids and salts would repeat: nothing may go on.
    getrandom::fill(out).unwrap_or_else(|e| panic!("the kernel gives no random bytes: {e}"));
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn random_bytes_do_not_repeat_and_boot_time_does_not_go_back() {
        let drawn: HashSet<_> = (0..10_000).map(|_| SystemClock.random()).collect();
        assert_eq!(drawn.len(), 10_000);
        let before = SystemClock.boot_micros();
        assert!(SystemClock.boot_micros() >= before);
    }
}
