//! Agents: from a bundle of files to a stored version, and from a stored version to something that the engine can run.
//!
//! A version is what it was when it was applied: the tools of its MCP servers are pinned in it, and so are the versions
//! of other agents that it calls. What only this host knows (where the manifest's folder is, where helper services
//! answer) is no part of it, and is kept beside it.

mod agent_tool;
pub(crate) mod alias;
mod also;
mod apply;
mod boxed;
mod boxes;
mod build;
pub(crate) mod confirm;
pub(crate) mod diff;
mod environment;
mod helpers;
mod keys;
mod openapi;
mod preview;
mod problem;
mod provenance;
mod reached;
mod renewed;
mod requests;
mod site;
mod tools;
mod unsandboxed;
mod wired;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use stead_core::{
    code,
    id::{Name, VersionId},
};
use stead_models::{cassette::Tape, http::Http};
use stead_ports::{
    BoxFuture,
    address::Reach,
    agent::{Agent, AgentError, Agents},
    delegate::Delegates,
    journal::{Journal, VersionRow},
};

pub use alias::Naming;
pub use apply::Applied;
pub use environment::Environment;
pub use helpers::{Helper, Helpers};
pub use keys::Keys;
pub(crate) use keys::found;
pub(crate) use problem::problem_of;
pub use problem::{ApplyError, place};
pub(crate) use provenance::untraced;
pub(crate) use renewed::values;
pub use site::{Services, Site, data_folder};
use wired::Wired;

use crate::{
    policies::{Described, Sets},
    shop::Shop,
    testing::StandIns,
};

/// Agent versions that are kept ready.
const KEPT: usize = 1_024;

/// Stored agent versions, ready to run.
pub struct AgentStore {
    journal: Arc<dyn Journal>,
    site: Site,
    keys: Keys,
    shop: Shop,
    helpers: Option<Arc<dyn Helpers>>,
    delegates: Arc<dyn Delegates>,
    reach: Reach,
    stand_ins: Option<StandIns>,
    tape: Arc<dyn Tape>,
    policies: Arc<Sets>,
    http: OnceLock<Http>,
    ready: Mutex<Ready>,
}

/// The versions that are ready, oldest first in `order`.
#[derive(Default)]
struct Ready {
    agents: HashMap<(Name, VersionId), Arc<Agent>>,
    order: VecDeque<(Name, VersionId)>,
}

impl AgentStore {
    /// The versions of a journal, run at this place.
    pub(crate) fn new(
        (journal, policies): (Arc<dyn Journal>, Arc<Sets>),
        site: Site,
        shop: Shop,
        helpers: Option<Arc<dyn Helpers>>,
        (reach, delegates): (Reach, Arc<dyn Delegates>),
        stand_ins: Option<StandIns>,
        tape: Arc<dyn Tape>,
    ) -> Self {
        let (http, ready, keys) = (OnceLock::new(), Mutex::default(), shop.keys().clone());
        Self { journal, site, keys, shop, helpers, delegates, reach, stand_ins, tape, policies, http, ready }
    }

    /// HTTP clients for models; made with the first model that needs one, because reading the host's certificates
    /// takes longer than everything else at a start.
    fn http(&self) -> Result<&Http, AgentError> {
        if self.http.get().is_none() {
            let http =
                Http::reaching(self.reach.clone()).map_err(|detail| AgentError { code: code::CONFIG, detail })?;
            // Another load may have been faster.
            let _ = self.http.set(http);
        }
        self.http.get().ok_or_else(|| AgentError { code: code::INTERNAL, detail: "no HTTP client".into() })
    }

    /// The journal in which the versions are.
    pub(crate) fn journal(&self) -> &Arc<dyn Journal> {
        &self.journal
    }

    /// A version as policies see it.
    pub(crate) async fn described(&self, tenant: &Name, version: VersionId) -> Result<Described, AgentError> {
        let row = self.journal.version(tenant, version).await;
        let row = row.map_err(|e| AgentError { code: e.code, detail: e.detail })?;
        let row = row.ok_or_else(|| gone(version, "it is not stored"))?;
        let wired = Wired::decode(&row.body).map_err(|e| gone(version, &e))?;
        let bundle = wired.bundle(None).map_err(|e| gone(version, &e.to_string()))?;
        let agent = Box::pin(self.loaded(tenant.clone(), version)).await?;
        Ok(Described::of(&agent, &bundle))
    }

    /// Where helper services answer, for the agent of that name.
    pub fn set_services(&self, agent: &Name, services: std::collections::BTreeMap<String, String>) {
        self.site.set_services(agent, services);
        self.forget(agent);
    }

    async fn loaded(&self, tenant: Name, version: VersionId) -> Result<Arc<Agent>, AgentError> {
        let place = (tenant, version);
        if let Some(agent) = self.ready.lock().agents.get(&place) {
            return Ok(agent.clone());
        }
        let (tenant, version) = &place;
        let row = self
            .journal
            .version(tenant, *version)
            .await
            .map_err(|e| AgentError { code: e.code, detail: e.detail })?
            .ok_or_else(|| gone(*version, "it is not stored"))?;
        let agent = self.build(&row).await?;
        self.keep(place, agent.clone());
        Ok(agent)
    }

    async fn build(&self, row: &VersionRow) -> Result<Arc<Agent>, AgentError> {
        let wired = Wired::decode(&row.body).map_err(|e| gone(row.version, &e))?;
        let dir = self.site.dir(&row.tenant, &wired.name);
        let bundle = wired.bundle(dir).map_err(|e| gone(row.version, &e.to_string()))?;
        build::agent(self, &row.tenant, row.version, &wired, &bundle).await.map(Arc::new)
    }

    fn keep(&self, place: (Name, VersionId), agent: Arc<Agent>) {
        let mut ready = self.ready.lock();
        if ready.agents.insert(place.clone(), agent).is_none() {
            ready.order.push_back(place);
        }
        if ready.order.len() > KEPT
            && let Some(oldest) = ready.order.pop_front()
        {
            ready.agents.remove(&oldest);
        }
    }

    /// Versions of that agent are built anew when they are next asked for.
    fn forget(&self, agent: &Name) {
        let mut ready = self.ready.lock();
        let Ready { agents, order } = &mut *ready;
        agents.retain(|_, kept| kept.name != *agent);
        order.retain(|place| agents.contains_key(place));
    }
}

impl Agents for AgentStore {
    fn load(&self, tenant: &Name, version: VersionId) -> BoxFuture<'_, Result<Arc<Agent>, AgentError>> {
        Box::pin(self.loaded(tenant.clone(), version))
    }
}

fn gone(version: VersionId, why: &str) -> AgentError {
    AgentError { code: code::VERSION_GONE, detail: format!("{version} cannot be loaded: {why}") }
}
