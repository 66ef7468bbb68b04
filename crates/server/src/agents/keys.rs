//! Where the keys that manifests name come from: the environment of this process, and the operator's secrets.

use std::sync::Arc;

use stead_core::code;
use stead_manifest::manifest::{Kind, ModelChoice, SecretPlace, SecretRef, Tool};
use stead_ports::{agent::AgentError, secret::Secrets};
use stead_tools::secret::Secret;

use super::{
    Environment,
    environment::provider,
    renewed::{Values, values},
};

/// See the module.
#[derive(Clone)]
pub struct Keys {
    /// What manifests may name.
    pub environment: Environment,
    /// The secrets.
    pub secrets: Arc<dyn Secrets>,
}

impl Keys {
    /// Names of the secrets that a model's key may come from; none when it comes from the environment.
    pub(super) fn of_model(&self, choice: &ModelChoice) -> Vec<String> {
        match (choice.key.as_ref().map(SecretRef::place), provider(choice)) {
            (Some(SecretPlace::Secret(name)), _) => vec![name.to_owned()],
            // The usual variables come first, and the operator's key goes to the operator's endpoint only.
            (None, Some(provider)) if choice.base_url.is_none() => {
                let told = |name: &&str| self.environment.of_model(choice, name).is_some_and(|v| !v.trim().is_empty());
                let vars = provider.key_vars;
                if vars.iter().any(told) { Vec::new() } else { vars.iter().map(|v| (*v).to_owned()).collect() }
            }
            _ => Vec::new(),
        }
    }

    /// Names of the secrets that a tool names.
    pub(super) fn of_tool(tool: &Tool) -> Vec<String> {
        let variables = match &tool.kind {
            Kind::Mcp(server) => server.variables().filter_map(|(_, from)| from).collect(),
            _ => Vec::new(),
        };
        let named = tool.auth.iter().chain(&variables).filter_map(|reference| match reference.place() {
            SecretPlace::Secret(name) => Some(name.to_owned()),
            SecretPlace::Env(_) => None,
        });
        named.collect()
    }

    /// The values of the secrets that a tool names, as they are now.
    pub(super) async fn values_of(&self, tool: &Tool) -> Result<Values, AgentError> {
        values(&*self.secrets, &Self::of_tool(tool)).await
    }
}

/// The value that a reference stands for. What is not there is an error: nothing is sent without the key that it needs.
pub(super) fn value(environment: &Environment, reference: &SecretRef, values: &Values) -> Result<Secret, AgentError> {
    match reference.place() {
        SecretPlace::Env(name) => match environment.get(name) {
            Some(value) if !value.trim().is_empty() => Ok(Secret::new(&value)),
            _ => Err(AgentError {
                code: code::MANIFEST_VALUE,
                detail: format!("the environment variable {name} is not set"),
            }),
        },
        SecretPlace::Secret(name) => match values.get(name) {
            Some(value) => Ok(Secret::new(value.expose())),
            None => Err(AgentError {
                code: code::SECRET_MISSING,
                detail: format!("there is no secret `{name}`: `stead secrets set {name}`"),
            }),
        },
    }
}
