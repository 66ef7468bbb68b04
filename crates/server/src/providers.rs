//! What this machine can give of models: where each provider's key comes from, and which local servers answer. No key is
//! read out, and none is sent.

pub use stead_models::local::{Answer, Local};
use stead_models::{local, providers::PROVIDERS};
use stead_ports::secret::SecretError;

use crate::secrets::Sources;

/// Where the key of a provider comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFound {
    /// This variable of the environment.
    Environment(&'static str),
    /// The secret of that name.
    Secret(&'static str),
    /// Nowhere; these variables, and the secrets of their names, are looked for.
    Missing(&'static [&'static str]),
    /// Nowhere, and it needs none.
    NotNeeded,
}

/// A provider, and its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProviderKey {
    /// Its name in a manifest.
    pub provider: &'static str,
    /// Where its key comes from.
    pub key: KeyFound,
}

/// All providers, as the table of them lists them. Secrets that cannot be read count as none here; the error says why.
pub async fn keys(secrets: &Sources) -> (Vec<ProviderKey>, Option<SecretError>) {
    let (names, error) = match secrets.list().await {
        Ok(listed) => (listed.into_iter().map(|l| l.name).collect(), None),
        Err(e) => (Vec::new(), Some(e)),
    };
    let is_set = |name: &&str| std::env::var(name).is_ok_and(|value| !value.trim().is_empty());
    let key = |vars: &'static [&'static str], needed: bool| {
        let in_env = vars.iter().find(|v| is_set(v)).map(|v| KeyFound::Environment(v));
        let kept = || vars.iter().find(|v| names.iter().any(|n| n == *v)).map(|v| KeyFound::Secret(v));
        in_env.or_else(kept).unwrap_or(if needed { KeyFound::Missing(vars) } else { KeyFound::NotNeeded })
    };
    let found = PROVIDERS.iter().map(|p| ProviderKey { provider: p.name, key: key(p.key_vars, p.needs_key) });
    (found.collect(), error)
}

/// The model servers of this machine; see [`local::look`].
pub async fn endpoints() -> Vec<Local> {
    local::look(&|name| std::env::var(name).ok()).await
}
