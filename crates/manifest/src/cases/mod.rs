//! `tests/*.yaml`: cases that `stead test` runs an agent through. What a case may say, what it says, and in which line.
//!
//! Not here: running a case, and judging what came of it.

mod case;
mod keys;
mod parse;

pub use case::{
    AnswerExpected, Approval, ApprovalAnswer, Call, Case, CaseModel, Crash, Decision, Double, Expected, Limits,
    OtherCalls, Returned, Turn,
};
pub use parse::{case_schema, parse_case};
