//! JSON in the canonical form of RFC 8785 (JCS), read strictly: what two readers could take for two things is refused.
//!
//! A name that stands twice in an object is refused, a lone surrogate, and a number that no double has exactly: who signs
//! `0.1000000000000000055` has not signed `0.1`. Text that is read need not be canonical; what is written is.

mod number;
mod read;
mod value;
mod write;

pub use number::Number;
pub use read::{MAX_BYTES, MAX_DEPTH, parse, parse_canonical};
pub use value::Value;

/// Why text is no JSON, or not of the kind that is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}, at byte {at}")]
pub struct BadJson {
    /// What is wrong.
    pub what: &'static str,
    /// Where.
    pub at: usize,
}
