//! Cases of a policy set: questions and what the answer must be, in a file beside it, for people and for CI.

mod ask;
mod other;
mod outcome;
mod words;

use stead_core::time::Timestamp;

pub use ask::CaseResult;
pub use outcome::Outcome;
pub use words::{CASES, Case};

/// When a case is asked: 2026-01-01T12:00:00Z.
const NOON: Timestamp = Timestamp(1_767_268_800_000_000);
