//! Whether what the hard set denies would be allowed with approvals, and which: it is evaluated again as if they had been
//! given.

use std::{collections::BTreeSet, sync::Arc};

use stead_core::time::Span;

use crate::{
    context::Seen,
    decide::Trial,
    decision::Requirements,
    encode::Unfit,
    gate::{Approver, MAX_QUORUM, Requirement},
    judge::Part,
};

/// How long approvers have where no gate says so.
pub const USUAL_TTL: Span = Span::from_secs(15 * 60);
/// Most roles and people that are tried; a set that looks for more is denied without a question.
pub const MAX_TRIED: usize = 16;

/// Of so many, every choice is tried.
const MAX_CHOSEN: usize = 5;

/// Who stands for the hard set where requirements are named.
const HARD: &str = "hard set";

/// The fewest approvals with which the hard set would allow: `None` when none would.
pub(crate) fn requirements(trial: &Trial<'_>) -> Result<Option<Requirements>, Unfit> {
    let slice = &trial.slice;
    if !slice.reads_approvals || slice.approvers.len() > MAX_TRIED {
        return Ok(None);
    }
    let lifts = |count: u32, approvers: &[Approver]| -> Result<bool, Unfit> {
        let seen = Seen { count: count.into(), approvers: approvers.to_vec() };
        Ok(trial.ask(Part::Hard, &seen)?.allows(trial.policies, Part::Hard))
    };
    let Some((quorum, mut needed)) = found(&slice.approvers, lifts)? else { return Ok(None) };
    // Those without whom it would not be lifted.
    for approver in needed.clone() {
        let without: Vec<Approver> = needed.iter().filter(|a| **a != approver).cloned().collect();
        if lifts(quorum, &without)? {
            needed = without;
        }
    }
    let requirement = |approvers, quorum| Requirement::of(approvers, quorum, USUAL_TTL);
    let mut asked = vec![(Arc::from(HARD), requirement(BTreeSet::new(), quorum))];
    for one in &needed {
        // Whoever could stand in this one's place may approve as well.
        let mut may = BTreeSet::from([one.clone()]);
        for other in slice.approvers.iter().filter(|other| !needed.contains(other)) {
            let instead: Vec<Approver> = needed.iter().filter(|a| *a != one).chain([other]).cloned().collect();
            if lifts(quorum, &instead)? {
                may.insert(other.clone());
            }
        }
        asked.push((Arc::from(HARD), requirement(may, 1)));
    }
    Ok(Some(asked))
}

/// A count and named approvers that lift it: the fewest people, and of those named as few as do. Of more than [`MAX_CHOSEN`] only
/// none, each one, all but one, and all are tried.
fn found(
    named: &[Approver],
    lifts: impl Fn(u32, &[Approver]) -> Result<bool, Unfit>,
) -> Result<Option<(u32, Vec<Approver>)>, Unfit> {
    let all = (1_u32 << named.len()) - 1;
    let mut choices: Vec<u32> = match named.len() {
        0..=MAX_CHOSEN => (0..=all).collect(),
        n => [0, all].into_iter().chain((0..n).flat_map(|i| [1 << i, all & !(1 << i)])).collect(),
    };
    choices.sort_by_key(|choice| choice.count_ones());
    for count in 1..=MAX_QUORUM {
        for choice in &choices {
            let chosen: Vec<Approver> =
                named.iter().enumerate().filter(|(i, _)| choice & (1 << i) != 0).map(|(_, a)| a.clone()).collect();
            if lifts(count, &chosen)? {
                return Ok(Some((count, chosen)));
            }
        }
    }
    Ok(None)
}
