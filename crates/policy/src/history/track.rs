//! What one counter remembers for one scope: times and amounts, exact up to a bound. Beyond it, what is remembered can only
//! say more than there was.

use std::collections::{BTreeMap, VecDeque};

use stead_core::time::{Span, Timestamp};

/// Events of one counter in one scope that are remembered each for itself; beyond, the two oldest become one that is as
/// young as the younger: it counts for longer than it should, never for less.
pub const MAX_EVENTS: usize = 4_096;
/// Events of one counter in all scopes together that are remembered each for itself; beyond, as above.
pub const MAX_POINTS: usize = 262_144;
/// Scopes of one counter, and values of a `seen` in one scope. Beyond, what the counter says is not known, and a decision
/// that reads it denies.
pub const MAX_KEYS: usize = 65_536;

/// A number of calls and the sum of their amounts, at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    at: Timestamp,
    count: i64,
    sum: i64,
}

/// Counts and sums over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Series {
    /// By time.
    points: VecDeque<Point>,
}

impl Series {
    /// Adds a call; with `room`, as an event of its own. Without a window, only the totals are kept.
    pub(super) fn add(&mut self, at: Timestamp, amount: i64, within: Option<Span>, room: bool) {
        let point = Point { at, count: 1, sum: amount };
        match within {
            None => match self.points.front_mut() {
                Some(total) => total.join(point),
                None => self.points.push_back(point),
            },
            Some(_) => {
                // Runs tell in nearly the order of time.
                let behind = self.points.iter().rev().take_while(|p| p.at > at).count();
                self.points.insert(self.points.len() - behind, point);
                let full = self.points.len() > MAX_EVENTS || (!room && self.points.len() > 1);
                if full
                    && let Some(oldest) = self.points.pop_front()
                    && let Some(next) = self.points.front_mut()
                {
                    next.join(oldest);
                }
            }
        }
    }

    /// How many events are remembered.
    pub(super) fn len(&self) -> usize {
        self.points.len()
    }

    /// Count and sum of what lies within the window; both stop at the ends of 64 bits.
    pub(super) fn read(&self, now: Timestamp, within: Option<Span>) -> (i64, i64) {
        let live = self.points.iter().filter(|p| alive(p.at, now, within));
        let mut total = Point { at: now, count: 0, sum: 0 };
        live.for_each(|p| total.join(*p));
        (total.count, total.sum)
    }

    /// Forgets what no window will show again; whether anything is left.
    pub(super) fn sweep(&mut self, now: Timestamp, within: Option<Span>) -> bool {
        while self.points.front().is_some_and(|p| !alive(p.at, now, within)) {
            self.points.pop_front();
        }
        !self.points.is_empty()
    }
}

impl Point {
    fn join(&mut self, other: Self) {
        self.at = self.at.max(other.at);
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
    }
}

/// Values that were seen, as digests, and when last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Values {
    last: BTreeMap<[u8; 16], Timestamp>,
    /// Whether there were more than [`MAX_KEYS`].
    overflowed: bool,
}

impl Values {
    pub(super) fn add(&mut self, value: [u8; 16], at: Timestamp, now: Timestamp, within: Option<Span>) {
        if self.last.len() >= MAX_KEYS && !self.last.contains_key(&value) {
            self.last.retain(|_, at| alive(*at, now, within));
            if self.last.len() >= MAX_KEYS {
                self.overflowed = true;
                return;
            }
        }
        let last = self.last.entry(value).or_insert(at);
        *last = (*last).max(at);
    }

    /// Whether the value was seen; `None` when that is not known.
    pub(super) fn read(&self, value: [u8; 16], now: Timestamp, within: Option<Span>) -> Option<bool> {
        match self.last.get(&value) {
            Some(at) if alive(*at, now, within) => Some(true),
            _ if self.overflowed => None,
            _ => Some(false),
        }
    }

    pub(super) fn sweep(&mut self, now: Timestamp, within: Option<Span>) -> bool {
        self.last.retain(|_, at| alive(*at, now, within));
        self.overflowed || !self.last.is_empty()
    }
}

/// Whether something at a time is within the window: one that lies `within` back exactly no longer is.
pub(super) fn alive(at: Timestamp, now: Timestamp, within: Option<Span>) -> bool {
    within.is_none_or(|within| now < at.after(within))
}
