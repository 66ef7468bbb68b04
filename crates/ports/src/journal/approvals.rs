//! The index of open questions to humans: one row for each, as long as it is open. What is asked, and why, is in the
//! run; the index only finds it.

use std::{fmt, str::FromStr};

use stead_core::{
    id::{EffectId, Name, RunId, SessionId},
    time::Timestamp,
};

/// A question that a run asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The ordinal of the effect that it is about.
    pub effect: u32,
    /// When it was asked.
    pub asked: Timestamp,
    /// What there is to tell people of it: 0 that it was asked; each reminder and each step of escalation adds one.
    pub round: u32,
}

/// An open question in a list; its order is that of the list, turned round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApprovalRow {
    /// When it was asked.
    pub asked: Timestamp,
    /// The effect that it is about.
    pub effect: EffectId,
}

/// As it stands in a cursor: microseconds, `@`, effect.
impl fmt::Display for ApprovalRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.asked.0, self.effect)
    }
}

impl FromStr for ApprovalRow {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        let (asked, effect) = s.split_once('@').ok_or(())?;
        let asked = asked.parse().map(Timestamp).map_err(drop)?;
        Ok(Self { asked, effect: effect.parse().map_err(drop)? })
    }
}

/// Which open questions to list, the one asked last first.
#[derive(Clone, Debug, Default)]
pub struct ApprovalFilter {
    /// Of this tenant.
    pub tenant: Name,
    /// Of this agent.
    pub agent: Option<Name>,
    /// Of this session.
    pub session: Option<SessionId>,
    /// Of this run.
    pub run: Option<RunId>,
    /// Asked before this one.
    pub before: Option<ApprovalRow>,
    /// At most so many.
    pub limit: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_back_from_its_text() {
        let row = ApprovalRow { asked: Timestamp(-7), effect: EffectId { run: RunId(9), n: 3 } };
        assert_eq!(row.to_string().parse(), Ok(row));
        for bad in ["", "@", "1@", "x@run_1.e1", "7"] {
            assert_eq!(bad.parse::<ApprovalRow>(), Err(()), "{bad}");
        }
    }
}
