//! When the next call of an account may pass: limits, and what the provider has said. Pure: time and chance come in.
//!
//! When a provider says that it has had enough, the account is closed for as long as it asks for, a minute at most (the run
//! that was refused waits for all of it by itself). Then calls pass at a distance, which halves with each one that is
//! answered and doubles when the provider has had enough again; so that a thousand runs ask one after the other whether it
//! goes on, and not all at once.

use super::{
    rates::Rates,
    waits::WaitsFor,
    window::{Room, Window},
};

/// Microseconds of a second.
pub(super) const SECOND: u64 = 1_000_000;
/// Longest that all runs wait because one of them was refused.
const CLOSED_MOST: u64 = 60 * SECOND;
/// First and longest distance between calls after that, and the shortest that is kept.
const GAP_FIRST: u64 = 2_000;
const GAP_MOST: u64 = SECOND / 2;
const GAP_LEAST: u64 = 1_000;

/// When the first in line may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Now.
    Now,
    /// At that time, and what it waits for.
    At(u64, WaitsFor),
    /// Not before a call comes back or arrives.
    Unknown(WaitsFor),
}

/// A call that has passed, as the account counts it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    tokens: u64,
    passed: u64,
    /// When its tokens leave the window; 0 while it is not known to have arrived.
    leaves: u64,
    arrived: bool,
}

/// See the module. Times are microseconds of a clock that only runs forward.
#[derive(Debug)]
pub(super) struct Gauge {
    concurrent: Option<u32>,
    under_way: u32,
    requests: Vec<Window>,
    tokens: Option<Window>,
    /// The provider has had enough until then.
    closed: u64,
    /// When it said so first, since a call passed.
    refused_at: u64,
    /// Distance between calls, and when the next one may pass because of it.
    gap: u64,
    next: u64,
}

impl Gauge {
    pub(super) fn new(rates: Rates) -> Self {
        let window = |span: u64, limit: Option<u32>| limit.map(|n| Window::new(span, n.into()));
        let requests = [window(SECOND, rates.requests_per_second), window(60 * SECOND, rates.requests_per_minute)];
        Self {
            concurrent: rates.concurrent,
            under_way: 0,
            requests: requests.into_iter().flatten().collect(),
            tokens: rates.tokens_per_minute.map(|n| Window::new(60 * SECOND, n)),
            closed: 0,
            refused_at: 0,
            gap: 0,
            next: 0,
        }
    }

    /// When a call of so many tokens may pass.
    pub(super) fn when(&mut self, now: u64, tokens: u64) -> When {
        if self.concurrent.is_some_and(|most| self.under_way >= most) {
            return When::Unknown(WaitsFor::Concurrent);
        }
        let mut latest = (0, WaitsFor::Pause);
        let pauses = [(self.closed, WaitsFor::Refused), (self.next, WaitsFor::Pause)];
        let windows = self.requests.iter_mut().map(|w| (w.room(now, 1), WaitsFor::Requests));
        let tokens = self.tokens.as_mut().map(|w| (w.room(now, tokens), WaitsFor::Tokens));
        for (room, why) in windows.chain(tokens) {
            match room {
                Room::Now => {}
                Room::At(at) => latest = later(latest, (at, why)),
                Room::Unknown => return When::Unknown(why),
            }
        }
        latest = pauses.into_iter().fold(latest, later);
        if latest.0 <= now { When::Now } else { When::At(latest.0, latest.1) }
    }

    /// A call passes. `chance` moves the next one a little.
    pub(super) fn pass(&mut self, now: u64, tokens: u64, chance: u16) -> Counted {
        self.under_way += 1;
        self.requests.iter_mut().for_each(|w| w.send(1));
        self.tokens.iter_mut().for_each(|w| w.send(tokens));
        self.next = now + self.gap / 2 + self.gap * u64::from(chance) / u64::from(u16::MAX);
        Counted { tokens, passed: now, leaves: 0, arrived: false }
    }

    /// Its answer has begun, so it has arrived. Tells whether that was news.
    pub(super) fn arrived(&mut self, now: u64, call: &mut Counted) -> bool {
        if std::mem::replace(&mut call.arrived, true) {
            return false;
        }
        self.requests.iter_mut().for_each(|w| {
            w.arrive(now, 1);
        });
        call.leaves = self.tokens.as_mut().map_or(0, |w| w.arrive(now, call.tokens));
        true
    }

    /// It is over, and has used so many tokens, as far as anybody knows. A call that was never sent counts for nothing.
    pub(super) fn ended(&mut self, now: u64, mut call: Counted, sent: bool, used: Option<u64>) {
        self.under_way = self.under_way.saturating_sub(1);
        if !sent {
            self.requests.iter_mut().for_each(|w| w.take_back(1));
            self.tokens.iter_mut().for_each(|w| w.take_back(call.tokens));
            return;
        }
        self.arrived(now, &mut call);
        if let (Some(window), Some(used)) = (&mut self.tokens, used) {
            window.correct(now, call.leaves, call.tokens, used);
        }
    }

    /// The provider has had enough, and says for how long if it does.
    pub(super) fn refused(&mut self, now: u64, call: &Counted, wait: Option<u64>) {
        let wait = wait.unwrap_or(0).min(CLOSED_MOST);
        self.closed = self.closed.max(now.saturating_add(wait));
        // Calls that were under way together are refused together: that is one refusal.
        if call.passed >= self.refused_at {
            self.refused_at = now;
            self.gap = (self.gap * 2).max(wait / 16).clamp(GAP_FIRST, GAP_MOST);
        }
    }

    /// The provider has answered.
    pub(super) fn answered(&mut self, call: &Counted) {
        if call.passed >= self.refused_at {
            self.gap = if self.gap / 2 < GAP_LEAST { 0 } else { self.gap / 2 };
        }
    }

    /// Until when the provider has had enough.
    pub(super) fn closed_until(&self) -> u64 {
        self.closed
    }

    pub(super) fn under_way(&self) -> u32 {
        self.under_way
    }

    /// Whether nothing of the past matters any more.
    pub(super) fn is_idle(&mut self, now: u64) -> bool {
        self.under_way == 0
            && self.closed <= now
            && self.gap == 0
            && self.requests.iter_mut().chain(&mut self.tokens).all(|w| w.is_idle(now))
    }
}

fn later(a: (u64, WaitsFor), b: (u64, WaitsFor)) -> (u64, WaitsFor) {
    if b.0 > a.0 { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Gauge {
        Gauge::new(Rates::default())
    }

    #[test]
    fn without_limits_everything_passes_and_a_refusal_closes_for_all() {
        let mut gauge = open();
        let call = gauge.pass(0, 10, 0);
        assert_eq!(gauge.when(0, 1_000_000), When::Now);
        gauge.refused(SECOND, &call, Some(10 * SECOND));
        assert_eq!(gauge.when(SECOND, 1), When::At(11 * SECOND, WaitsFor::Refused));
        assert_eq!(gauge.when(11 * SECOND, 1), When::Now);
        // An hour is for the run that was refused; the others ask again after a minute.
        gauge.refused(20 * SECOND, &call, Some(3_600 * SECOND));
        assert_eq!(gauge.closed_until(), 80 * SECOND);
    }

    #[test]
    fn after_a_refusal_calls_pass_at_a_distance_that_shrinks_with_every_answer() {
        let mut gauge = open();
        let first = gauge.pass(0, 1, 0);
        gauge.refused(0, &first, Some(SECOND));
        let mut now = SECOND;
        let mut gaps = Vec::new();
        loop {
            let call = gauge.pass(now, 1, u16::MAX);
            let When::At(next, WaitsFor::Pause) = gauge.when(now, 1) else { break };
            gaps.push(next - now);
            gauge.answered(&call);
            now = next;
        }
        assert!(gaps[0] >= SECOND / 16 && gaps.len() > 3, "{gaps:?}");
        assert!(gaps.windows(2).all(|w| w[1] < w[0]), "{gaps:?}");
    }

    #[test]
    fn calls_that_were_under_way_together_are_refused_together() {
        let mut gauge = open();
        let calls: Vec<_> = (0..100).map(|_| gauge.pass(0, 1, 0)).collect();
        calls.iter().for_each(|call| gauge.refused(5, call, None));
        assert_eq!(gauge.gap, GAP_FIRST);
        // What was sent before says nothing about whether it goes on.
        calls.iter().for_each(|call| gauge.answered(call));
        assert_eq!(gauge.gap, GAP_FIRST);
        let next = gauge.pass(10_000, 1, 0);
        gauge.refused(20_000, &next, None);
        assert_eq!(gauge.gap, 2 * GAP_FIRST);
    }

    #[test]
    fn a_limit_on_calls_at_once_holds_and_a_call_that_was_not_sent_counts_for_nothing() {
        let rates = Rates { concurrent: Some(1), requests_per_minute: Some(1), ..Rates::default() };
        let mut gauge = Gauge::new(rates);
        let call = gauge.pass(0, 1, 0);
        assert_eq!(gauge.when(0, 1), When::Unknown(WaitsFor::Concurrent));
        gauge.ended(0, call, false, None);
        assert_eq!(gauge.when(0, 1), When::Now);
        let call = gauge.pass(0, 1, 0);
        gauge.ended(0, call, true, None);
        assert_eq!(gauge.under_way(), 0);
        assert!(matches!(gauge.when(0, 1), When::At(at, WaitsFor::Requests) if at >= 60 * SECOND));
    }

    #[test]
    fn tokens_are_counted_as_reserved_until_it_is_known_what_was_used() {
        let mut gauge = Gauge::new(Rates { tokens_per_minute: Some(1_000), ..Rates::default() });
        let mut call = gauge.pass(0, 900, 0);
        assert_eq!(gauge.when(0, 200), When::Unknown(WaitsFor::Tokens));
        assert!(gauge.arrived(SECOND, &mut call) && !gauge.arrived(SECOND, &mut call));
        gauge.ended(2 * SECOND, call, true, Some(100));
        assert_eq!(gauge.when(2 * SECOND, 900), When::Now);
        assert!(matches!(gauge.when(2 * SECOND, 901), When::At(at, WaitsFor::Tokens) if at >= 61 * SECOND));
    }
}
