//! Many histories at once, on threads that share nothing. The sum does not depend on how they are divided.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use crate::{
    failure::{Failure, Profile, Summary, Violation},
    live, machine,
};

/// Histories that a thread takes at a time.
const BATCH: u64 = 64;

/// Lives `histories` histories from seed `first` on. A failure ends it early: the failed history of the lowest seed
/// that was seen.
///
/// # Errors
/// The history that broke a check.
pub fn many(
    profile: Profile,
    first: u64,
    histories: u64,
    threads: usize,
    trace: bool,
) -> Result<Summary, Box<Failure>> {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let result: Mutex<(Summary, Option<Box<Failure>>)> = Mutex::new((Summary::default(), None));
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let mut sum = Summary::default();
                let mut failed: Option<Box<Failure>> = None;
                while !stop.load(Ordering::Relaxed) {
                    let from = next.fetch_add(BATCH, Ordering::Relaxed);
                    if from >= histories {
                        break;
                    }
                    for i in from..histories.min(from + BATCH) {
                        match one(profile, first.wrapping_add(i), trace) {
                            Ok(summary) => sum.add(&summary),
                            Err(failure) => {
                                stop.store(true, Ordering::Relaxed);
                                failed.get_or_insert(failure);
                                break;
                            }
                        }
                    }
                }
                let mut all = result.lock().unwrap_or_else(PoisonError::into_inner);
                all.0.add(&sum);
                if let Some(failure) = failed
                    && all.1.as_ref().is_none_or(|f| failure.seed < f.seed)
                {
                    all.1 = Some(failure);
                }
            });
        }
    });
    let (sum, failure) = result.into_inner().unwrap_or_else(PoisonError::into_inner);
    failure.map_or(Ok(sum), Err)
}

/// Lives one history.
///
/// # Errors
/// The check that it broke.
pub fn one(profile: Profile, seed: u64, trace: bool) -> Result<Summary, Box<Failure>> {
    let life = || match profile {
        Profile::Core => machine::history::run_history(seed, trace),
        Profile::Engine => live::history::run_history(seed, trace),
    };
    std::panic::catch_unwind(life).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
        let violation = Violation { check: "nothing panics", detail: text };
        Err(Box::new(Failure { seed, profile, violation, trace: Vec::new() }))
    })
}
