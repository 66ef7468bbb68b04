//! Which variables of this process's environment, and which of its operator's secrets, manifests may name.
//!
//! Manifests name them and choose where they go: a model's `key` or a tool's `auth` to any `base_url`, the `env` of an MCP server
//! without a box to any program. So on a server the operator lists what manifests may name, and nothing else leaves. A provider's
//! usual variable, and the secret of its name, need no entry as long as they go to the provider's own endpoint.
//!
//! A box is handed the value itself of a variable that its `env` names without a reference. Such variables have a list of their own: what
//! agents may use as a secret is not what their programs may see.

use std::collections::BTreeSet;

use stead_core::code;
use stead_manifest::{
    Manifest,
    manifest::{Kind, ModelChoice, ModelSource, SecretPlace, SecretRef},
};
use stead_models::providers::Provider;
use stead_ports::agent::AgentError;

/// Keys of a manifest that are told at once; more would help nobody.
const TOLD: usize = 8;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Environment {
    /// These.
    Listed {
        /// Names of variables.
        variables: BTreeSet<String>,
        /// Names of secrets.
        secrets: BTreeSet<String>,
        /// Names of variables that boxes may see as they are.
        shown: BTreeSet<String>,
    },
    /// All: the process and the manifests are the same user's.
    Open,
}

impl Default for Environment {
    fn default() -> Self {
        Self::Listed { variables: BTreeSet::new(), secrets: BTreeSet::new(), shown: BTreeSet::new() }
    }
}

/// One thing that a manifest names, by the list that it must be on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Named {
    /// A variable that is used as a secret, or handed to a program without a box.
    Variable(String),
    /// A secret.
    Secret(String),
    /// A variable whose value a box is handed.
    Shown(String),
}

impl Named {
    fn of(reference: &SecretRef) -> Self {
        match reference.place() {
            SecretPlace::Env(name) => Self::Variable(name.to_owned()),
            SecretPlace::Secret(name) => Self::Secret(name.to_owned()),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Variable(name) | Self::Secret(name) | Self::Shown(name) => name,
        }
    }

    /// What is on the list, the list's key in `stead.toml`, and what else would help.
    const fn list(&self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Variable(_) => ("environment variables that this server lets manifests name", "[agents] env", ""),
            Self::Secret(_) => ("secrets that this server lets manifests name", "[agents] secrets", ""),
            Self::Shown(_) => (
                "environment variables whose values this server lets sandboxes see",
                "[sandbox] env",
                "; a secret is not handed in: write `NAME=secret://SECRET`, and a rule of `sandbox.egress` that puts it in",
            ),
        }
    }
}

impl Environment {
    /// Whether manifests may name that variable.
    pub(super) fn allows(&self, name: &str) -> bool {
        match self {
            Self::Listed { variables, .. } => variables.contains(name),
            Self::Open => true,
        }
    }

    /// Whether manifests may name that, as it is named.
    fn grants(&self, named: &Named) -> bool {
        match (self, named) {
            (Self::Open, _) => true,
            (Self::Listed { variables, .. }, Named::Variable(name)) => variables.contains(name),
            (Self::Listed { secrets, .. }, Named::Secret(name)) => secrets.contains(name),
            (Self::Listed { shown, .. }, Named::Shown(name)) => shown.contains(name),
        }
    }

    /// The value of a variable, if boxes may see it and it is set.
    pub(crate) fn shown(&self, name: &str) -> Option<String> {
        self.grants(&Named::Shown(name.to_owned())).then(|| std::env::var(name).ok()).flatten()
    }

    /// Its value, if manifests may name it and it is set.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.allows(name).then(|| std::env::var(name).ok()).flatten()
    }

    /// The same for a model, which may have its provider's usual variables besides.
    pub(super) fn of_model(&self, choice: &ModelChoice, name: &str) -> Option<String> {
        if is_usual(choice, name) { std::env::var(name).ok() } else { self.get(name) }
    }

    /// Refuses a manifest that names what it may not. Whether it is set makes no difference.
    pub(super) fn admit(&self, manifest: &Manifest) -> Result<(), AgentError> {
        let named = named(manifest);
        let refused: Vec<_> = named.iter().filter(|(_, named)| !self.grants(named)).collect();
        let Some((_, first)) = refused.first() else { return Ok(()) };
        // One kind at a time: each has a list of its own.
        let (what, list, cure) = first.list();
        let refused: Vec<_> = refused.iter().filter(|(_, named)| named.list().1 == list).collect();
        let told = refused.iter().take(TOLD).map(|(key, named)| format!("`{key}` names {}", named.name()));
        let told = told.collect::<Vec<_>>();
        let names: BTreeSet<_> = refused.iter().take(TOLD).map(|(_, named)| format!("\"{}\"", named.name())).collect();
        let more = if refused.len() > TOLD { ", and there are more" } else { "" };
        let usual = manifest.model.chain().filter_map(provider).any(|p| p.key_vars.contains(&first.name()));
        let own = if usual { "; for the provider's own endpoint leave `key` and `base_url` out" } else { "" };
        let detail = format!(
            "{}{more}: not on the list of {what}. Its operator can add it to stead.toml: {list} = [{}]{own}{cure}",
            told.join(", "),
            names.into_iter().collect::<Vec<_>>().join(", "),
        );
        Err(AgentError { code: code::MANIFEST_UNSUPPORTED, detail })
    }
}

/// The name alone.
fn word(place: SecretPlace<'_>) -> &str {
    match place {
        SecretPlace::Env(name) | SecretPlace::Secret(name) => name,
    }
}

/// Everything that a manifest names, with the key that names it; without what is usual for a provider on its way to
/// the provider, and without the variables of helper services, which only commands on the user's own machine start.
fn named(manifest: &Manifest) -> Vec<(String, Named)> {
    let mut out = Vec::new();
    for (i, choice) in manifest.model.chain().enumerate() {
        if let Some(reference) = choice.key.as_ref().filter(|key| !is_usual(choice, word(key.place()))) {
            let key = if i == 0 { "model.key".to_owned() } else { format!("model.fallback[{}].key", i - 1) };
            out.push((key, Named::of(reference)));
        }
    }
    for (tool, config) in &manifest.tools {
        let named = config.auth.iter().filter_map(|auth| auth.reference());
        out.extend(named.map(|reference| (format!("tools.{tool}.auth"), Named::of(reference))));
        let key = if matches!(config.kind, Kind::Mcp(_)) { "mcp.env" } else { "env" };
        let sandbox = config.sandbox_in(manifest).unwrap_or_default();
        let handed = config.variables().map(|variable| match &variable.from {
            Some(reference) => Named::of(reference),
            None if sandbox.tier().is_some() => Named::Shown(variable.name.to_owned()),
            None => Named::Variable(variable.name.to_owned()),
        });
        out.extend(handed.map(|named| (format!("tools.{tool}.{key}"), named)));
        out.extend(sandbox.secrets().map(|reference| (format!("tools.{tool}.sandbox.egress"), Named::of(reference))));
    }
    out
}

/// Whether a variable is one of the model's provider, and the model is asked at the provider's own endpoint: the usual one,
/// or the one that the operator's environment says.
fn is_usual(choice: &ModelChoice, variable: &str) -> bool {
    provider(choice).is_some_and(|p| p.uses(variable) && p.is_own(choice.base_url.as_deref()))
}

/// The provider of a model; none for a script.
pub(super) fn provider(choice: &ModelChoice) -> Option<&'static Provider> {
    match &choice.source {
        ModelSource::Provider(name) => Provider::named(name.split_once(':')?.0),
        ModelSource::Script(_) | ModelSource::Cassette(_) => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use stead_manifest::Bundle;

    use super::*;

    fn manifest(model: &str, tools: &str) -> Manifest {
        let text = format!("stead: v1\nname: a\nmodel: {{ {model} }}\ninstructions: Be kind.\n{tools}");
        let stored = serde_json::json!({ "format": 1, "manifest": text });
        Bundle::decode(stored.to_string().as_bytes(), None).unwrap().manifest
    }

    const MODEL: &str = "use: \"openai:m\"";
    const KEY: &str = "OPENAI_API_KEY";
    const URL: &str = "OPENAI_BASE_URL";
    const OPENAI_URL: &str = "https://api.openai.com/v1";

    #[test]
    fn a_variable_that_is_not_listed_is_refused_with_its_key_and_the_cure() {
        let pay = "tools:\n  pay:\n    http:\n      base_url: https://evil.example\n      operations: { x: { method: GET, path: / } }\n    auth: env://PAY\n";
        let mail =
            "tools:\n  mail: { mcp: { command: [mail], env: [MAIL_KEY, AWS_KEY] }, sandbox: none, effect: pure }\n";
        let keyed = |url: &str| format!("{MODEL}, key: \"env://PATH\"{url}");
        let listed = |names: &[&str]| Environment::Listed {
            variables: names.iter().map(|n| (*n).to_owned()).collect(),
            secrets: BTreeSet::from(["PAY".to_owned()]),
            shown: BTreeSet::from(["PATH", "PAY", "MAIL_KEY", "AWS_KEY"].map(str::to_owned)),
        };
        for (manifest, keys, names) in [
            (manifest(&keyed(""), ""), vec!["`model.key`"], vec!["PATH"]),
            (manifest(&keyed(", base_url: \"https://evil.example\""), ""), vec!["`model.key`"], vec!["PATH"]),
            (
                manifest(&format!("{MODEL}, fallback: [{{ {} }}]", keyed("")), ""),
                vec!["`model.fallback[0].key`"],
                vec!["PATH"],
            ),
            (manifest(MODEL, pay), vec!["`tools.pay.auth`"], vec!["PAY"]),
            (manifest(MODEL, mail), vec!["`tools.mail.mcp.env`"], vec!["MAIL_KEY", "AWS_KEY"]),
        ] {
            let error = listed(&["OTHER"]).admit(&manifest).unwrap_err();
            assert_eq!(error.code, code::MANIFEST_UNSUPPORTED);
            for word in keys.iter().chain(&names).chain(&["stead.toml", "[agents] env = ["]) {
                assert!(error.detail.contains(word), "{word} is not in: {}", error.detail);
            }
            assert!(listed(&names).admit(&manifest).is_ok());
            assert!(Environment::Open.admit(&manifest).is_ok());
        }
    }

    #[test]
    fn a_secret_is_listed_as_a_variable_is_and_in_a_list_of_its_own() {
        let secret = |names: &[&str]| Environment::Listed {
            variables: BTreeSet::from(["payments".to_owned(), "B".to_owned()]),
            secrets: names.iter().map(|n| (*n).to_owned()).collect(),
            shown: BTreeSet::new(),
        };
        let mail = "tools:\n  mail: { mcp: { command: [mail], env: [B, \"A=secret://payments\"] }, sandbox: none, effect: pure }\n";
        for manifest in [manifest(MODEL, mail), manifest(&format!("{MODEL}, key: \"secret://payments\""), "")] {
            let error = secret(&["other"]).admit(&manifest).unwrap_err();
            assert!(error.detail.contains("[agents] secrets = [\"payments\"]"), "{}", error.detail);
            assert!(secret(&["payments"]).admit(&manifest).is_ok() && Environment::Open.admit(&manifest).is_ok());
        }
        // The secret of a provider's usual name is the provider's.
        assert!(secret(&[]).admit(&manifest(&format!("{MODEL}, key: \"secret://{KEY}\""), "")).is_ok());
        let away = format!("{MODEL}, key: \"secret://{KEY}\", base_url: \"https://evil.example\"");
        assert!(secret(&[]).admit(&manifest(&away, "")).is_err());
    }

    #[test]
    fn what_a_box_may_see_is_not_what_agents_may_use_as_a_secret() {
        let listed = |variables: &[&str], shown: &[&str]| {
            let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
            Environment::Listed { variables: set(variables), secrets: BTreeSet::new(), shown: set(shown) }
        };
        let bare = manifest(MODEL, "tools:\n  sh: { command: [sh, -c], env: [PATH] }\n");
        let server = manifest(MODEL, "tools:\n  m: { mcp: { command: [m], env: [PATH] }, effect: pure }\n");
        for handed in [&bare, &server] {
            let error = listed(&["PATH"], &[]).admit(handed).unwrap_err();
            for word in ["[sandbox] env = [\"PATH\"]", "`NAME=secret://SECRET`"] {
                assert!(error.detail.contains(word), "{word} is not in: {}", error.detail);
            }
            assert!(listed(&[], &["PATH"]).admit(handed).is_ok());
        }
        // And what boxes may see is no secret that a rule may put in.
        let rule = "tools:\n  sh: { command: [sh, -c], env: [\"K=env://PATH\"], sandbox: { egress: [{ host: a.example, secrets: [{ secret: \"env://PATH\", inject: bearer }] }] } }\n";
        let rule = manifest(MODEL, rule);
        assert!(listed(&[], &["PATH"]).admit(&rule).unwrap_err().detail.contains("[agents] env = [\"PATH\"]"));
        assert!(listed(&["PATH"], &[]).admit(&rule).is_ok());
        assert_eq!(listed(&["PATH"], &[]).shown("PATH"), None);
        assert!(listed(&[], &["PATH"]).shown("PATH").is_some() && listed(&[], &["PATH"]).get("PATH").is_none());
    }

    #[test]
    fn the_usual_variable_of_a_provider_goes_to_the_provider_alone() {
        let none = Environment::default();
        let key = format!("{MODEL}, key: \"env://{KEY}\"");
        let own = format!("{key}, base_url: \"{OPENAI_URL}/\"");
        for model in [MODEL, &key, &own] {
            assert!(none.admit(&manifest(model, "")).is_ok(), "{model}");
        }
        for host in ["https://evil.example/v1", "https://api.openai.com.evil.example/v1", "https://api.openai.com/v1/x"]
        {
            let elsewhere = manifest(&format!("{key}, base_url: \"{host}\""), "");
            let error = none.admit(&elsewhere).unwrap_err();
            assert!(error.detail.contains("leave `key` and `base_url` out"), "{}", error.detail);
            assert_eq!(none.of_model(&elsewhere.model.first, KEY), None);
            assert_eq!(none.of_model(&elsewhere.model.first, URL), None);
        }
        let mine = manifest(MODEL, "");
        assert_eq!(none.of_model(&mine.model.first, "PATH"), None);
        assert!(none.get("PATH").is_none() && Environment::Open.get("PATH").is_some());
    }

    #[test]
    fn the_variable_of_one_provider_is_none_of_another() {
        let none = Environment::default();
        for (model, key, taken) in [
            ("anthropic:m", "ANTHROPIC_API_KEY", true),
            ("gemini:m", "GOOGLE_API_KEY", true),
            ("azure:m", "AZURE_OPENAI_API_KEY", true),
            ("anthropic:m", "OPENAI_API_KEY", false),
            ("ollama:m", "GROQ_API_KEY", false),
        ] {
            let named = manifest(&format!("use: \"{model}\", key: \"env://{key}\""), "");
            assert_eq!(none.admit(&named).is_ok(), taken, "{model} {key}");
        }
        let away = "use: \"azure:m\", base_url: \"https://evil.example\", key: \"env://AZURE_OPENAI_API_KEY\"";
        assert!(none.admit(&manifest(away, "")).is_err());
    }

    #[test]
    fn a_long_list_is_cut() {
        let many: Vec<String> = (0..60).map(|n| format!("V{n}")).collect();
        let tools = format!("tools:\n  m: {{ mcp: {{ command: [m], env: [{}] }}, effect: pure }}\n", many.join(", "));
        let detail = Environment::default().admit(&manifest(MODEL, &tools)).unwrap_err().detail;
        assert!(detail.contains("and there are more") && detail.len() < 1_000, "{detail}");
    }
}
