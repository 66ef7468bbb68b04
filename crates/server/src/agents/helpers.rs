//! Helper services of manifests (`dev.services`): started by the command on a developer's machine, when an agent that names
//! them is loaded. Where they answer is no part of the agent's version: after a restart it is another port.

use std::{fmt, path::PathBuf};

use futures_util::future::try_join_all;
use stead_core::{code, id::Name};
use stead_manifest::{Manifest, Places};
use stead_ports::{BoxFuture, agent::AgentError};

use super::AgentStore;

/// A service that an agent needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helper {
    /// The tenant of the agent.
    pub tenant: Name,
    /// The agent.
    pub agent: Name,
    /// The service's name in its manifest.
    pub service: String,
    /// Program and arguments; the program `stead` is the running binary itself.
    pub command: Vec<String>,
    /// Names of environment variables that are handed on.
    pub env: Vec<String>,
    /// The agent's folder for data.
    pub data: PathBuf,
}

/// Starts helper services.
pub trait Helpers: fmt::Debug + Send + Sync + 'static {
    /// Where the service answers; starts it if it does not run. The error is for the user.
    fn url(&self, helper: Helper) -> BoxFuture<'_, Result<String, String>>;
}

impl AgentStore {
    /// What the `${…}` of the agent's manifest stand for; what it needs is started.
    pub(super) async fn places(&self, tenant: &Name, agent: &Name, manifest: &Manifest) -> Result<Places, AgentError> {
        let unkept = |e: std::io::Error| AgentError { code: code::DATA_READONLY, detail: e.to_string() };
        let mut places = self.site.places(tenant, agent).map_err(unkept)?;
        let Some(helpers) = &self.helpers else { return Ok(places) };
        for (name, service) in &manifest.dev.services {
            if let Some(variable) = service.env.iter().find(|v| !self.keys.environment.allows(v)) {
                let detail = format!("the service `{name}` of `dev.services` may not have the variable {variable}");
                return Err(AgentError { code: code::MANIFEST_UNSUPPORTED, detail });
            }
        }
        let missing = manifest.dev.services.iter().filter(|(name, _)| !places.services.contains_key(*name));
        let started = missing.map(|(name, service)| {
            let helper = Helper {
                tenant: tenant.clone(),
                agent: agent.clone(),
                service: name.clone(),
                command: service.command_in(&places.data),
                env: service.env.clone(),
                data: places.data.clone(),
            };
            async move {
                let url = helpers.url(helper).await.map_err(|e| AgentError {
                    code: code::TOOL_SERVER,
                    detail: format!("the service `{name}` of `dev.services`: {e}"),
                })?;
                Ok::<_, AgentError>((name.clone(), url))
            }
        });
        let started = try_join_all(started.collect::<Vec<_>>()).await?;
        places.services.extend(started);
        Ok(places)
    }
}
