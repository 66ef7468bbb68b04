//! Runs that sleep until a time: a row in the store each, and here only the earliest.

use std::time::Duration;

use parking_lot::Mutex;
use stead_core::time::Timestamp;
use tokio::sync::Notify;

use crate::{Engine, types::EngineError};

/// Runs woken at once.
const BATCH: u32 = 1_000;

/// The earliest time that a run waits for.
#[derive(Default)]
pub(crate) struct Wakes {
    earliest: Mutex<Option<Timestamp>>,
    changed: Notify,
}

impl Wakes {
    /// A run must be woken at `at`.
    pub(crate) fn at(&self, at: Timestamp) {
        let mut earliest = self.earliest.lock();
        if earliest.is_none_or(|e| at < e) {
            *earliest = Some(at);
            drop(earliest);
            self.changed.notify_one();
        }
    }
}

/// Wakes runs when their time comes, for as long as the engine lives.
pub(crate) async fn run(engine: Engine) {
    let clock = engine.0.ports.clock.clone();
    loop {
        let changed = engine.0.wakes.changed.notified();
        let earliest = *engine.0.wakes.earliest.lock();
        match earliest {
            Some(at) if at > clock.now() => {
                tokio::select! {
                    () = changed => {}
                    () = clock.sleep_until(at) => {}
                }
                continue;
            }
            None => {
                changed.await;
                continue;
            }
            Some(_) => {}
        }
        if engine.0.is_draining() {
            return;
        }
        *engine.0.wakes.earliest.lock() = None;
        if let Err(error) = wake_due(&engine).await {
            tracing::warn!(%error, "runs that are due could not be read; trying again");
            engine.0.wakes.at(clock.now().after(stead_core::time::Span::from_secs(1)));
        }
    }
}

async fn wake_due(engine: &Engine) -> Result<(), EngineError> {
    let journal = engine.journal();
    let now = engine.0.ports.clock.now();
    let due = journal.due(now, BATCH).await?;
    let full = due.len() == BATCH as usize;
    let mut roused = false;
    for run in due {
        roused |= engine.0.rouse(engine, run);
    }
    // Rows of runs just woken stand until they commit; looking again at once would only find them again. Those of runs
    // that are set aside stand for long.
    let pause = match (full, roused) {
        (true, true) => Duration::from_millis(20),
        (false, true) => Duration::from_millis(200),
        (_, false) => Duration::from_secs(1),
    };
    if let Some(next) = journal.next_wake().await? {
        let earliest = now.after(stead_core::time::Span(u64::try_from(pause.as_micros()).unwrap_or(u64::MAX)));
        engine.0.wakes.at(next.max(earliest));
    }
    Ok(())
}
