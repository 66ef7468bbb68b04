//! Policies ready to decide, one for each agent version that is at work, always of the epoch that is in force.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use stead_core::id::{Name, VersionId};
use stead_policy::Policies;
use stead_ports::{BoxFuture, agent::Agent};

use super::{PolicyError, Sets, fits::compiled};
use crate::agents::AgentStore;

/// Agent versions whose policies are kept ready.
const KEPT: usize = 1_024;
/// How often a server of a fleet looks whether another one applied a set.
const LOOK: Duration = Duration::from_secs(1);

/// Policy sets; see the module.
pub struct PolicySets {
    pub(super) sets: Arc<Sets>,
    pub(super) agents: Arc<AgentStore>,
    ready: Mutex<Ready>,
}

/// What is ready, oldest first in `order`.
#[derive(Default)]
struct Ready {
    policies: HashMap<(Name, VersionId), Arc<Policies>>,
    order: VecDeque<(Name, VersionId)>,
}

impl std::fmt::Debug for PolicySets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicySets").finish_non_exhaustive()
    }
}

impl PolicySets {
    pub(crate) fn new(sets: Arc<Sets>, agents: Arc<AgentStore>) -> Self {
        Self { sets, agents, ready: Mutex::default() }
    }

    /// The policies that decide for a version now: the default policy, the tenant's set that is in force, and its own. From then
    /// on [`PolicySets::current`] has them.
    ///
    /// # Errors
    /// When the store does not answer, the version cannot be loaded, or it does not fit the set. Whoever wanted to decide
    /// denies then.
    pub async fn load(&self, tenant: &Name, version: VersionId) -> Result<Arc<Policies>, PolicyError> {
        let (epoch, set) = self.sets.in_force(tenant).await?;
        let place = (tenant.clone(), version);
        if let Some(known) = self.ready.lock().policies.get(&place).filter(|known| known.epoch() == epoch) {
            return Ok(known.clone());
        }
        let made = match self.agents.described(tenant, version).await {
            Ok(described) => compiled(set, Some(described), epoch).await,
            Err(e) => Err(e.into()),
        };
        let mut ready = self.ready.lock();
        match made {
            Ok(policies) => Ok(ready.keep(place, policies)),
            // What was in force before decides no more.
            Err(e) => {
                ready.drop_before(&place, epoch);
                Err(e)
            }
        }
    }

    /// The policies that decide for a version, when they are loaded. `None` denies.
    pub fn current(&self, tenant: &Name, version: VersionId) -> Option<Arc<Policies>> {
        self.ready.lock().policies.get(&(tenant.clone(), version)).cloned()
    }

    /// Brings the versions of a tenant that are ready to the epoch that is in force. Those that do not fit are not ready any
    /// more, so nothing is allowed to them.
    pub(super) async fn refresh(&self, tenant: &Name) {
        let versions: Vec<VersionId> =
            self.ready.lock().policies.keys().filter(|(of, _)| of == tenant).map(|(_, version)| *version).collect();
        for version in versions {
            match self.load(tenant, version).await {
                Ok(_) => {}
                Err(e) if self.current(tenant, version).is_some() => {
                    tracing::warn!(%tenant, %version, error = %e, "the policies in force cannot be read: those of before decide until they can");
                }
                Err(e) => {
                    tracing::warn!(%tenant, %version, error = %e, "no policies for this agent version: its calls are denied");
                }
            }
        }
    }

    /// Tenants with versions that are ready, each with an epoch that one of them has.
    fn tenants(&self) -> BTreeSet<(Name, u64)> {
        self.ready.lock().policies.iter().map(|((tenant, _), policies)| (tenant.clone(), policies.epoch())).collect()
    }

    /// Notices what other servers of the fleet apply, for as long as the sets are in use.
    pub(crate) async fn watch(sets: Weak<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let Some(sets) = sets.upgrade() else { return };
            for (tenant, epoch) in sets.tenants() {
                match sets.sets.store.policy_epoch(&tenant).await {
                    Ok(now) if now != epoch => sets.refresh(&tenant).await,
                    Ok(_) => {}
                    Err(e) => tracing::warn!(%tenant, error = %e, "the epoch of the policies cannot be looked up"),
                }
            }
        }
    }
}

impl stead_engine::PolicySets for PolicySets {
    fn current(&self, tenant: &Name, agent: &Agent) -> Option<Arc<Policies>> {
        Self::current(self, tenant, agent.version)
    }

    fn ready<'a>(&'a self, tenant: &'a Name, agent: &'a Agent) -> BoxFuture<'a, Option<Arc<Policies>>> {
        Box::pin(async move {
            match self.load(tenant, agent.version).await {
                Ok(policies) => Some(policies),
                Err(e) => {
                    let version = agent.version;
                    tracing::warn!(%tenant, %version, error = %e, "no policies for this agent version: its calls are denied");
                    None
                }
            }
        })
    }
}

impl Ready {
    /// Keeps policies, unless newer ones are there already; those that are kept.
    fn keep(&mut self, place: (Name, VersionId), policies: Arc<Policies>) -> Arc<Policies> {
        if let Some(known) = self.policies.get(&place).filter(|known| known.epoch() > policies.epoch()) {
            return known.clone();
        }
        if self.policies.insert(place.clone(), policies.clone()).is_none() {
            self.order.push_back(place);
        }
        if self.order.len() > KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.policies.remove(&oldest);
        }
        policies
    }

    fn drop_before(&mut self, place: &(Name, VersionId), epoch: u64) {
        if self.policies.get(place).is_some_and(|known| known.epoch() < epoch) {
            self.policies.remove(place);
            self.order.retain(|kept| kept != place);
        }
    }
}
