//! Runs that are left alone: until the process restarts, because their journal cannot be folded or their task has panicked;
//! or until their next try, because they could not be loaded or could not go on just now.

use std::collections::{HashMap, hash_map::Entry};

use parking_lot::Mutex;
use stead_core::{id::RunId, time::Timestamp};

use crate::types::EngineError;

/// See the module.
#[derive(Default)]
pub(crate) struct Asides(Mutex<HashMap<RunId, Aside>>);

/// Why a run is left alone, and until when.
#[derive(Clone)]
pub(crate) struct Aside {
    pub(crate) error: EngineError,
    /// When it is tried again; `None` is not before the process restarts.
    pub(crate) again: Option<Timestamp>,
}

impl Asides {
    /// Leaves a run alone until the process restarts.
    pub(crate) fn for_good(&self, run: RunId, error: EngineError) {
        self.0.lock().insert(run, Aside { error, again: None });
    }

    /// Leaves a run alone until it is tried again. Whether the caller has to see to that: a run that was left alone before
    /// has its time already, however often it is asked for in between.
    #[must_use]
    pub(crate) fn until(&self, run: RunId, error: EngineError, again: Timestamp) -> bool {
        match self.0.lock().entry(run) {
            Entry::Vacant(free) => {
                free.insert(Aside { error, again: Some(again) });
                true
            }
            Entry::Occupied(mut aside) => {
                if aside.get().again.is_some() {
                    aside.get_mut().error = error;
                }
                false
            }
        }
    }

    /// The time of a try has come. Whether it still is one: the run may have been loaded since.
    #[must_use]
    pub(crate) fn due(&self, run: RunId, again: Timestamp) -> bool {
        let mut runs = self.0.lock();
        let due = runs.get(&run).is_some_and(|aside| aside.again == Some(again));
        if due {
            runs.remove(&run);
        }
        due
    }

    /// A run could be loaded, or has ended: it is left alone no more, unless for good.
    pub(crate) fn back(&self, run: RunId) {
        let mut runs = self.0.lock();
        if runs.get(&run).is_some_and(|aside| aside.again.is_some()) {
            runs.remove(&run);
        }
    }

    /// Why a run is left alone, if it is.
    pub(crate) fn get(&self, run: RunId) -> Option<Aside> {
        self.0.lock().get(&run).cloned()
    }

    /// What callers are told of a run that is left alone for good.
    pub(crate) fn quarantine(&self, run: RunId) -> Option<EngineError> {
        self.0.lock().get(&run).filter(|aside| aside.again.is_none()).map(|aside| aside.error.clone())
    }

    pub(crate) fn contains(&self, run: RunId) -> bool {
        self.0.lock().contains_key(&run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: RunId = RunId(1);

    fn draining(asides: &Asides, at: i64) -> bool {
        asides.until(RUN, EngineError::Draining, Timestamp(at))
    }

    #[test]
    fn a_run_has_one_time_for_its_next_try_until_that_has_come_or_it_is_back() {
        let asides = Asides::default();
        assert!(draining(&asides, 10));
        assert!(!draining(&asides, 11) && !draining(&asides, 10));
        assert!(!asides.due(RUN, Timestamp(11)) && asides.due(RUN, Timestamp(10)) && !asides.contains(RUN));
        assert!(draining(&asides, 20));
        asides.back(RUN);
        assert!(!asides.contains(RUN) && draining(&asides, 30));
        // Whoever waited for a time that is none any more does nothing.
        assert!(!asides.due(RUN, Timestamp(20)) && asides.contains(RUN));
    }

    #[test]
    fn a_run_that_is_left_alone_for_good_stays_so() {
        let asides = Asides::default();
        asides.for_good(RUN, EngineError::Draining);
        asides.back(RUN);
        assert!(!draining(&asides, 10) && asides.quarantine(RUN).is_some());
    }
}
