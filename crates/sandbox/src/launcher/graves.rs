//! Groups of dead boxes, removed when there is time.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::cgroup::{Group, Groups};

/// Groups of dead boxes, removed when there is time.
#[derive(Default)]
pub(super) struct Graves {
    groups: VecDeque<Group>,
    /// Something was still in one: when to try again.
    again: Option<Instant>,
}

impl Graves {
    /// Remembers one; with many waiting the oldest go at once.
    pub(super) fn add(&mut self, groups: &Groups, group: Group) {
        const MOST: usize = 32;
        self.groups.push_back(group);
        if self.groups.len() > MOST {
            self.clear(groups);
        }
    }

    /// How long until there is something to do.
    pub(super) fn patience(&self, now: Instant) -> Option<Duration> {
        let again = self.again.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        (!self.groups.is_empty()).then_some(again)
    }

    /// Removes those that can be.
    pub(super) fn clear(&mut self, groups: &Groups) {
        const PAUSE: Duration = Duration::from_millis(50);
        self.groups.retain(|group| !groups.remove(group));
        self.again = (!self.groups.is_empty()).then(|| Instant::now() + PAUSE);
    }
}

/// When a box has to end.
pub(super) fn deadline(from: Instant, wall_ms: u64) -> Instant {
    const MOST: Duration = Duration::from_secs(30 * 24 * 3600);
    from + Duration::from_millis(wall_ms).min(MOST)
}
