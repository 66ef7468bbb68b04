//! Budgets above runs in memory, and their check: what is held of them is what the journals of runs say, and with what was used it is
//! never more than a limit.

use std::collections::BTreeMap;

use stead_core::{
    budget::{Amounts, BudgetId, Caps, KINDS, Level, Move, Per},
    id::Name,
    time::Timestamp,
};
use stead_ports::journal::{Append, AppendError, BudgetKey, BudgetRow, SetBudget};

use super::mem::Mem;
use crate::failure::Violation;

/// Budgets, and what is held and used of each of their windows.
#[derive(Clone, Debug, Default)]
pub(super) struct Uppers {
    all: Vec<Upper>,
    /// How many were ever made: a number is used once.
    made: u64,
}

#[derive(Clone, Debug)]
struct Upper {
    id: BudgetId,
    set: SetBudget,
    /// By where they begin: what is held, and what was used.
    windows: BTreeMap<Timestamp, (Amounts, Amounts)>,
}

impl Uppers {
    /// Budgets of a history: a third has none, a third has so much that nobody is stopped, the others may stop some. What is counted one by
    /// one cannot be overshot, so there is no debt.
    pub(super) fn drawn(seed: u64) -> Self {
        let most = match seed % 3 {
            0 => return Self::default(),
            1 => 1_000_000,
            _ => 40,
        };
        let key = BudgetKey { tenant: super::people::TENANT.into(), agent: None, per: Per::Ever };
        let caps = Caps { tool_calls: Some(most), children: Some(most), ..Caps::default() };
        let mut drawn = Self::default();
        drawn.set(SetBudget { key, caps, at: Timestamp(0), by: "sim".into() });
        drawn
    }

    pub(super) fn set(&mut self, set: SetBudget) {
        match self.all.iter_mut().find(|upper| upper.set.key == set.key) {
            Some(upper) => upper.set = set,
            None => {
                self.made += 1;
                self.all.push(Upper { id: BudgetId(self.made), set, windows: BTreeMap::new() });
                self.all.sort_by(|a, b| a.set.key.cmp(&b.set.key));
            }
        }
    }

    pub(super) fn remove(&mut self, key: &BudgetKey) -> bool {
        let before = self.all.len();
        self.all.retain(|upper| upper.set.key != *key);
        self.all.len() < before
    }

    /// Those of a tenant, or all, in the windows that `now` is in.
    pub(super) fn rows(&self, tenant: Option<&Name>, now: Timestamp) -> Vec<BudgetRow> {
        let mine = self.all.iter().filter(|upper| tenant.is_none_or(|t| upper.set.key.tenant == *t));
        mine.map(|Upper { id, set, windows }| {
            let start = set.key.per.start(now);
            let (held, settled) = windows.get(&start).copied().unwrap_or_default();
            let SetBudget { key, caps, at, by } = set.clone();
            BudgetRow { id: *id, key, caps, at, by, start, held, settled }
        })
        .collect()
    }

    /// Whether there is room for what an append wants to hold.
    pub(super) fn may_move(&self, append: &Append) -> Result<(), AppendError> {
        let moves = append.index.iter().flat_map(|i| &i.budgets);
        for (m, upper) in moves.filter_map(|m| Some((m, self.all.iter().find(|u| u.id == m.level.budget)?))) {
            let (held, used) = upper.windows.get(&m.level.start).copied().unwrap_or_default();
            let taken = held.minus(m.back).plus(used).plus(m.settled).to_array();
            let (wants, caps) = (m.held.to_array(), upper.set.caps.to_array());
            let over =
                |i: &usize| wants[*i] > 0 && caps[*i].is_some_and(|cap| taken[*i].saturating_add(wants[*i]) > cap);
            if let Some(i) = (0..KINDS.len()).find(over) {
                let left = caps[i].unwrap_or_default().saturating_sub(taken[i]);
                return Err(AppendError::OverBudget { limit: KINDS[i], left });
            }
        }
        Ok(())
    }

    /// Moves what an append says. Windows that are over, and of which nothing is held, are forgotten, but for the last.
    pub(super) fn moved(&mut self, moves: &[Move]) {
        for m in moves {
            let Some(upper) = self.all.iter_mut().find(|upper| upper.id == m.level.budget) else { continue };
            let (held, used) = upper.windows.entry(m.level.start).or_default();
            (*held, *used) = (held.minus(m.back).plus(m.held), used.plus(m.settled));
            if let Some(last) = upper.windows.keys().rev().nth(1).copied() {
                upper.windows.retain(|start, (held, _)| *start >= last || !held.is_zero());
            }
        }
    }
}

/// Whether budgets say what the journals say, and keep their limits; looked at after an append that moves something.
pub(super) fn audit(mem: &Mem, append: &Append) -> Result<(), Violation> {
    if append.index.as_ref().is_none_or(|i| i.budgets.is_empty()) {
        return Ok(());
    }
    for upper in &mem.uppers.all {
        for (start, (booked, used)) in &upper.windows {
            let violated = |detail| Err(Violation { check: "budgets above runs are never crossed", detail });
            if let Some((kind, _)) = upper.set.caps.lacks(booked.plus(*used)) {
                return violated(format!("{kind:?} of {upper:?}"));
            }
            let mut held = Amounts::default();
            for (id, run) in &mem.runs {
                let Some(state) = &run.audit.state else { continue };
                let here = |level: &Level| level.budget == upper.id && level.start == *start;
                let Some(slice) = state.slice.as_ref().filter(|s| s.levels.iter().any(here)) else { continue };
                held = held.plus(slice.granted.amounts());
                if state.life.ended() && !slice.granted.amounts().is_zero() {
                    return violated(format!("{id} has ended and holds a slice"));
                }
            }
            if held != *booked {
                return violated(format!("runs hold {held:?} and the budget says {booked:?}"));
            }
        }
    }
    Ok(())
}
