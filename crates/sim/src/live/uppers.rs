//! Budgets above runs in memory, and their check: what is held of them is what the journals of runs say, and with what was used it is
//! never more than a limit.

use stead_core::{
    budget::{Amounts, BudgetId, Caps, KINDS, Move, Per},
    id::RunId,
    time::Timestamp,
};
use stead_ports::journal::{Append, AppendError, BudgetKey, BudgetRow};

use super::mem::Mem;
use crate::failure::Violation;

/// Budgets of a history: a third has none, a third has so much that nobody is stopped, the others may stop some. What is counted one by
/// one cannot be overshot, so there is no debt.
pub(super) fn drawn(seed: u64) -> Vec<BudgetRow> {
    let most = match seed % 3 {
        0 => return Vec::new(),
        1 => 1_000_000,
        _ => 40,
    };
    let row = |id: u64, caps| BudgetRow {
        id: BudgetId(id),
        key: BudgetKey { tenant: super::people::TENANT.into(), agent: None, per: Per::Ever },
        caps,
        at: Timestamp(0),
        by: "sim".into(),
        start: Timestamp(0),
        held: Amounts::default(),
        settled: Amounts::default(),
    };
    let caps = Caps { tool_calls: Some(most), children: Some(most), ..Caps::default() };
    vec![row(1, caps)]
}

/// Whether there is room for what an append wants to hold.
pub(super) fn may_move(uppers: &[BudgetRow], append: &Append) -> Result<(), AppendError> {
    let moves = append.index.iter().flat_map(|i| &i.budgets);
    for (m, row) in moves.filter_map(|m| Some((m, uppers.iter().find(|r| r.id == m.level.budget)?))) {
        let taken = row.held.minus(m.back).plus(row.settled).plus(m.settled).plus(m.held);
        let wants = m.held.to_array();
        let over = |i: &usize| wants[*i] > 0 && row.caps.to_array()[*i].is_some_and(|cap| taken.to_array()[*i] > cap);
        if let Some(i) = (0..KINDS.len()).find(over) {
            return Err(AppendError::OverBudget { limit: KINDS[i], left: 0 });
        }
    }
    Ok(())
}

/// Moves what an append says.
pub(super) fn moved(uppers: &mut [BudgetRow], moves: &[Move]) {
    for m in moves {
        if let Some(row) = uppers.iter_mut().find(|r| r.id == m.level.budget) {
            row.held = row.held.minus(m.back).plus(m.held);
            row.settled = row.settled.plus(m.settled);
        }
    }
}

/// Whether budgets say what the journals say, and keep their limits; looked at after an append that moves something.
pub(super) fn audit(mem: &Mem, append: &Append) -> Result<(), Violation> {
    if append.index.as_ref().is_none_or(|i| i.budgets.is_empty()) {
        return Ok(());
    }
    for row in &mem.uppers {
        let violated = |detail| Err(Violation { check: "budgets above runs are never crossed", detail });
        if let Some((kind, _)) = row.caps.lacks(row.held.plus(row.settled)) {
            return violated(format!("{kind:?} of {row:?}"));
        }
        let mut held = Amounts::default();
        let mut ended: Option<RunId> = None;
        for (id, run) in &mem.runs {
            let Some(state) = &run.audit.state else { continue };
            let Some(slice) = state.slice.as_ref().filter(|s| s.levels.iter().any(|l| l.budget == row.id)) else {
                continue;
            };
            held = held.plus(slice.granted.amounts());
            if state.life.ended() && !slice.granted.amounts().is_zero() {
                ended = Some(*id);
            }
        }
        if let Some(run) = ended {
            return violated(format!("{run} has ended and holds a slice"));
        }
        if held != row.held {
            return violated(format!("runs hold {held:?} and the budget says {:?}", row.held));
        }
    }
    Ok(())
}
