//! Policies ready to decide, one for each agent version that is at work and one for the people of each tenant, always of the
//! epoch that is in force. What does not fit an epoch is remembered too: it is not tried again before there is another one.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use stead_core::id::{Name, VersionId};
use stead_policy::{Policies, Problem};
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
    tried: AtomicU64,
}

/// For whom policies decide: an agent version of a tenant, or without one the tenant's people.
type Place = (Name, Option<VersionId>);

/// What is ready, oldest first in `order`; and what does not fit, with the epoch that it does not fit.
#[derive(Default)]
struct Ready {
    policies: HashMap<Place, Arc<Policies>>,
    order: VecDeque<Place>,
    unfit: HashMap<Place, (u64, Vec<Problem>)>,
}

impl std::fmt::Debug for PolicySets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicySets").finish_non_exhaustive()
    }
}

impl PolicySets {
    pub(crate) fn new(sets: Arc<Sets>, agents: Arc<AgentStore>) -> Self {
        Self { sets, agents, ready: Mutex::default(), tried: AtomicU64::new(0) }
    }

    /// The policies that decide for a version now: the default policy, the tenant's set that is in force, and its own. From then
    /// on [`PolicySets::current`] has them.
    ///
    /// # Errors
    /// When the store does not answer, the version cannot be loaded, or it does not fit the set. Whoever wanted to decide
    /// denies then.
    pub async fn load(&self, tenant: &Name, version: VersionId) -> Result<Arc<Policies>, PolicyError> {
        self.make(tenant, Some(version)).await
    }

    /// The policies that decide what people do in a tenant: the default policy and the set that is in force. Made once for each
    /// epoch.
    ///
    /// # Errors
    /// When the store does not answer, or the set cannot be made any more. Whoever wanted to decide denies then.
    pub async fn of_people(&self, tenant: &Name) -> Result<Arc<Policies>, PolicyError> {
        let known = self.ready.lock().policies.get(&(tenant.clone(), None)).cloned();
        match known {
            Some(known) => Ok(known),
            None => self.make(tenant, None).await,
        }
    }

    async fn make(&self, tenant: &Name, version: Option<VersionId>) -> Result<Arc<Policies>, PolicyError> {
        let (epoch, set) = self.sets.in_force(tenant).await?;
        let place = (tenant.clone(), version);
        {
            let ready = self.ready.lock();
            if let Some(known) = ready.policies.get(&place).filter(|known| known.epoch() == epoch) {
                return Ok(known.clone());
            }
            if let Some((_, problems)) = ready.unfit.get(&place).filter(|(at, _)| *at == epoch) {
                return Err(PolicyError::Refused(problems.clone()));
            }
        }
        let described = match version {
            Some(version) => self.agents.described(tenant, version).await.map(Some),
            None => Ok(None),
        };
        let made = match described {
            Ok(described) => {
                self.tried.fetch_add(1, Relaxed);
                compiled(set, described, epoch).await
            }
            Err(e) => Err(e.into()),
        };
        let mut ready = self.ready.lock();
        match made {
            Ok(policies) => Ok(ready.keep(place, policies)),
            // What was in force before decides no more.
            Err(e) => {
                ready.drop_before(&place, epoch);
                if let PolicyError::Refused(problems) = &e {
                    tracing::warn!(%tenant, version = ?version.map(|v| v.to_string()), epoch, error = %e, "no policies: what they would decide is denied");
                    ready.remember(place, epoch, problems);
                }
                Err(e)
            }
        }
    }

    /// How often policies were made of a set, or tried to be.
    pub fn tried(&self) -> u64 {
        self.tried.load(Relaxed)
    }

    /// The policies that decide for a version, when they are loaded. `None` denies.
    pub fn current(&self, tenant: &Name, version: VersionId) -> Option<Arc<Policies>> {
        self.ready.lock().policies.get(&(tenant.clone(), Some(version))).cloned()
    }

    /// Brings the versions of a tenant that are ready to the epoch that is in force. Those that do not fit are not ready any
    /// more, so nothing is allowed to them.
    pub(super) async fn refresh(&self, tenant: &Name) {
        let versions: Vec<Option<VersionId>> =
            self.ready.lock().policies.keys().filter(|(of, _)| of == tenant).map(|(_, version)| *version).collect();
        for version in versions {
            match self.make(tenant, version).await {
                Ok(_) => {}
                Err(e) if self.ready.lock().policies.contains_key(&(tenant.clone(), version)) => {
                    let version = version.map(|v| v.to_string());
                    tracing::warn!(%tenant, ?version, error = %e, "the policies in force cannot be read: those of before decide until they can");
                }
                // What is refused has been told, once for its epoch.
                Err(PolicyError::Refused(_)) => {}
                Err(e) => {
                    let version = version.map(|v| v.to_string());
                    tracing::warn!(%tenant, ?version, error = %e, "no policies: what they would decide is denied");
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
                    // What is refused has been told, once for its epoch.
                    if !matches!(e, PolicyError::Refused(_)) {
                        let version = agent.version;
                        tracing::warn!(%tenant, %version, error = %e, "no policies for this agent version: its calls are denied");
                    }
                    None
                }
            }
        })
    }
}

impl Ready {
    /// Keeps policies, unless newer ones are there already; those that are kept.
    fn keep(&mut self, place: Place, policies: Arc<Policies>) -> Arc<Policies> {
        self.unfit.remove(&place);
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

    fn remember(&mut self, place: Place, epoch: u64, problems: &[Problem]) {
        if self.unfit.len() >= KEPT {
            self.unfit.clear();
        }
        self.unfit.insert(place, (epoch, problems.to_vec()));
    }

    fn drop_before(&mut self, place: &Place, epoch: u64) {
        if self.policies.get(place).is_some_and(|known| known.epoch() < epoch) {
            self.policies.remove(place);
            self.order.retain(|kept| kept != place);
        }
    }
}
