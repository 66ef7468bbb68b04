//! What one counter remembers for one scope: times and amounts, exact up to a bound. Beyond it, what is remembered can only
//! say more than there was.

use std::collections::{BTreeMap, VecDeque};

use minicbor::{Decode, Encode};
use stead_core::time::{Span, Timestamp};

/// Events of one counter in one scope that are remembered each for itself; beyond, the two oldest become one that is as
/// young as the younger: it counts for longer than it should, never for less.
pub const MAX_EVENTS: usize = 4_096;
/// Events of one counter in all scopes together that are remembered each for itself; beyond, as above.
pub const MAX_POINTS: usize = 262_144;
/// Scopes of one counter, and values of a `seen` in one scope. Beyond, what the counter says is not known, and a decision
/// that reads it denies.
pub const MAX_KEYS: usize = 65_536;

/// All that there was up to a time, since the series began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Total {
    at: Timestamp,
    count: i128,
    sum: i128,
}

/// Counts and sums over time. Each event stands with the totals up to it, so that a window is the difference of two of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Series {
    /// By time.
    totals: VecDeque<Total>,
    /// The totals of what is forgotten.
    gone: Total,
}

/// Events at one time, as they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Point {
    #[n(0)]
    at: Timestamp,
    #[n(1)]
    count: i64,
    #[n(2)]
    sum: i64,
}

impl Series {
    /// Adds a call; with `room`, as an event of its own. Without a window, only the totals are kept.
    pub(super) fn add(&mut self, at: Timestamp, amount: i64, within: Option<Span>, room: bool) {
        self.join(Point { at, count: 1, sum: amount }, within, room);
    }

    fn join(&mut self, point: Point, within: Option<Span>, room: bool) {
        let Point { at, count, sum } = point;
        let (count, sum) = (i128::from(count), i128::from(sum));
        if within.is_none()
            && let Some(total) = self.totals.front_mut()
        {
            *total = Total { at: total.at.max(at), count: total.count + count, sum: total.sum + sum };
            return;
        }
        // Runs tell in nearly the order of time.
        let behind = self.totals.iter().rev().take_while(|t| t.at > at).count();
        let place = self.totals.len() - behind;
        let before = place.checked_sub(1).and_then(|n| self.totals.get(n)).copied().unwrap_or(self.gone);
        self.totals.insert(place, Total { at, count: before.count + count, sum: before.sum + sum });
        for later in self.totals.iter_mut().skip(place + 1) {
            (later.count, later.sum) = (later.count + count, later.sum + sum);
        }
        // Of two that become one the younger stands for both: its totals have the older's.
        if self.totals.len() > MAX_EVENTS || (!room && self.totals.len() > 1) {
            self.totals.pop_front();
        }
    }

    /// How many events are remembered.
    pub(super) fn len(&self) -> usize {
        self.totals.len()
    }

    /// Count and sum of what lies within the window.
    pub(super) fn read(&self, now: Timestamp, within: Option<Span>) -> (i128, i128) {
        let first = self.totals.partition_point(|t| !alive(t.at, now, within));
        let before = first.checked_sub(1).and_then(|n| self.totals.get(n)).copied().unwrap_or(self.gone);
        let last = self.totals.back().copied().unwrap_or(self.gone);
        (last.count - before.count, last.sum - before.sum)
    }

    /// Forgets what no window will show again; whether anything is left.
    pub(super) fn sweep(&mut self, now: Timestamp, within: Option<Span>) -> bool {
        while let Some(oldest) = self.totals.front().copied().filter(|t| !alive(t.at, now, within)) {
            self.gone = oldest;
            self.totals.pop_front();
        }
        !self.totals.is_empty()
    }

    /// As it is kept.
    pub(super) fn points(&self) -> Vec<Point> {
        let mut before = self.gone;
        let point = |total: &Total| {
            let was = std::mem::replace(&mut before, *total);
            Point { at: total.at, count: clamped(total.count - was.count), sum: clamped(total.sum - was.sum) }
        };
        self.totals.iter().map(point).collect()
    }

    /// From what was kept.
    pub(super) fn of(points: Vec<Point>, within: Option<Span>) -> Self {
        let mut series = Self::default();
        points.into_iter().for_each(|point| series.join(point, within, true));
        series
    }
}

/// A number that stops at the ends of 64 bits.
pub(super) fn clamped(n: i128) -> i64 {
    i64::try_from(n).unwrap_or(if n < 0 { i64::MIN } else { i64::MAX })
}

/// Values that were seen, as digests, and when last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Values {
    last: BTreeMap<[u8; 16], Timestamp>,
    /// Whether there were more than [`MAX_KEYS`].
    overflowed: bool,
    /// When there was last a value that nobody can read any more.
    blind: Option<Timestamp>,
}

/// The same as it is kept.
#[derive(Clone, Debug, Encode, Decode)]
pub(super) struct KeptValues {
    #[n(0)]
    last: Vec<KeptValue>,
    #[n(1)]
    overflowed: bool,
    #[n(2)]
    blind: Option<Timestamp>,
}

#[derive(Clone, Debug, Encode, Decode)]
struct KeptValue {
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    value: [u8; 16],
    #[n(1)]
    at: Timestamp,
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

    /// There was a value that cannot be read any more.
    pub(super) fn add_unknown(&mut self, at: Timestamp) {
        self.blind = self.blind.max(Some(at));
    }

    /// Whether the value was seen; `None` when that is not known.
    pub(super) fn read(&self, value: [u8; 16], now: Timestamp, within: Option<Span>) -> Option<bool> {
        match self.last.get(&value) {
            Some(at) if alive(*at, now, within) => Some(true),
            _ if self.overflowed || self.blind.is_some_and(|at| alive(at, now, within)) => None,
            _ => Some(false),
        }
    }

    pub(super) fn sweep(&mut self, now: Timestamp, within: Option<Span>) -> bool {
        self.last.retain(|_, at| alive(*at, now, within));
        self.blind = self.blind.filter(|at| alive(*at, now, within));
        self.overflowed || self.blind.is_some() || !self.last.is_empty()
    }

    pub(super) fn keep(&self) -> KeptValues {
        let last = self.last.iter().map(|(value, at)| KeptValue { value: *value, at: *at }).collect();
        KeptValues { last, overflowed: self.overflowed, blind: self.blind }
    }

    pub(super) fn of(kept: KeptValues) -> Self {
        let last = kept.last.into_iter().map(|KeptValue { value, at }| (value, at)).collect();
        Self { last, overflowed: kept.overflowed, blind: kept.blind }
    }
}

/// Whether something at a time is within the window: one that lies `within` back exactly no longer is.
pub(super) fn alive(at: Timestamp, now: Timestamp, within: Option<Span>) -> bool {
    within.is_none_or(|within| now < at.after(within))
}
