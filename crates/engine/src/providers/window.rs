//! At most so much within any span of time, as whoever is asked counts it. Pure: time comes in.
//!
//! A request arrives some time after it was sent and before its answer begins. It is therefore counted from when it is
//! sent until a whole span after its answer has begun: whenever it arrived, no window of the provider holds more than the
//! limit, however long requests were on their way.

use std::collections::VecDeque;

/// Parts of a span that are told apart; what has arrived within one leaves the window together, at its end.
const GRAIN: u64 = 128;

/// When there is room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Now.
    Now,
    /// At that time.
    At(u64),
    /// Not before something that was sent has arrived.
    Unknown,
}

/// See the module. Times are microseconds of a clock that only runs forward.
#[derive(Debug)]
pub(super) struct Window {
    span: u64,
    limit: u64,
    /// Sent, and not known to have arrived.
    out: u64,
    /// When so much leaves the window, the earliest first.
    past: VecDeque<(u64, u64)>,
}

impl Window {
    /// At most `limit`, at least 1, within any `span`.
    pub(super) fn new(span: u64, limit: u64) -> Self {
        Self { span, limit: limit.max(1), out: 0, past: VecDeque::new() }
    }

    /// What `weight` counts for: one call above the whole limit goes alone.
    pub(super) fn counted(&self, weight: u64) -> u64 {
        weight.min(self.limit)
    }

    /// When there is room for `weight` more.
    pub(super) fn room(&mut self, now: u64, weight: u64) -> Room {
        while self.past.front().is_some_and(|(leaves, _)| *leaves <= now) {
            self.past.pop_front();
        }
        let arrived = self.past.iter().fold(0_u64, |sum, (_, weight)| sum.saturating_add(*weight));
        let used = self.out.saturating_add(arrived).saturating_add(self.counted(weight));
        let mut surplus = used.saturating_sub(self.limit);
        if surplus == 0 {
            return Room::Now;
        }
        for (leaves, weight) in &self.past {
            if *weight >= surplus {
                return Room::At(*leaves);
            }
            surplus -= weight;
        }
        Room::Unknown
    }

    /// `weight` is sent.
    pub(super) fn send(&mut self, weight: u64) {
        self.out = self.out.saturating_add(self.counted(weight));
    }

    /// `weight` was not sent after all.
    pub(super) fn take_back(&mut self, weight: u64) {
        self.out = self.out.saturating_sub(self.counted(weight));
    }

    /// `weight` has arrived by now; tells when it leaves the window.
    pub(super) fn arrive(&mut self, now: u64, weight: u64) -> u64 {
        self.take_back(weight);
        let grain = (self.span / GRAIN).max(1);
        let leaves = now.saturating_add(self.span).div_ceil(grain).saturating_mul(grain);
        let weight = self.counted(weight);
        match self.past.back_mut() {
            Some((last, sum)) if *last >= leaves => *sum = sum.saturating_add(weight),
            _ => self.past.push_back((leaves, weight)),
        }
        leaves
    }

    /// What leaves at `leaves` turned out to be `real` and not `weight`; more than was thought counts from now on.
    pub(super) fn correct(&mut self, now: u64, leaves: u64, weight: u64, real: u64) {
        let (weight, real) = (self.counted(weight), self.counted(real));
        if real > weight {
            self.out = self.out.saturating_add(real - weight);
            self.arrive(now, real - weight);
        } else if let Some((_, sum)) = self.past.iter_mut().find(|(at, _)| *at == leaves) {
            *sum = sum.saturating_sub(weight - real);
        }
    }

    /// Whether nothing is counted any more.
    pub(super) fn is_idle(&mut self, now: u64) -> bool {
        self.room(now, self.limit) == Room::Now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn what_is_on_its_way_counts_until_a_span_after_it_has_arrived() {
        let mut window = Window::new(SECOND, 2);
        window.send(1);
        window.send(1);
        assert_eq!(window.room(0, 1), Room::Unknown);
        let leaves = window.arrive(500_000, 1);
        assert!((1_500_000..1_510_000).contains(&leaves), "{leaves}");
        assert_eq!(window.room(500_000, 1), Room::At(leaves));
        assert_eq!(window.room(leaves, 1), Room::Now);
        assert_eq!(window.room(leaves, 2), Room::Unknown);
    }

    #[test]
    fn no_window_of_the_provider_holds_more_than_the_limit_however_long_requests_are_on_their_way() {
        // A small generator of numbers, so that the test needs no dice.
        let mut seed = 7_u64;
        let mut below = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % n
        };
        for limit in [1, 3, 10] {
            let mut window = Window::new(SECOND, limit);
            let (mut now, mut arrivals, mut answers) = (0, Vec::new(), Vec::new());
            for _ in 0..8_000 {
                now += below(SECOND / 20);
                answers.retain(|at| {
                    let due = *at <= now;
                    if due {
                        window.arrive(now, 1);
                    }
                    !due
                });
                if window.room(now, 1) == Room::Now {
                    window.send(1);
                    let arrives = now + below(SECOND);
                    arrivals.push(arrives);
                    answers.push(arrives + below(SECOND / 2));
                }
            }
            arrivals.sort_unstable();
            assert!(arrivals.len() > 50);
            let crowded = arrivals.windows(limit as usize + 1).find(|w| w[limit as usize] - w[0] < SECOND);
            assert_eq!(crowded, None, "limit {limit}");
        }
    }

    #[test]
    fn a_call_above_the_limit_goes_alone_and_what_it_really_used_counts_in_its_place() {
        let mut window = Window::new(SECOND, 100);
        assert_eq!(window.room(0, 5_000), Room::Now);
        window.send(5_000);
        assert_eq!(window.room(0, 1), Room::Unknown);
        let leaves = window.arrive(0, 5_000);
        window.correct(0, leaves, 5_000, 30);
        assert_eq!((window.room(0, 70), window.room(0, 71)), (Room::Now, Room::At(leaves)));
        window.correct(0, leaves, 30, 90);
        assert_eq!((window.room(0, 10), window.room(0, 11)), (Room::Now, Room::At(leaves)));
    }

    #[test]
    fn a_window_keeps_few_numbers_however_many_calls_it_counts() {
        let mut window = Window::new(60 * SECOND, 1_000_000);
        for n in 0..100_000 {
            window.send(1);
            window.arrive(n * 500, 1);
        }
        assert!(window.past.len() <= GRAIN as usize + 2, "{}", window.past.len());
    }
}
