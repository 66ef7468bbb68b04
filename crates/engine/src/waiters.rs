//! Callers that wait for a run to end or to need a human.

use std::collections::HashMap;

use parking_lot::Mutex;
use stead_core::id::RunId;
use stead_ports::journal::Status;
use tokio::sync::oneshot;

use crate::types::EngineError;

type News = Result<Status, EngineError>;

/// Who waits for which run.
#[derive(Default)]
pub(crate) struct Waiters(Mutex<HashMap<RunId, Vec<oneshot::Sender<News>>>>);

/// A caller's place in line; leaves no trace when it is dropped.
pub(crate) struct Turn<'a> {
    waiters: &'a Waiters,
    run: RunId,
    news: oneshot::Receiver<News>,
}

impl Turn<'_> {
    /// The run's next status; or why there will be none: the run is set aside, or the engine stops.
    pub(crate) async fn news(mut self) -> News {
        (&mut self.news).await.unwrap_or(Err(EngineError::Draining))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.news.close();
        let mut map = self.waiters.0.lock();
        if let Some(waiting) = map.get_mut(&self.run) {
            waiting.retain(|w| !w.is_closed());
            if waiting.is_empty() {
                map.remove(&self.run);
            }
        }
    }
}

impl Waiters {
    /// Completes when the run next changes its status.
    pub(crate) fn wait(&self, run: RunId) -> Turn<'_> {
        let (tx, news) = oneshot::channel();
        self.0.lock().entry(run).or_default().push(tx);
        Turn { waiters: self, run, news }
    }

    /// The run's status changed, or it will not change any more.
    pub(crate) fn wake(&self, run: RunId, news: &News) {
        let waiting = self.0.lock().remove(&run);
        for w in waiting.into_iter().flatten() {
            let _ = w.send(news.clone());
        }
    }

    /// Everyone is woken: the engine stops.
    pub(crate) fn wake_all(&self) {
        let all = std::mem::take(&mut *self.0.lock());
        drop(all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_that_gives_up_leaves_no_trace_and_takes_nobody_with_it() {
        let waiters = Waiters::default();
        let (first, second) = (waiters.wait(RunId(1)), waiters.wait(RunId(1)));
        drop(first);
        assert_eq!(waiters.0.lock().get(&RunId(1)).map(Vec::len), Some(1));
        drop(second);
        assert!(waiters.0.lock().is_empty());
    }
}
