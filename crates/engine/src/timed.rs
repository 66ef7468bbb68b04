//! How long things took: counts in buckets of fixed bounds, cheap to add to.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Upper bounds of the buckets, in microseconds; what took longer is in one more.
const BOUNDS: [u64; 14] = [
    5_000,
    25_000,
    100_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    1_800_000_000,
    10_800_000_000,
    86_400_000_000,
];

/// The live counters behind [`Durations`].
#[derive(Default)]
pub(crate) struct Timed {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

/// How long things took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// How many took at most so many microseconds and longer than the bound before; the last bound is `u64::MAX`.
    pub buckets: Vec<(u64, u64)>,
    /// Microseconds of all together.
    pub micros: u64,
}

impl Durations {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, n)| n).sum()
    }
}

impl Timed {
    pub(crate) fn add(&self, micros: u64) {
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.micros.fetch_add(micros, Relaxed);
    }

    pub(crate) fn read(&self) -> Durations {
        let bounds = BOUNDS.into_iter().chain([u64::MAX]);
        let buckets = bounds.zip(&self.buckets).map(|(bound, n)| (bound, n.load(Relaxed))).collect();
        Durations { buckets, micros: self.micros.load(Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_has_it() {
        let timed = Timed::default();
        [0, 5_000, 5_001, 86_400_000_000, 86_400_000_001, u64::MAX >> 1]
            .into_iter()
            .for_each(|micros| timed.add(micros));
        let read = timed.read();
        assert!(BOUNDS.is_sorted() && read.buckets.is_sorted());
        assert_eq!(
            (read.buckets[0], read.buckets[1], read.buckets[13]),
            ((5_000, 2), (25_000, 1), (86_400_000_000, 1))
        );
        assert_eq!((read.buckets[14], read.count()), ((u64::MAX, 2), 6));
    }
}
