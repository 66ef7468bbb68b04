//! Where the policies of an agent version come from.

use std::{collections::HashMap, fmt, sync::Arc};

use parking_lot::Mutex;
use stead_core::id::{Name, VersionId};
use stead_policy::{Policies, Source, ToolSpec};
use stead_ports::{BoxFuture, agent::Agent};

/// Gives the engine the policies that hold now.
pub trait PolicySets: fmt::Debug + Send + Sync + 'static {
    /// Those for an agent version of a tenant, at once. `None` when there are none that could be used: then nothing is
    /// allowed.
    fn current(&self, tenant: &Name, agent: &Agent) -> Option<Arc<Policies>>;

    /// Makes them ready when they are not: a version that is decided for the first time, or after a long time. `None` as above.
    fn ready<'a>(&'a self, tenant: &'a Name, agent: &'a Agent) -> BoxFuture<'a, Option<Arc<Policies>>> {
        let current = self.current(tenant, agent);
        Box::pin(async move { current })
    }
}

/// Those that hold now, made ready if need be.
pub(crate) async fn policies(sets: &dyn PolicySets, tenant: &Name, agent: &Agent) -> Option<Arc<Policies>> {
    match sets.current(tenant, agent) {
        Some(policies) => Some(policies),
        None => sets.ready(tenant, agent).await,
    }
}

/// An agent's tools as policies know them.
pub fn specs(agent: &Agent) -> impl Iterator<Item = ToolSpec> {
    agent.tools.iter().map(|tool| {
        let def = &tool.def;
        ToolSpec::new(&def.name, &tool.toolset, tool.class, tool.risk, &def.schema)
    })
}

/// The default policy alone, for every version.
#[derive(Default)]
pub struct DefaultPolicy(Mutex<HashMap<VersionId, Option<Arc<Policies>>>>);

/// Versions that are kept.
const MOST: usize = 1_024;

impl fmt::Debug for DefaultPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DefaultPolicy")
    }
}

impl PolicySets for DefaultPolicy {
    fn current(&self, _: &Name, agent: &Agent) -> Option<Arc<Policies>> {
        let mut kept = self.0.lock();
        if let Some(policies) = kept.get(&agent.version) {
            return policies.clone();
        }
        let policies = match Policies::apply(&[Source::default_policy()], specs(agent), 0) {
            Ok(policies) => Some(Arc::new(policies)),
            Err(problems) => {
                let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                tracing::error!(agent = %agent.name, problems = problems.join("; "), "no policies for this version");
                None
            }
        };
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(agent.version, policies.clone());
        policies
    }
}
