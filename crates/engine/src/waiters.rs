//! Callers that wait for a run to end or to need a human.

use std::collections::HashMap;

use parking_lot::Mutex;
use stead_core::id::RunId;
use stead_ports::journal::Status;
use tokio::sync::oneshot;

/// Who waits for which run.
#[derive(Default)]
pub(crate) struct Waiters(Mutex<HashMap<RunId, Vec<oneshot::Sender<Status>>>>);

impl Waiters {
    /// Completes when the run next changes its status.
    pub(crate) fn wait(&self, run: RunId) -> oneshot::Receiver<Status> {
        let (tx, rx) = oneshot::channel();
        let mut map = self.0.lock();
        let waiting = map.entry(run).or_default();
        waiting.retain(|w| !w.is_closed());
        waiting.push(tx);
        rx
    }

    /// The run's status changed.
    pub(crate) fn wake(&self, run: RunId, status: Status) {
        if let Some(waiting) = self.0.lock().remove(&run) {
            for w in waiting {
                let _ = w.send(status);
            }
        }
    }

    /// Everyone is woken: the engine stops.
    pub(crate) fn wake_all(&self) {
        self.0.lock().clear();
    }
}
