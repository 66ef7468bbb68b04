//! What was turned off, kept beside the journal: it outlives processes, and never fails. Only the server turns something here: that a
//! person may have no runs any more, or may again.

use std::sync::Arc;

use async_trait::async_trait;
use stead_core::id::Name;
use stead_ports::{
    journal::StoreError,
    switches::{NewSwitch, SwitchRow, SwitchStore, What},
};

use super::cosmos::Cosmos;

/// See the module.
pub(super) struct SimSwitches(pub Arc<Cosmos>);

#[async_trait]
impl SwitchStore for SimSwitches {
    async fn put_switch(&self, switch: NewSwitch) -> Result<Option<u64>, StoreError> {
        let mut rows = self.0.switches.lock();
        let n = rows.len() as u64 + 1;
        rows.push(SwitchRow { n, switch, heard: false });
        Ok(Some(n))
    }

    async fn switches(&self, after: u64, limit: u32) -> Result<Vec<SwitchRow>, StoreError> {
        let rows = self.0.switches.lock();
        Ok(rows.iter().filter(|row| row.n > after).take(limit as usize).cloned().collect())
    }

    async fn last_switch(&self) -> Result<u64, StoreError> {
        Ok(self.0.switches.lock().len() as u64)
    }

    async fn past_switches(
        &self,
        tenant: &Name,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<SwitchRow>, StoreError> {
        let rows = self.0.switches.lock();
        let past = rows.iter().rev().filter(|row| row.switch.tenant == *tenant && before.is_none_or(|n| row.n < n));
        Ok(past.take(limit as usize).cloned().collect())
    }

    async fn switch_heard(&self, n: u64) -> Result<(), StoreError> {
        self.0.switches.lock().iter_mut().filter(|row| row.n == n).for_each(|row| row.heard = true);
        Ok(())
    }
}

impl Cosmos {
    /// Whether the person may have no runs, as it was kept last.
    pub(super) fn is_without_right(&self) -> bool {
        let rows = self.switches.lock();
        rows.iter().rev().find(|row| row.switch.what == What::Delegation).is_some_and(|row| !row.switch.on)
    }
}
