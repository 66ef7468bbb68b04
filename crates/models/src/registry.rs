//! From a name such as `openai:gpt-5-mini` to a model that can be called.
//!
//! The environment is asked through a closure of the caller: whoever wires the server decides what a manifest may see.
//! A key of the environment goes only to the endpoint of the environment: when a manifest names a `base_url` of its
//! own, the key must be named beside it, so that no manifest sends the server's key elsewhere by leaving it out.
//!
//! Not here: reading scripts from disk. For `rehearsal: ./script.yaml`, read the file and use
//! [`Rehearsal::new`](crate::rehearsal::Rehearsal::new) with [`Script::parse`](crate::rehearsal::Script::parse).

use std::{fmt, sync::Arc};

use stead_core::{budget::Price, code};
use stead_ports::model::Model;

use crate::{
    http::Http,
    openai::{LimitKey, OpenAi, Options},
    prices,
    rehearsal::Auto,
    secret::Secret,
    setup::ModelSetupError,
};

/// Where OpenAI answers.
pub const OPENAI_URL: &str = "https://api.openai.com/v1";

/// Every provider of this release: what may stand before the `:` of a model's name.
pub const PROVIDERS: &[&str] = &["openai", "rehearsal"];

/// What this release can call.
const SUPPORTED: &str = "`openai:MODEL` (also at any compatible `base_url`), `rehearsal: SCRIPT` and `rehearsal:auto`";

/// A model as a manifest names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelSpec<'a> {
    /// `provider:model`.
    pub model: &'a str,
    /// An endpoint other than the provider's own.
    pub base_url: Option<&'a str>,
    /// Where the key is: `env://NAME`.
    pub key: Option<&'a str>,
}

impl<'a> From<&'a str> for ModelSpec<'a> {
    fn from(model: &'a str) -> Self {
        Self { model, ..Self::default() }
    }
}

/// What models are made from.
#[derive(Clone)]
pub struct ProviderContext<'a> {
    /// Looks up an environment variable.
    pub env: &'a (dyn Fn(&str) -> Option<String> + Send + Sync),
    /// Connection pools, shared by all models.
    pub http: &'a Http,
    /// Bounds of a call.
    pub options: Options,
}

impl fmt::Debug for ProviderContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderContext").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A model and what it costs.
#[derive(Clone)]
pub struct Resolved {
    /// The model.
    pub model: Arc<dyn Model>,
    /// Its list price; `None` when it is not known, as for any endpoint but the provider's own.
    pub price: Option<Price>,
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved").field("model", self.model.name()).field("price", &self.price).finish()
    }
}

/// The model of that name.
///
/// # Errors
/// [`code::MANIFEST_UNSUPPORTED`] for a provider this release does not have, [`code::MODEL_KEY`] when the key is
/// missing or unusable, [`code::MANIFEST_VALUE`] for anything written wrong.
pub fn resolve<'a>(spec: impl Into<ModelSpec<'a>>, cx: &ProviderContext<'_>) -> Result<Resolved, ModelSetupError> {
    let spec = spec.into();
    let wrong = |detail: String| ModelSetupError::new(code::MANIFEST_VALUE, detail);
    let (provider, model) = spec.model.split_once(':').unwrap_or((spec.model, ""));
    let (provider, model) = (provider.trim(), model.trim());
    let unsupported = || {
        let detail = format!("this release has no provider `{provider}`; it has {SUPPORTED}");
        Err(ModelSetupError::new(code::MANIFEST_UNSUPPORTED, detail))
    };
    match (provider, model) {
        (unknown, _) if !PROVIDERS.contains(&unknown) => unsupported(),
        ("rehearsal", _) if spec.base_url.is_some() || spec.key.is_some() => {
            Err(wrong("a rehearsal has no `base_url` and no `key`".to_owned()))
        }
        ("rehearsal", "auto") => {
            Ok(Resolved { model: Arc::new(Auto::default()), price: prices::price("rehearsal", "auto") })
        }
        ("rehearsal", _) => Err(wrong("a rehearsal is `rehearsal:auto` or names its script".to_owned())),
        ("openai", "") => Err(wrong("name a model after the provider, such as `openai:gpt-5-mini`".to_owned())),
        ("openai", model) => openai(spec, model, cx),
        _ => unsupported(),
    }
}

fn openai(spec: ModelSpec<'_>, model: &str, cx: &ProviderContext<'_>) -> Result<Resolved, ModelSetupError> {
    let of_env = |name: &str| (cx.env)(name).filter(|v| !v.trim().is_empty());
    let (base_url, default_key) = match spec.base_url {
        Some(url) => (url.to_owned(), None),
        None => (of_env("OPENAI_BASE_URL").unwrap_or_else(|| OPENAI_URL.to_owned()), of_env("OPENAI_API_KEY")),
    };
    let own = base_url.trim_end_matches('/') == OPENAI_URL;
    let key = match spec.key {
        None => default_key,
        Some(reference) => Some(named_key(reference, cx)?),
    };
    if own && key.is_none() {
        let cure = if spec.base_url.is_some() { "name it with `key: env://NAME`" } else { "set OPENAI_API_KEY" };
        return Err(ModelSetupError::new(code::MODEL_KEY, format!("`{}` needs a key: {cure}", spec.model)));
    }
    let mut options = cx.options.clone();
    if !own {
        options.limit_key = LimitKey::MaxTokens;
    }
    let client = OpenAi::new(spec.model, &base_url, model, key.map(Secret::new), options, cx.http)?;
    let price = if own { prices::price("openai", model) } else { None };
    Ok(Resolved { model: Arc::new(client), price })
}

/// The value of `env://NAME`.
fn named_key(reference: &str, cx: &ProviderContext<'_>) -> Result<String, ModelSetupError> {
    // The reference itself is not repeated in the error: it may be a key written where its name belongs.
    let name = reference.strip_prefix("env://").filter(|n| {
        n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && n.bytes().next().is_some_and(|b| !b.is_ascii_digit())
    });
    let Some(name) = name else {
        return Err(ModelSetupError::new(code::MANIFEST_VALUE, "`key` says where the key is: `env://NAME`"));
    };
    (cx.env)(name)
        .filter(|v| !v.trim().is_empty())
        .ok_or_else(|| ModelSetupError::new(code::MODEL_KEY, format!("the environment variable {name} is not set")))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn with(env: &[(&str, &str)], spec: ModelSpec<'_>) -> Result<Resolved, ModelSetupError> {
        let http = Http::new().unwrap();
        let look = |name: &str| env.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned());
        resolve(spec, &ProviderContext { env: &look, http: &http, options: Options::default() })
    }

    #[test]
    fn a_known_model_at_its_own_endpoint_has_a_price() {
        let found = with(&[("OPENAI_API_KEY", "sk-x")], "openai:gpt-5-mini".into()).unwrap();
        assert_eq!(found.model.name().as_str(), "openai:gpt-5-mini");
        assert_eq!(found.price.unwrap().output, 2_000_000);
        let elsewhere = [("OPENAI_API_KEY", "sk-x"), ("OPENAI_BASE_URL", "http://localhost:1/v1")];
        assert_eq!(with(&elsewhere, "openai:gpt-5-mini".into()).unwrap().price, None);
        assert_eq!(with(&[], "rehearsal:auto".into()).unwrap().price.unwrap().output, 0);
    }

    #[test]
    fn the_key_of_the_environment_is_not_offered_to_the_url_of_a_manifest() {
        let env = [("OPENAI_API_KEY", "sk-x"), ("MINE", "k")];
        let spec = ModelSpec { model: "openai:m", base_url: Some("http://localhost:1/v1"), key: None };
        let debug = |spec| format!("{:?}", with(&env, spec).unwrap());
        assert!(!debug(spec).contains("sk-x"));
        let own = ModelSpec { base_url: Some(OPENAI_URL), ..spec };
        assert_eq!(with(&env, own).unwrap_err().code, code::MODEL_KEY);
        assert!(with(&env, ModelSpec { key: Some("env://MINE"), ..own }).is_ok());
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let spec = |model| ModelSpec { model, ..ModelSpec::default() };
        let keyed = |key| ModelSpec { model: "openai:m", base_url: None, key: Some(key) };
        let at = |url| ModelSpec { model: "openai:m", base_url: Some(url), key: None };
        for (case, code, words) in [
            (spec("openai:gpt-5"), code::MODEL_KEY, "OPENAI_API_KEY"),
            (spec("anthropic:claude-sonnet"), code::MANIFEST_UNSUPPORTED, "`anthropic`; it has `openai:MODEL`"),
            (spec("openai:"), code::MANIFEST_VALUE, "name a model"),
            (spec(""), code::MANIFEST_UNSUPPORTED, "no provider"),
            (spec("rehearsal"), code::MANIFEST_VALUE, "script"),
            (keyed("sk-secret"), code::MANIFEST_VALUE, "env://NAME"),
            (keyed("env://GONE"), code::MODEL_KEY, "GONE is not set"),
            (at("ftp://x"), code::MANIFEST_VALUE, "http or https"),
            (at("http://u:p@x"), code::MANIFEST_VALUE, "user name or password"),
            (at("nonsense"), code::MANIFEST_VALUE, "cannot be read"),
        ] {
            let e = with(&[], case).unwrap_err();
            assert_eq!(e.code, code, "{e}");
            assert!(e.detail.contains(words) && !e.detail.contains("sk-secret"), "{e}");
        }
        assert_eq!(with(&[("OPENAI_API_KEY", "a\nb")], spec("openai:m")).unwrap_err().code, code::MODEL_KEY);
    }
}
