//! `[providers.NAME]`: how much a model provider is asked.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_engine::Rates;
use stead_models::providers::Provider as Known;

/// Limits of a model provider, shared by all runs of this process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Provider")]
pub struct Provider {
    /// Calls under way at once.
    #[schemars(range(min = 1))]
    pub concurrent: Option<u32>,
    /// Calls within any second.
    #[schemars(range(min = 1))]
    pub requests_per_second: Option<u32>,
    /// Calls within any minute.
    #[schemars(range(min = 1))]
    pub requests_per_minute: Option<u32>,
    /// Tokens within any minute: what is set aside for a call, and what it used once that is known. A call above it goes
    /// alone.
    #[schemars(range(min = 1))]
    pub tokens_per_minute: Option<u64>,
}

impl Provider {
    fn rates(&self) -> Rates {
        Rates {
            concurrent: self.concurrent,
            requests_per_second: self.requests_per_second,
            requests_per_minute: self.requests_per_minute,
            tokens_per_minute: self.tokens_per_minute,
        }
    }

    /// The key of a limit that lets nothing through.
    fn closed(&self) -> Option<&'static str> {
        [
            ("concurrent", self.concurrent.map(u64::from)),
            ("requests_per_second", self.requests_per_second.map(u64::from)),
            ("requests_per_minute", self.requests_per_minute.map(u64::from)),
            ("tokens_per_minute", self.tokens_per_minute),
        ]
        .into_iter()
        .find_map(|(key, limit)| (limit == Some(0)).then_some(key))
    }
}

/// As the engine takes them.
pub(super) fn rates(providers: &BTreeMap<String, Provider>) -> BTreeMap<String, Rates> {
    providers.iter().map(|(name, provider)| (name.clone(), provider.rates())).collect()
}

/// What is wrong with them, and what to do about it.
pub(super) fn wrong(providers: &BTreeMap<String, Provider>) -> Option<(String, String)> {
    providers.iter().find_map(|(name, provider)| {
        if let Some(key) = provider.closed() {
            let message = format!("`providers.{name}.{key}` must be at least 1");
            return Some((message, "leave the key out for no limit".to_owned()));
        }
        match Known::named(name) {
            Some(known) if known.account() != name => {
                let account = known.account();
                Some((format!("`{name}` has the limits of `{account}`"), format!("write `[providers.{account}]`")))
            }
            Some(_) => None,
            None if is_address(name) => None,
            None => {
                let hint = "a provider of docs/providers.md, or `host:port` in quotes for another endpoint";
                Some((format!("there is no provider `{name}`"), hint.to_owned()))
            }
        }
    })
}

/// `host:port`.
fn is_address(name: &str) -> bool {
    let host = |h: &str| !h.is_empty() && h.bytes().all(|b| b.is_ascii_alphanumeric() || b".-[]:".contains(&b));
    name.len() <= 260 && name.rsplit_once(':').is_some_and(|(h, port)| host(h) && port.parse::<u16>().is_ok())
}
