//! What a decision comes to, in a word.

use serde::Deserialize;

use crate::decision::Verdict;

/// What a decision comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It may be done.
    Allow,
    /// It may not.
    Deny,
    /// Humans are asked.
    Ask,
}

impl Outcome {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Ask => "ask",
        }
    }
}

impl From<&Verdict> for Outcome {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Allow => Self::Allow,
            Verdict::Deny(_) => Self::Deny,
            Verdict::Ask(_) => Self::Ask,
        }
    }
}
