//! The formats of stored data, and which step from one to the next is taken without being asked. How a step is taken is
//! each store's own.

use stead_core::code;
use stead_ports::journal::StoreError;

use crate::FORMAT;

/// What a format adds to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The format after it.
    pub to: u32,
    /// What it does, in words.
    pub what: &'static str,
    /// Taken when the data is opened: it only adds, in a time that nobody notices. Otherwise `stead migrate` takes it.
    pub by_itself: bool,
}

/// All steps, in order.
const STEPS: &[Step] = &[
    Step {
        to: 2,
        what: "indexes of open questions and of what runs have used, aliases of versions, lists by key and agent",
        by_itself: true,
    },
    Step { to: 3, what: "a table for the content of workspaces", by_itself: true },
    Step { to: 4, what: "a table for policy sets", by_itself: true },
    Step { to: 5, what: "a table for the keys of encrypted texts", by_itself: true },
    Step { to: 6, what: "tables for the budgets of tenants and agents", by_itself: true },
    Step { to: 7, what: "tables for what policies count", by_itself: true },
    Step {
        to: 8,
        what: "tables for the audit log, for what operators turn off and for directories of approvers",
        by_itself: true,
    },
    Step { to: 9, what: "tables for notices of open questions, for erasures and for legal holds", by_itself: true },
    Step { to: 10, what: "tables for the keys of persons under which backups are sealed", by_itself: true },
];

/// The steps from a format to this release's.
pub fn steps(found: u32) -> &'static [Step] {
    let first = STEPS.iter().position(|s| s.to > found).unwrap_or(STEPS.len());
    &STEPS[first..]
}

/// Whether data of that format may be brought forward, by a program that was asked to or not.
pub(crate) fn may_go(place: impl std::fmt::Display, found: u32, asked: bool) -> Result<(), StoreError> {
    judge(place, found, steps(found), asked)
}

fn judge(place: impl std::fmt::Display, found: u32, steps: &[Step], asked: bool) -> Result<(), StoreError> {
    match steps.iter().find(|s| !s.by_itself) {
        Some(step) if !asked => Err(StoreError {
            code: code::DATA_OLDER,
            detail: format!(
                "{place} has format {found} and this release works with {FORMAT}: run `stead migrate` (format {}: {})",
                step.to, step.what
            ),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_its_step() {
        let to: Vec<u32> = STEPS.iter().map(|s| s.to).collect();
        assert_eq!(to, (2..=FORMAT).collect::<Vec<_>>());
        assert_eq!(steps(FORMAT), []);
        assert_eq!(steps(1).len() as u32, FORMAT - 1);
    }

    #[test]
    fn a_step_that_does_more_than_add_waits_to_be_asked_for() {
        let (adds, moves) =
            (Step { to: 2, what: "adds", by_itself: true }, Step { to: 3, what: "moves", by_itself: false });
        let go = |steps: &[Step], asked| judge("here", 1, steps, asked);
        assert!(go(&[], false).is_ok() && go(&[adds], false).is_ok() && go(&[adds, moves], true).is_ok());
        let error = go(&[adds, moves], false).map_err(|e| (e.code, e.detail.contains("format 3: moves")));
        assert_eq!(error.err(), Some((code::DATA_OLDER, true)));
    }
}
