//! Instants and spans in whole microseconds; both are plain numbers that come in from outside.

use std::fmt;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch (UTC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
#[cbor(transparent)]
#[serde(transparent)]
pub struct Timestamp(#[n(0)] pub i64);

/// A span in microseconds; never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
#[cbor(transparent)]
#[serde(transparent)]
pub struct Span(#[n(0)] pub u64);

impl Span {
    /// A span of whole milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000))
    }

    /// A span of whole seconds.
    pub const fn from_secs(s: u64) -> Self {
        Self(s.saturating_mul(1_000_000))
    }

    /// The span as the standard library's type, for timers.
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_micros(self.0)
    }
}

/// In words: `250 ms`, `1.5 s`, `90 s`; what is below a millisecond is told in `µs`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0 / 1_000;
        match millis {
            0 => write!(f, "{} µs", self.0),
            1..1_000 => write!(f, "{millis} ms"),
            _ if millis.is_multiple_of(1_000) => write!(f, "{} s", millis / 1_000),
            _ => {
                let part = format!("{:03}", millis % 1_000);
                write!(f, "{}.{} s", millis / 1_000, part.trim_end_matches('0'))
            }
        }
    }
}

impl Timestamp {
    /// `self + span`, saturating at the end of time.
    #[must_use]
    pub fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add_unsigned(span.0))
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    pub fn since(self, earlier: Self) -> Span {
        Span(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_the_unit_that_it_needs() {
        let told =
            [0, 900, 1_000, 250_000, 999_999, 1_000_000, 1_500_000, 1_050_000, 90_000_000].map(|n| Span(n).to_string());
        assert_eq!(told, ["0 µs", "900 µs", "1 ms", "250 ms", "999 ms", "1 s", "1.5 s", "1.05 s", "90 s"]);
    }
}
