//! The providers that a manifest can name: where each answers, which variables usually hold its address and its key, which
//! wire it speaks, and what it does otherwise than others on that wire.
//!
//! Ollama is asked at its OpenAI-compatible face and not at `/api/chat`: both write a call's arguments anew from a
//! parsed value, so that neither has the model's own bytes, but only the first gives every call an id, counts tokens as
//! others do, and is a wire that is tested here already. What it cannot say, the size of the context, is Ollama's own
//! setting (`OLLAMA_CONTEXT_LENGTH`).

use crate::openai::{Dialect, LimitKey, OutputKey};

/// A wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// OpenAI Chat Completions.
    Chat,
    /// OpenAI Responses.
    Responses,
    /// Anthropic Messages.
    Anthropic,
    /// Gemini.
    Gemini,
}

/// How the value of the variable for the address becomes a base URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Address {
    /// It is one.
    Url,
    /// `host:port`, with or without a scheme (Ollama).
    Host,
    /// The resource's address, without the path of the API (Azure).
    Azure,
}

/// A provider.
#[derive(Debug)]
pub struct Provider {
    /// Its name in a manifest, before the `:`.
    pub name: &'static str,
    /// Where it answers; empty for one that answers at an address of the customer's own.
    pub url: &'static str,
    /// The variable in which an operator says that it answers elsewhere.
    pub url_var: Option<&'static str>,
    /// The variables in which its key is looked for, in order; none for a server that wants no key.
    pub key_vars: &'static [&'static str],
    /// Whether it refuses a call without a key.
    pub needs_key: bool,
    /// The wire it speaks.
    pub wire: Wire,
    /// Under which name the price table knows its models.
    pub prices: &'static str,
    address: Address,
}

impl Provider {
    const fn new(name: &'static str, wire: Wire, url: &'static str, key_vars: &'static [&'static str]) -> Self {
        Self { name, url, url_var: None, key_vars, needs_key: true, wire, prices: name, address: Address::Url }
    }

    const fn at(mut self, url_var: &'static str) -> Self {
        self.url_var = Some(url_var);
        self
    }

    /// A server on the user's own machine.
    const fn local(mut self) -> Self {
        self.needs_key = false;
        self
    }

    /// The provider of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PROVIDERS.iter().find(|p| p.name == name)
    }

    /// Whether a manifest that says this of the address means the provider's usual one, or the one that the operator's
    /// environment says.
    pub fn is_own(&self, base_url: Option<&str>) -> bool {
        base_url.is_none_or(|url| !self.url.is_empty() && self.is_at(url))
    }

    /// Whether that is the provider's usual address.
    pub fn is_at(&self, url: &str) -> bool {
        url.trim_end_matches('/') == self.url
    }

    /// Under which name its limits are: two wires of one provider share them.
    pub fn account(&self) -> &'static str {
        self.prices
    }

    /// Whether that is one of the provider's usual variables.
    pub fn uses(&self, variable: &str) -> bool {
        self.url_var == Some(variable) || self.key_vars.contains(&variable)
    }

    /// The base URL that the value of [`Self::url_var`] stands for.
    pub fn url_of(&self, value: &str) -> String {
        let value = value.trim().trim_end_matches('/');
        match self.address {
            Address::Url => value.to_owned(),
            Address::Host => host_url(value),
            Address::Azure if value.contains("/openai") => value.to_owned(),
            Address::Azure => format!("{value}/openai/v1"),
        }
    }

    /// What it does otherwise than OpenAI on the wire of Chat Completions.
    pub fn dialect(&self) -> Dialect {
        let other = Dialect { limit_key: LimitKey::MaxTokens, ..Dialect::default() };
        match self.name {
            "openai" | "xai" => Dialect::default(),
            "azure" => Dialect { api_key_header: true, ..Dialect::default() },
            "groq" | "cerebras" => Dialect { output: OutputKey::Words, ..Dialect::default() },
            "mistral" => Dialect { short_ids: true, ..other },
            "deepseek" | "moonshot" => Dialect { output: OutputKey::Json, echo_reasoning: true, ..other },
            "zai" | "nvidia" | "huggingface" => Dialect { output: OutputKey::Words, ..other },
            _ => other,
        }
    }
}

/// `OLLAMA_HOST` as Ollama reads it: a scheme and a port may be missing, and a server that listens everywhere is asked here.
fn host_url(value: &str) -> String {
    let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
    let (authority, path) = rest.split_once('/').map_or((rest, ""), |(a, p)| (a, p));
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if has_port => (host, port),
        _ if value.contains("://") => (authority, if scheme == "https" { "443" } else { "80" }),
        _ => (authority, "11434"),
    };
    let host = match host {
        "" | "0.0.0.0" | "[::]" => "127.0.0.1",
        host => host,
    };
    let path = if path.is_empty() { "v1" } else { path };
    format!("{scheme}://{host}:{port}/{path}")
}

/// Where OpenAI answers.
const OPENAI_URL: &str = "https://api.openai.com/v1";
const OPENAI_KEYS: &[&str] = &["OPENAI_API_KEY"];

/// All of them, as the reference lists them.
pub const PROVIDERS: &[Provider] = &[
    Provider::new("openai", Wire::Chat, OPENAI_URL, OPENAI_KEYS).at("OPENAI_BASE_URL"),
    Provider { prices: "openai", ..Provider::new("openai-responses", Wire::Responses, OPENAI_URL, OPENAI_KEYS) }
        .at("OPENAI_BASE_URL"),
    Provider::new("anthropic", Wire::Anthropic, "https://api.anthropic.com", &["ANTHROPIC_API_KEY"])
        .at("ANTHROPIC_BASE_URL"),
    Provider::new(
        "gemini",
        Wire::Gemini,
        "https://generativelanguage.googleapis.com",
        &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
    )
    .at("GOOGLE_GEMINI_BASE_URL"),
    Provider {
        address: Address::Azure,
        ..Provider::new("azure", Wire::Chat, "", &["AZURE_OPENAI_API_KEY"]).at("AZURE_OPENAI_ENDPOINT")
    },
    Provider::new("openrouter", Wire::Chat, "https://openrouter.ai/api/v1", &["OPENROUTER_API_KEY"]),
    Provider::new("groq", Wire::Chat, "https://api.groq.com/openai/v1", &["GROQ_API_KEY"]),
    Provider::new("mistral", Wire::Chat, "https://api.mistral.ai/v1", &["MISTRAL_API_KEY"]),
    Provider::new("deepseek", Wire::Chat, "https://api.deepseek.com/v1", &["DEEPSEEK_API_KEY"]),
    Provider::new("xai", Wire::Chat, "https://api.x.ai/v1", &["XAI_API_KEY"]),
    Provider::new("moonshot", Wire::Chat, "https://api.moonshot.ai/v1", &["MOONSHOT_API_KEY"]),
    Provider::new("zai", Wire::Chat, "https://api.z.ai/api/paas/v4", &["ZAI_API_KEY"]),
    Provider::new("together", Wire::Chat, "https://api.together.xyz/v1", &["TOGETHER_API_KEY"]),
    Provider::new("fireworks", Wire::Chat, "https://api.fireworks.ai/inference/v1", &["FIREWORKS_API_KEY"]),
    Provider::new("cerebras", Wire::Chat, "https://api.cerebras.ai/v1", &["CEREBRAS_API_KEY"]),
    Provider::new("nvidia", Wire::Chat, "https://integrate.api.nvidia.com/v1", &["NVIDIA_API_KEY"]),
    Provider::new("huggingface", Wire::Chat, "https://router.huggingface.co/v1", &["HF_TOKEN"]),
    Provider {
        address: Address::Host,
        ..Provider::new("ollama", Wire::Chat, "http://127.0.0.1:11434/v1", &["OLLAMA_API_KEY"]).at("OLLAMA_HOST")
    }
    .local(),
    Provider::new("lmstudio", Wire::Chat, "http://127.0.0.1:1234/v1", &[]).local(),
    Provider::new("llamacpp", Wire::Chat, "http://127.0.0.1:8080/v1", &[]).local(),
    Provider::new("vllm", Wire::Chat, "http://127.0.0.1:8000/v1", &[]).local(),
];

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_provider_has_one_name_a_usable_address_and_tells_where_its_key_is() {
        let names: BTreeSet<_> = PROVIDERS.iter().map(|p| p.name).collect();
        assert_eq!(names.len(), PROVIDERS.len());
        for p in PROVIDERS {
            assert!(p.url.is_empty() && p.url_var.is_some() || reqwest::Url::parse(p.url).is_ok(), "{}", p.name);
            assert!(!p.url.ends_with('/') && !p.is_own(Some("https://evil.example/v1")), "{}", p.name);
            assert!(!p.needs_key || !p.key_vars.is_empty() && p.url.is_empty() | p.url.starts_with("https:"));
            assert!(!p.uses("PATH"));
        }
    }

    #[test]
    fn the_reference_lists_every_provider_with_its_variables() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/providers.md");
        let page = std::fs::read_to_string(page).unwrap();
        for p in PROVIDERS {
            let row = page.lines().find(|l| l.starts_with(&format!("| `{}` |", p.name))).unwrap_or_default();
            // A provider at another's address refers to the row above it.
            let words = p.key_vars.iter().chain(&p.url_var).chain([&p.url]).filter(|w| !w.is_empty());
            let told = words.copied().all(|w| row.contains(&format!("`{w}`")));
            assert!(told || row.contains("the same"), "{}: {row}", p.name);
        }
    }

    #[test]
    fn an_address_is_read_as_its_own_tools_read_it() {
        let ollama = Provider::named("ollama").unwrap();
        for (value, url) in [
            ("127.0.0.1:11434", "http://127.0.0.1:11434/v1"),
            ("0.0.0.0", "http://127.0.0.1:11434/v1"),
            (":9000", "http://127.0.0.1:9000/v1"),
            ("gpu.lan", "http://gpu.lan:11434/v1"),
            ("https://ollama.example/", "https://ollama.example:443/v1"),
            ("http://[::1]:1", "http://[::1]:1/v1"),
        ] {
            assert_eq!(ollama.url_of(value), url, "{value}");
        }
        let azure = Provider::named("azure").unwrap();
        assert_eq!(azure.url_of("https://x.openai.azure.com/"), "https://x.openai.azure.com/openai/v1");
        assert_eq!(azure.url_of("https://x.example/openai/v1"), "https://x.example/openai/v1");
        assert!(!azure.is_own(Some("")) && azure.is_own(None));
    }
}
