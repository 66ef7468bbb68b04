//! Budgets above runs, as this engine knows them: what they have left is looked up once and then followed, so that a step costs no
//! look at the store. What is known here may be out of date; the store refuses what there is no room for.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use parking_lot::RwLock;
use stead_core::{
    budget::{Level, Move, Offer, Payer},
    id::{Name, RunId},
    time::Timestamp,
};
use stead_ports::journal::{BudgetKey, BudgetRow, Journal, SetBudget, StoreError};

use crate::{Engine, types::EngineError};

/// Budgets by tenant, those of the tenant itself first.
type Rows = HashMap<Name, Vec<BudgetRow>>;

/// See the module.
#[derive(Default)]
pub(crate) struct Uppers {
    rows: RwLock<Rows>,
    /// Looks at the store that have been finished.
    looks: AtomicU64,
    turn: tokio::sync::Mutex<()>,
}

impl Uppers {
    /// Looks at the store. Those who come at the same time share a look that began after all of them came.
    pub(crate) async fn refresh(&self, journal: &Arc<dyn Journal>, now: Timestamp) -> Result<(), StoreError> {
        let came = self.looks.load(SeqCst);
        let _turn = self.turn.lock().await;
        // The first that ended since then may have begun before; the second has not.
        if self.looks.load(SeqCst) >= came + 2 {
            return Ok(());
        }
        let mut rows = Rows::new();
        for row in journal.budgets(None, now).await? {
            rows.entry(row.key.tenant.clone()).or_default().push(row);
        }
        *self.rows.write() = rows;
        self.looks.fetch_add(1, SeqCst);
        Ok(())
    }

    /// Whether a tenant has any.
    pub(crate) fn any(&self, tenant: &Name) -> bool {
        self.rows.read().contains_key(tenant)
    }

    /// What those that pay for a run have left: the tenant's, and those of the agents in its chain. `None` when none pays.
    fn offer(&self, tenant: &Name, payers: &[Name], now: Timestamp, takers: u64) -> Option<Offer> {
        let rows = self.rows.read();
        let pays = |row: &&BudgetRow| row.key.agent.as_ref().is_none_or(|a| payers.contains(a)) && !row.caps.is_none();
        let payer = |row: &BudgetRow| {
            let BudgetKey { agent, per, .. } = &row.key;
            let start = per.start(now);
            let level = Level { budget: row.id, start, agent: agent.clone(), per: *per };
            // Of another window than the one that was looked at nothing is used.
            Payer { level, limits: row.caps, left: if row.start == start { row.left() } else { row.caps } }
        };
        let payers: Vec<_> = rows.get(tenant)?.iter().filter(pays).map(payer).collect();
        (!payers.is_empty()).then_some(Offer { payers, takers })
    }

    /// Follows what an append has moved.
    pub(crate) fn moved(&self, tenant: &Name, moves: &[Move]) {
        if moves.is_empty() {
            return;
        }
        let mut rows = self.rows.write();
        for row in rows.get_mut(tenant).into_iter().flatten() {
            let Some(m) = moves.iter().find(|m| m.level.budget == row.id) else { continue };
            if m.level.start > row.start {
                (row.start, row.held, row.settled) = (m.level.start, m.held, m.settled);
            } else if m.level.start == row.start {
                row.held = row.held.minus(m.back).plus(m.held);
                row.settled = row.settled.plus(m.settled);
            }
        }
    }
}

/// The agents whose budgets pay for a run: its own, and those of the runs above it in its chain.
pub(crate) async fn payers(
    journal: &Arc<dyn Journal>,
    agent: &Name,
    parent: Option<RunId>,
) -> Result<Vec<Name>, StoreError> {
    let mut payers = vec![agent.clone()];
    let mut above = parent;
    while let Some(run) = above {
        let Some(row) = journal.run(run).await? else { break };
        if !payers.contains(&row.agent) {
            payers.push(row.agent);
        }
        above = row.parent;
    }
    Ok(payers)
}

impl Engine {
    /// What budgets above a run of that tenant have left, looked up anew when that is wanted.
    pub(crate) async fn offer(
        &self,
        tenant: &Name,
        payers: &[Name],
        fresh: bool,
    ) -> Result<Option<Offer>, EngineError> {
        let now = self.0.ports.clock.now();
        if fresh {
            self.0.uppers.refresh(self.journal(), now).await?;
        }
        let (loaded, registered) = self.0.loaded();
        Ok(self.0.uppers.offer(tenant, payers, now, loaded.max(registered)))
    }

    /// Budgets of a tenant with what is held and used of their windows now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn budgets(&self, tenant: &Name) -> Result<Vec<BudgetRow>, EngineError> {
        Ok(self.journal().budgets(Some(tenant), self.0.ports.clock.now()).await?)
    }

    /// Makes a budget or gives it other limits. Runs heed it from their next slice on.
    ///
    /// # Errors
    /// When the store cannot write, or the tenant has too many.
    pub async fn set_budget(&self, set: SetBudget) -> Result<(), EngineError> {
        let at = self.0.ports.clock.now();
        let tenant = set.key.tenant.clone();
        if !self.journal().set_budget(SetBudget { at, ..set }).await? {
            let most = stead_ports::journal::MAX_BUDGETS;
            return Err(EngineError::Conflict { why: format!("`{tenant}` has {most} budgets: remove one first") });
        }
        Ok(self.0.uppers.refresh(self.journal(), at).await?)
    }

    /// Removes a budget; false when there is none.
    ///
    /// # Errors
    /// When the store cannot write.
    pub async fn remove_budget(&self, key: &BudgetKey) -> Result<bool, EngineError> {
        let removed = self.journal().remove_budget(key).await?;
        self.0.uppers.refresh(self.journal(), self.0.ports.clock.now()).await?;
        Ok(removed)
    }
}
