//! A model together with the account at its provider under whose limits its calls fall.

use std::sync::Arc;

use stead_core::{id::Name, message::Reply};
use stead_ports::{
    BoxFuture,
    model::{DeltaSink, Model, ModelCall, ModelError},
};

use crate::{providers::Provider, registry::ModelSpec};

/// The account's name: the provider's, or `host:port` of an endpoint that is not its own. A key that the manifest names is
/// an account of its own; only the key's name is told, never the key.
pub(crate) fn name(provider: &Provider, spec: ModelSpec<'_>, base_url: &str) -> Name {
    let place = if spec.base_url.is_none() || provider.is_at(base_url) {
        provider.account().to_owned()
    } else {
        address(base_url).unwrap_or_else(|| provider.account().to_owned())
    };
    match spec.key.and_then(|key| key.strip_prefix("env://")) {
        Some(key) if !provider.uses(key) => format!("{place}#{key}").into(),
        _ => place.into(),
    }
}

/// `host:port` of a URL.
fn address(url: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).ok()?;
    Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
}

/// A model of that account.
pub(crate) struct OfAccount {
    pub(crate) model: Arc<dyn Model>,
    pub(crate) account: Name,
}

impl Model for OfAccount {
    fn name(&self) -> &Name {
        self.model.name()
    }

    fn scripted(&self) -> bool {
        self.model.scripted()
    }

    fn account(&self) -> Option<&Name> {
        Some(&self.account)
    }

    fn call(&self, call: ModelCall, deltas: DeltaSink) -> BoxFuture<'_, Result<Reply, ModelError>> {
        self.model.call(call, deltas)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn account(model: &str, base_url: Option<&str>, key: Option<&str>) -> String {
        let provider = Provider::named(model).unwrap();
        let spec = ModelSpec { model, base_url, key, ..ModelSpec::default() };
        name(provider, spec, base_url.unwrap_or("http://moved.by.the.operator/v1")).to_string()
    }

    #[test]
    fn models_share_an_account_where_they_share_an_endpoint_and_a_key() {
        assert_eq!(account("openai", None, None), "openai");
        assert_eq!(account("openai-responses", None, None), "openai");
        assert_eq!(account("openai", Some("https://api.openai.com/v1/"), Some("env://OPENAI_API_KEY")), "openai");
        assert_eq!(account("openai", None, Some("env://TEAM_KEY")), "openai#TEAM_KEY");
        assert_eq!(account("openai", Some("http://gpu.lan:8000/v1"), None), "gpu.lan:8000");
        assert_eq!(account("anthropic", Some("https://proxy.example"), Some("env://K")), "proxy.example:443#K");
        assert_eq!(account("ollama", None, None), "ollama");
    }
}
