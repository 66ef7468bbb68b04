//! Time and randomness, as inputs.

use stead_core::{id::RunId, time::Timestamp};

/// The clock and the dice of an engine. The simulator's are seeded.
pub trait Clock: Send + Sync + 'static {
    /// Wall clock time, for what people read and for waits that outlive the process.
    fn now(&self) -> Timestamp;

    /// Microseconds on a clock that only runs forward and counts suspended time; for leases and live deadlines.
    fn boot_micros(&self) -> u64;

    /// Sixteen fresh random bytes.
    fn random(&self) -> [u8; 16];

    /// A new ULID: 48 bits of milliseconds, 80 bits of randomness. Ids of one process never repeat.
    fn new_ulid(&self) -> u128 {
        let millis = u128::try_from(self.now().0.max(0) / 1_000).unwrap_or(0);
        let random = u128::from_be_bytes(self.random());
        (millis << 80) | (random & ((1 << 80) - 1))
    }

    /// A new run id.
    fn new_run(&self) -> RunId {
        RunId(self.new_ulid())
    }

    /// Completes when the wall clock reaches `at`.
    fn sleep_until(&self, at: Timestamp) -> crate::BoxFuture<'static, ()>;
}
