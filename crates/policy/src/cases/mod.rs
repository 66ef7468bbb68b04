//! Cases of a policy set: questions and what the answer must be, in a file beside it, for people and for CI.

mod ask;
mod other;
mod outcome;
mod words;

pub use ask::CaseResult;
pub use outcome::Outcome;
pub use words::{CASES, Case};
