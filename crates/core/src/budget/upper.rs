//! Budgets above runs: of a tenant, and of an agent. A run takes a *slice* of all that pay for it, for many steps ahead, in the same
//! append as the step that needs it; the rest goes back when the run waits or ends. What is settled and what is held in slices
//! are together never more than the limit.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{Amounts, Caps, Limit, Per};
use crate::{fact::Fact, id::Name, time::Timestamp};

/// Steps that a slice is taken ahead for, when there is enough.
const AHEAD: u64 = 16;
/// What is taken ahead of kinds whose need is known only afterwards, or is one at a time.
const CUSHION: Amounts = Amounts {
    tokens: 0,
    usd: super::MicroUsd(0),
    tool_calls: AHEAD,
    active: crate::time::Span::from_secs(600),
    cpu: crate::time::Span::from_secs(60),
    traffic: 16 << 20,
    disk: 16 << 20,
    children: 2,
};

/// The number of a budget in its store. A budget that is removed and made again has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
#[cbor(transparent)]
#[serde(transparent)]
pub struct BudgetId(#[n(0)] pub u64);

/// One window of one budget.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Level {
    /// The budget.
    #[n(0)]
    pub budget: BudgetId,
    /// Where the window begins.
    #[n(1)]
    pub start: Timestamp,
    /// The agent whose budget it is; `None` for the tenant's.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Name>,
    /// How often it begins anew.
    #[n(3)]
    pub per: Per,
}

/// What a run holds of the budgets above it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Slice {
    /// Each holds all that is granted.
    #[n(0)]
    pub levels: Vec<Level>,
    /// What may be used; `None` where no level has a limit, `Some(0)` when it was given back.
    #[n(1)]
    pub granted: Caps,
    /// What the run itself has used since it took the slice. What its children use they take slices for themselves.
    #[n(2)]
    pub used: Amounts,
}

impl Slice {
    /// What may still be used.
    pub fn left(&self) -> Caps {
        self.granted.without(self.used)
    }
}

/// See [`Fact::BudgetMoved`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct BudgetMoved {
    /// What was used of the slice before; the rest of it goes back.
    #[n(0)]
    pub settled: Amounts,
    /// The next slice.
    #[n(1)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Taken>,
}

/// A slice as it is taken.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Taken {
    /// The windows that pay.
    #[n(0)]
    pub levels: Vec<Level>,
    /// What is set aside in each of them; `None` for kinds that none of them limits.
    #[n(1)]
    pub granted: Caps,
}

/// A budget above that has not enough.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Blocked {
    /// The agent whose budget it is; `None` for the tenant's.
    #[n(0)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Name>,
    /// Its window.
    #[n(1)]
    pub per: Per,
    /// What is left in it, in the unit of the limit.
    #[n(2)]
    pub left: u64,
    /// What the next step may use.
    #[n(3)]
    pub need: u64,
    /// The limit itself; `None` in what releases wrote that did not tell it.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<u64>,
}

impl Blocked {
    /// Whose budget it is, what it has left, what is needed, and what to do, in words.
    pub fn text(&self, limit: Limit) -> String {
        format!(
            "{} has {} left, and the next step may use {}; it is raised with `stead budgets set`",
            self.whose(),
            limit.amount(self.left),
            limit.amount(self.need)
        )
    }

    /// Whose budget it is: "the budget of agent `desk` per day".
    pub fn whose(&self) -> String {
        let per = match self.per {
            Per::Ever => String::new(),
            per => format!(" per {per}"),
        };
        match &self.agent {
            Some(agent) => format!("the budget of agent `{agent}`{per}"),
            None => format!("the tenant's budget{per}"),
        }
    }
}

/// What the budgets above a run have left, as far as the one who decides knows. It may be out of date: the store refuses a slice
/// that there is no room for, and then it is decided again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The windows that pay for this run now.
    pub payers: Vec<Payer>,
    /// Runs that may want a slice at the same time: none takes more ahead than its share of what is left.
    pub takers: u64,
}

/// A window that pays, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payer {
    /// Which.
    pub level: Level,
    /// Its limits.
    pub limits: Caps,
    /// What is left of them.
    pub left: Caps,
}

impl Payer {
    /// That it has not enough of a kind.
    pub(crate) fn blocks(&self, limit: Limit, left: u64, need: u64) -> Blocked {
        let Level { agent, per, .. } = &self.level;
        Blocked { agent: agent.clone(), per: *per, left, need, most: self.limits.of(limit) }
    }
}

impl Offer {
    /// The smallest of what all have left.
    pub fn left(&self) -> Caps {
        self.payers.iter().fold(Caps::default(), |least, payer| least.tighten(payer.left))
    }

    /// Whether a slice is of the windows that pay now.
    fn pays(&self, slice: &Slice) -> bool {
        slice.levels.len() == self.payers.len() && slice.levels.iter().zip(&self.payers).all(|(a, b)| *a == b.level)
    }

    /// What must be moved before a step that may use `need`: nothing when the slice in hand has enough of it; else the slice
    /// before is settled and another one taken.
    ///
    /// # Errors
    /// The first limit that does not allow for `need`, and the budget that sets it.
    pub fn cover(&mut self, slice: Option<&Slice>, need: Amounts) -> Result<Option<BudgetMoved>, (Limit, Blocked)> {
        let same = slice.filter(|s| self.pays(s));
        let left = same.map(Slice::left);
        if left.is_some_and(|l| l.lacks(need).is_none()) {
            return Ok(None);
        }
        // What is given back in the same move is there to be taken again; what was used beyond it is a debt.
        let back = same.map_or(Caps::default(), |s| s.granted).amounts();
        let used = same.map_or(Amounts::default(), |s| s.used);
        let room = |left: Caps| {
            let mut room = left.to_array();
            for (r, (b, u)) in room.iter_mut().zip(back.to_array().into_iter().zip(used.to_array())) {
                *r = r.map(|r| r.saturating_add(b).saturating_sub(u));
            }
            Caps::from_array(room)
        };
        for payer in &self.payers {
            if let Some((limit, left)) = room(payer.left).lacks(need) {
                return Err((limit, payer.blocks(limit, left, need.of(limit).unwrap_or_default())));
            }
        }
        let mut granted = room(self.left()).to_array();
        let (need, cushion) = (need.to_array(), CUSHION.to_array());
        let in_hand = left.map_or(Amounts::default(), Caps::amounts).to_array();
        for ((granted, in_hand), (need, cushion)) in granted.iter_mut().zip(in_hand).zip(need.into_iter().zip(cushion))
        {
            *granted = granted.map(|room| {
                let share = room / self.takers.max(1).saturating_mul(2);
                need.saturating_mul(AHEAD).max(cushion).min(share).max(need).max(in_hand)
            });
        }
        let granted = Caps::from_array(granted);
        // Another step of the same decision finds what this one has left.
        for payer in &mut self.payers {
            payer.left = room(payer.left).without(granted.amounts());
        }
        let taken = Taken { levels: self.payers.iter().map(|payer| payer.level.clone()).collect(), granted };
        let settled = slice.map_or(Amounts::default(), |s| s.used);
        Ok(Some(BudgetMoved { settled, taken: Some(taken) }))
    }
}

/// What an append changes in one window of a budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The window.
    pub level: Level,
    /// Goes back: it was held and is no more.
    pub back: Amounts,
    /// Was used.
    pub settled: Amounts,
    /// Is held from now on.
    pub held: Amounts,
}

/// What a record's facts change in the windows above its run, which held `before`; nothing for most records. A window is
/// in it once.
pub fn moves<'a>(before: Option<&Slice>, facts: impl IntoIterator<Item = &'a Fact>) -> Vec<Move> {
    let mut moves: Vec<Move> = Vec::new();
    let mut at = |level: &Level, change: &dyn Fn(&mut Move)| {
        let found = moves.iter_mut().find(|m| m.level.budget == level.budget && m.level.start == level.start);
        match found {
            Some(found) => change(found),
            None => {
                let (back, settled, held) = (Amounts::default(), Amounts::default(), Amounts::default());
                let mut new = Move { level: level.clone(), back, settled, held };
                change(&mut new);
                moves.push(new);
            }
        }
    };
    let mut held = before.map(|s| (s.levels.clone(), s.granted.amounts()));
    for fact in facts {
        let Fact::BudgetMoved(f) = fact else { continue };
        let (levels, back) = held.take().unwrap_or_default();
        for level in &levels {
            at(level, &|m| {
                // Held by an earlier fact of the same record, it is simply not held.
                let unheld = Amounts::from_array(std::array::from_fn(|i| m.held.to_array()[i].min(back.to_array()[i])));
                m.held = m.held.minus(unheld);
                m.back = m.back.plus(back.minus(unheld));
                m.settled = m.settled.plus(f.settled);
            });
        }
        held = Some(match &f.taken {
            Some(taken) => {
                for level in &taken.levels {
                    at(level, &|m| m.held = m.held.plus(taken.granted.amounts()));
                }
                (taken.levels.clone(), taken.granted.amounts())
            }
            None => (levels, Amounts::default()),
        });
    }
    moves
}

#[cfg(test)]
#[path = "upper_tests.rs"]
mod tests;
