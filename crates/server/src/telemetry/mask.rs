//! The values of all secrets that an operator lets manifests name, or names elsewhere, and those under the usual names of providers' keys: what
//! must not stand in a text that is told.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use stead_manifest::manifest::{SecretPlace, SecretRef};
use stead_models::providers::PROVIDERS;
use stead_ports::secret::Secrets;
use stead_telemetry::content::Mask;
use tokio::time::Instant;

use crate::config::Config;

/// How long values are used before they are read again.
const FRESH: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct Masks {
    names: Vec<String>,
    variables: Vec<String>,
    secrets: Arc<dyn Secrets>,
    current: Mutex<Option<(Instant, Mask, Vec<String>)>>,
}

impl Masks {
    pub(super) fn new(config: &Config, secrets: Arc<dyn Secrets>) -> Self {
        let mut names: Vec<String> = config.agents.secrets.iter().cloned().collect();
        let mut variables: Vec<String> = config.agents.env.iter().chain(&config.sandbox.env).cloned().collect();
        // A manifest may use a provider's usual key without an entry.
        for provider in PROVIDERS {
            names.extend(provider.key_vars.iter().map(|name| (*name).to_owned()));
            variables.extend(provider.key_vars.iter().map(|name| (*name).to_owned()));
        }
        let notices =
            config.approvals.notices.iter().flat_map(|notice| [&notice.webhook, &notice.secret, &notice.password]);
        let exchange = config.identity.exchange.as_ref().and_then(|exchange| exchange.client_secret.as_ref());
        let texts = config.telemetry.headers.values().chain(notices.flatten()).chain(exchange);
        for reference in texts.filter_map(|text| SecretRef::read(text)) {
            match reference.place() {
                SecretPlace::Secret(name) => names.push(name.to_owned()),
                SecretPlace::Env(name) => variables.push(name.to_owned()),
            }
        }
        for all in [&mut names, &mut variables] {
            all.sort_unstable();
            all.dedup();
        }
        Self { names, variables, secrets, current: Mutex::new(None) }
    }

    /// What masks now. A value that was replaced is masked on: texts that were written before have it. `None` while a secret cannot be read:
    /// what cannot be masked is not told.
    pub(super) async fn now(&self) -> Option<Mask> {
        if let Some((at, mask, _)) = &*self.current.lock()
            && at.elapsed() < FRESH
        {
            return Some(mask.clone());
        }
        let mut known: Vec<String> = self.variables.iter().filter_map(|name| std::env::var(name).ok()).collect();
        for name in &self.names {
            match self.secrets.get(name).await {
                Ok(value) => known.extend(value.map(|value| value.expose().to_owned())),
                Err(error) => {
                    tracing::warn!(%error, name, "no texts are told: a secret cannot be read, so its value cannot be masked");
                    return None;
                }
            }
        }
        let mut current = self.current.lock();
        let mut all = current.take().map(|(_, _, all)| all).unwrap_or_default();
        all.extend(known);
        all.sort_unstable();
        all.dedup();
        let mask = Mask::new(all.iter().cloned());
        *current = Some((Instant::now(), mask.clone(), all));
        Some(mask)
    }
}

#[cfg(test)]
mod tests {
    use stead_ports::{
        BoxFuture,
        secret::{Secret, SecretError},
    };

    use super::*;
    use crate::config::Notice;

    /// Each secret is its name, twice.
    struct Twice;

    impl Secrets for Twice {
        fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Secret>, SecretError>> {
            Box::pin(async move { Ok(Some(Secret::new(format!("{name}-{name}")))) })
        }
    }

    #[tokio::test]
    async fn keys_of_providers_and_secrets_of_notices_are_masked_though_no_manifest_may_name_them() {
        let mut config = Config::default();
        let notice =
            Notice { webhook: Some("secret://hook".into()), secret: Some("secret://sign".into()), ..Notice::default() };
        let mail = Notice { password: Some("secret://mail".into()), ..Notice::default() };
        config.approvals.notices = vec![notice, mail];
        let mask = Masks::new(&config, Arc::new(Twice)).now().await.unwrap_or_default();
        for name in ["hook", "sign", "mail", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"] {
            assert_eq!(mask.show(&format!("it is {name}-{name}.")), "it is [secret].");
        }
    }
}
