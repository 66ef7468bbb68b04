//! How late this machine is with everything while a case runs, so that a deadline can be held to what is promised of it on a machine that is
//! also busy with something else. A bound without it would be a test that fails on a bad day, and no bound would hold nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use stead_ports::sandbox::End;

use super::Lab;

/// What is promised of a deadline on a machine that has nothing else to do.
const PROMISED: Duration = Duration::from_millis(100);
/// How long a measurement is meant to take.
const STEP: Duration = Duration::from_millis(10);
/// As many threads wait in a row for what ends a box: whoever holds it, its launcher, its init, and the kernel's own.
const IN_A_ROW: u32 = 4;

/// A measurement under way: a thread that has little to do, and notes how much later than it asked it is let do it.
pub struct Lateness {
    over: Arc<AtomicBool>,
    worst: JoinHandle<Duration>,
}

/// The worst that was measured.
#[derive(Clone, Copy, Debug)]
pub struct Late(Duration);

impl Lateness {
    /// Begins to measure.
    pub fn begin() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let worst = thread::spawn(move || {
            let mut worst = Duration::ZERO;
            while !until.load(Relaxed) {
                let begun = Instant::now();
                thread::sleep(STEP);
                worst = worst.max(begun.elapsed().saturating_sub(STEP));
            }
            worst
        });
        Self { over, worst }
    }

    /// How long an ordinary action of the lab takes, from being asked for to its end.
    ///
    /// # Panics
    /// If it fails.
    pub async fn ordinary(lab: &dyn Lab) -> Duration {
        let begun = Instant::now();
        assert_eq!(lab.sh("true").await.end, End::Exited(0));
        begun.elapsed()
    }

    /// What was measured until now.
    ///
    /// # Panics
    /// If the thread did.
    pub fn end(self) -> Late {
        self.over.store(true, Relaxed);
        Late(self.worst.join().unwrap())
    }
}

impl Late {
    /// A deadline was kept: nothing ended before it, and all of it was dead as soon after as is promised, on a machine that is that late and
    /// takes that long for an ordinary action.
    ///
    /// # Panics
    /// If it was not.
    pub fn kept(self, what: &str, wall: Duration, deadline: Duration, ordinary: Duration) {
        assert!(wall >= deadline, "{what}: ended after {wall:?}, before its deadline of {deadline:?}");
        self.within(what, wall, deadline + PROMISED + ordinary);
    }

    /// Something took no longer than that, and what this machine is late.
    ///
    /// # Panics
    /// If it did.
    pub fn within(self, what: &str, took: Duration, bound: Duration) {
        let bound = bound + self.0 * IN_A_ROW;
        assert!(
            took <= bound,
            "{what}: it took {took:?}, and {bound:?} is the bound on a machine that is up to {:?} late",
            self.0
        );
    }
}
