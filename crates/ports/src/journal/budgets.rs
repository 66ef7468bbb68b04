//! The words for budgets of tenants and agents: what is kept of each, and what an append moves in them
//! ([`stead_core::budget::moves`]).

use serde::{Deserialize, Serialize};
use stead_core::{
    budget::{Amounts, BudgetId, Caps, Per},
    id::Name,
    time::Timestamp,
};

/// Most budgets of one tenant, those of its agents among them.
pub const MAX_BUDGETS: u32 = 10_000;

/// Whose budget, and for which window: at most one for each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BudgetKey {
    /// The tenant.
    pub tenant: Name,
    /// The agent; `None` for the budget of the whole tenant.
    pub agent: Option<Name>,
    /// How often it begins anew.
    pub per: Per,
}

/// A budget is to have these limits from now on; what was used of its window stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetBudget {
    /// Whose.
    pub key: BudgetKey,
    /// All its limits; those it had before and that are not named are none any more.
    pub caps: Caps,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: Name,
}

/// A budget as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetRow {
    /// Its number.
    pub id: BudgetId,
    /// Whose.
    pub key: BudgetKey,
    /// Its limits.
    pub caps: Caps,
    /// When they were set.
    pub at: Timestamp,
    /// By whom.
    pub by: Name,
    /// Where the window begins that was asked about.
    pub start: Timestamp,
    /// Held by runs in slices.
    pub held: Amounts,
    /// Used and settled.
    pub settled: Amounts,
}

impl BudgetRow {
    /// What of its limits is neither held nor used.
    pub fn left(&self) -> Caps {
        self.caps.without(self.held.plus(self.settled))
    }
}
