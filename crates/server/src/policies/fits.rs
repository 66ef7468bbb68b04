//! The sets that are in force, read once for each epoch, and whether an agent version fits that of its tenant.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use stead_core::{code, id::Name};
use stead_policy::Policies;
use stead_ports::{journal::StoreError, policies::PolicyStore};

use super::{Described, PolicyError, set::Set};

/// Tenants whose set is kept in memory.
const KEPT: usize = 256;

/// See the module.
pub(crate) struct Sets {
    pub(super) store: Arc<dyn PolicyStore>,
    read: Mutex<HashMap<Name, (u64, Arc<Set>)>>,
}

impl Sets {
    pub(crate) fn new(store: Arc<dyn PolicyStore>) -> Self {
        Self { store, read: Mutex::default() }
    }

    /// The set that is in force, with its epoch.
    pub(super) async fn in_force(&self, tenant: &Name) -> Result<(u64, Arc<Set>), StoreError> {
        let epoch = self.store.policy_epoch(tenant).await?;
        if epoch == 0 {
            return Ok((0, Arc::default()));
        }
        let known = self.read.lock().get(tenant).filter(|(at, _)| *at == epoch).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let set = self.at(tenant, epoch).await?.ok_or_else(|| damaged(epoch, "it is gone"))?;
        let mut read = self.read.lock();
        if read.len() >= KEPT {
            read.clear();
        }
        read.insert(tenant.clone(), (epoch, set.clone()));
        Ok((epoch, set))
    }

    /// The set of an epoch.
    pub(super) async fn at(&self, tenant: &Name, epoch: u64) -> Result<Option<Arc<Set>>, StoreError> {
        let Some(row) = self.store.policy(tenant, epoch).await? else { return Ok(None) };
        Set::decode(&row.body).map(|set| Some(Arc::new(set))).map_err(|why| damaged(epoch, &why))
    }

    /// Whether a version that is about to be applied fits what is in force.
    ///
    /// # Errors
    /// [`PolicyError::Refused`] with what does not fit.
    pub(crate) async fn fits(&self, tenant: &Name, version: Described) -> Result<(), PolicyError> {
        let (epoch, set) = self.in_force(tenant).await?;
        compiled(set, Some(version), epoch).await.map(drop)
    }
}

/// Compiles on a thread that may work for a while.
pub(super) async fn compiled(
    set: Arc<Set>,
    version: Option<Described>,
    epoch: u64,
) -> Result<Arc<Policies>, PolicyError> {
    apart(move || set.compile(version.as_ref(), epoch)).await?.map(Arc::new).map_err(PolicyError::Refused)
}

/// On a thread that may work for a while.
pub(super) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| StoreError { code: code::INTERNAL, detail: e.to_string() })
}

fn damaged(epoch: u64, why: &str) -> StoreError {
    StoreError { code: code::DATA_DAMAGED, detail: format!("policy set {epoch}: {why}") }
}
