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
use stead_ports::{model::Model, secret::Secret as SecretValue};

use crate::{
    account::{self, OfAccount},
    anthropic::Anthropic,
    gemini::Gemini,
    http::Http,
    openai::{Dialect, LimitKey, OpenAi},
    prices,
    providers::{PROVIDERS, Provider, Wire},
    rehearsal::Auto,
    responses::Responses,
    secret::Secret,
    settings::Settings,
    setup::ModelSetupError,
    wire::Bounds,
};

/// A model as a manifest names it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ModelSpec<'a> {
    /// `provider:model`.
    pub model: &'a str,
    /// An endpoint other than the provider's own.
    pub base_url: Option<&'a str>,
    /// Where the key is: `env://NAME` or `secret://NAME`.
    pub key: Option<&'a str>,
    /// What is asked of it besides.
    pub settings: Settings,
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
    /// Looks up a secret.
    pub secret: &'a (dyn Fn(&str) -> Option<SecretValue> + Send + Sync),
    /// Connection pools, shared by all models.
    pub http: &'a Http,
    /// Bounds of a call.
    pub bounds: Bounds,
}

impl fmt::Debug for ProviderContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderContext").field("bounds", &self.bounds).finish_non_exhaustive()
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
    match (provider, model) {
        ("rehearsal", _) if spec.base_url.is_some() || spec.key.is_some() || spec.settings != Settings::default() => {
            Err(wrong("a rehearsal has no `base_url`, no `key` and no settings".to_owned()))
        }
        ("rehearsal", "auto") => {
            Ok(Resolved { model: Arc::new(Auto::default()), price: prices::price("rehearsal", "auto") })
        }
        ("rehearsal", _) => Err(wrong("a rehearsal is `rehearsal:auto` or names its script".to_owned())),
        (name, model) => match Provider::named(name) {
            Some(_) if model.is_empty() => {
                Err(wrong(format!("name a model after the provider, such as `{name}:MODEL`")))
            }
            Some(provider) => connect(provider, spec, model, cx),
            None => Err(ModelSetupError::new(code::MANIFEST_UNSUPPORTED, unknown(name))),
        },
    }
}

/// The list price of a model such as `openai:gpt-5-mini`, at its provider's own endpoint; `None` when it is not known.
pub fn list_price(name: &str) -> Option<Price> {
    let (provider, model) = name.split_once(':')?;
    prices::price(Provider::named(provider.trim())?.prices, model.trim())
}

fn unknown(name: &str) -> String {
    let near = PROVIDERS.iter().map(|p| p.name).find(|p| strsim::damerau_levenshtein(p, name) <= 2);
    let hint = near.map_or_else(String::new, |p| format!(" Did you mean `{p}`?"));
    let all = PROVIDERS.iter().map(|p| format!("`{}`", p.name)).collect::<Vec<_>>().join(", ");
    format!(
        "this release has no provider `{name}`.{hint} It has {all}, `rehearsal: SCRIPT` and `rehearsal:auto`; any \
         OpenAI-compatible server is `openai:MODEL` with its `base_url`"
    )
}

fn connect(
    provider: &Provider,
    spec: ModelSpec<'_>,
    model: &str,
    cx: &ProviderContext<'_>,
) -> Result<Resolved, ModelSetupError> {
    let of_env = |name: &str| (cx.env)(name).filter(|v| !v.trim().is_empty());
    let told = spec.base_url.map(str::to_owned);
    let said = || provider.url_var.and_then(of_env).map(|value| provider.url_of(&value));
    let base_url = told.or_else(said).unwrap_or_else(|| provider.url.to_owned());
    if base_url.is_empty() {
        let variable = provider.url_var.unwrap_or_default();
        let detail = format!("`{}` needs to know where it answers: set {variable}, or give `base_url`", spec.model);
        return Err(ModelSetupError::new(code::MANIFEST_VALUE, detail));
    }
    let key = match spec.key {
        Some(reference) => Some(named_key(reference, cx)?),
        // The operator's key goes to the operator's endpoint only.
        None if spec.base_url.is_none() => usual_key(provider, cx),
        None => None,
    };
    let own = provider.is_at(&base_url);
    if key.is_none() && provider.needs_key && (own || provider.url.is_empty()) {
        let cure = match provider.key_vars.first() {
            Some(name) if spec.base_url.is_none() => format!("set {name}, or `stead secrets set {name}`"),
            _ => "name it with `key: env://NAME` or `key: secret://NAME`".to_owned(),
        };
        return Err(ModelSetupError::new(code::MODEL_KEY, format!("`{}` needs a key: {cure}", spec.model)));
    }
    let account = account::name(provider, spec, &base_url);
    let model_of = client(provider, spec, model, &base_url, key, cx)?;
    let client: Arc<dyn Model> = Arc::new(OfAccount { model: model_of, account });
    let price = if own { prices::price(provider.prices, model) } else { None };
    Ok(Resolved { model: client, price })
}

fn client(
    provider: &Provider,
    spec: ModelSpec<'_>,
    model: &str,
    base_url: &str,
    key: Option<Secret>,
    cx: &ProviderContext<'_>,
) -> Result<Arc<dyn Model>, ModelSetupError> {
    let (name, settings, bounds) = (spec.model, spec.settings, cx.bounds.clone());
    Ok(match provider.wire {
        Wire::Chat => {
            let mut dialect = Dialect { settings, ..provider.dialect() };
            if provider.name == "openai" && !provider.is_at(base_url) {
                // A compatible server under OpenAI's name: the older key is the one that most know.
                dialect.limit_key = LimitKey::MaxTokens;
            }
            Arc::new(OpenAi::new(name, base_url, model, key, dialect, bounds, cx.http)?)
        }
        Wire::Responses => Arc::new(Responses::new(name, base_url, model, key, settings, bounds, cx.http)?),
        Wire::Anthropic => Arc::new(Anthropic::new(name, base_url, model, key, settings, bounds, cx.http)?),
        Wire::Gemini => Arc::new(Gemini::new(name, base_url, model, key, settings, bounds, cx.http)?),
    })
}

/// A provider's key, when the manifest does not say where it is: its usual variables, then the secrets of their names.
fn usual_key(provider: &Provider, cx: &ProviderContext<'_>) -> Option<Secret> {
    let of_env = |name: &&str| (cx.env)(name).map(Secret::new);
    let of_secret = |name: &&str| (cx.secret)(name).map(|value| Secret::new(value.expose()));
    let names = provider.key_vars.iter();
    names.clone().filter_map(of_env).chain(names.filter_map(of_secret)).find(|key| !key.is_empty())
}

/// The value of `env://NAME` or `secret://NAME`.
fn named_key(reference: &str, cx: &ProviderContext<'_>) -> Result<Secret, ModelSetupError> {
    // The reference itself is not repeated in the error: it may be a key written where its name belongs.
    let head = |text: &str| text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let word = |text: &&str, more: &[u8]| {
        head(text) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || more.contains(&b))
    };
    if let Some(name) = reference.strip_prefix("env://").filter(|name| word(name, b"")) {
        let found = (cx.env)(name).map(Secret::new).filter(|key| !key.is_empty());
        let missing = || ModelSetupError::new(code::MODEL_KEY, format!("the environment variable {name} is not set"));
        return found.ok_or_else(missing);
    }
    if let Some(name) = reference.strip_prefix("secret://").filter(|name| word(name, b".-")) {
        let found = (cx.secret)(name).map(|value| Secret::new(value.expose())).filter(|key| !key.is_empty());
        let missing = || {
            let detail = format!("there is no secret `{name}`: `stead secrets set {name}`");
            ModelSetupError::new(code::SECRET_MISSING, detail)
        };
        return found.ok_or_else(missing);
    }
    Err(ModelSetupError::new(code::MANIFEST_VALUE, "`key` says where the key is: `env://NAME` or `secret://NAME`"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn with(env: &[(&str, &str)], spec: ModelSpec<'_>) -> Result<Resolved, ModelSetupError> {
        let http = Http::new().unwrap();
        let look = |name: &str| env.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned());
        // A secret is told from a variable by `secret:` before its name.
        let secret = |name: &str| look(&format!("secret:{name}")).map(SecretValue::new);
        resolve(spec, &ProviderContext { env: &look, secret: &secret, http: &http, bounds: Bounds::default() })
    }

    #[test]
    fn a_variable_comes_before_the_secret_of_its_name_and_either_will_do() {
        let both = [("GOOGLE_API_KEY", "of-env"), ("secret:GEMINI_API_KEY", "of-secret")];
        let look = |env: &[(&str, &str)]| {
            let find = |name: &str| env.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned());
            let secret = |name: &str| find(&format!("secret:{name}")).map(SecretValue::new);
            let http = Http::new().unwrap();
            let cx = ProviderContext { env: &find, secret: &secret, http: &http, bounds: Bounds::default() };
            usual_key(Provider::named("gemini").unwrap(), &cx)
        };
        assert_eq!(look(&both), Some(Secret::new("of-env")));
        assert_eq!(look(&both[1..]), Some(Secret::new("of-secret")));
        assert_eq!(look(&[("GEMINI_API_KEY", " "), both[1]]), Some(Secret::new("of-secret")));
        assert_eq!(look(&[]), None);
        assert!(with(&both[1..], "gemini:m".into()).is_ok());
    }

    #[test]
    fn a_secret_is_named_as_a_variable_is() {
        let spec = |key| ModelSpec { model: "openai:m", key: Some(key), ..ModelSpec::default() };
        let kept = [("secret:mine.key", "k-123"), ("secret:OPENAI_API_KEY", "k")];
        assert!(with(&kept, spec("secret://mine.key")).is_ok());
        let missing = with(&kept, spec("secret://other")).unwrap_err();
        assert_eq!(missing.code, code::SECRET_MISSING);
        assert!(missing.detail.contains("stead secrets set other"), "{missing}");
        for wrong in ["secret://", "secret://a#b", "secret://a/b", "SECRET://a", "sk-secret"] {
            let error = with(&kept, spec(wrong)).unwrap_err();
            assert!(error.code == code::MANIFEST_VALUE && !error.detail.contains("sk-secret"), "{error}");
        }
        let elsewhere = ModelSpec { base_url: Some("http://localhost:1/v1"), ..ModelSpec::from("openai:m") };
        assert!(format!("{:?}", with(&kept, elsewhere)).contains("Ok"));
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
        let spec = ModelSpec { model: "openai:m", base_url: Some("http://localhost:1/v1"), ..ModelSpec::default() };
        let debug = |spec| format!("{:?}", with(&env, spec).unwrap());
        assert!(!debug(spec).contains("sk-x"));
        let own = ModelSpec { base_url: Some("https://api.openai.com/v1"), ..spec };
        assert_eq!(with(&env, own).unwrap_err().code, code::MODEL_KEY);
        assert!(with(&env, ModelSpec { key: Some("env://MINE"), ..own }).is_ok());
    }

    #[test]
    fn every_provider_is_a_name_with_its_usual_variables() {
        for provider in PROVIDERS {
            let env: Vec<(&str, &str)> = provider
                .key_vars
                .iter()
                .map(|key| (*key, "k-0123456789"))
                .chain(provider.url_var.map(|var| (var, "http://localhost:1/v1")))
                .collect();
            let name = format!("{}:some/model", provider.name);
            let spec = ModelSpec { model: &name, ..ModelSpec::default() };
            let found = with(&env, spec).unwrap();
            assert_eq!((found.model.name().as_str(), found.price), (name.as_str(), None));
            if !provider.needs_key {
                assert!(with(&[], spec).is_ok(), "{name}");
            } else if provider.url_var.is_none() {
                assert_eq!(with(&[], spec).unwrap_err().code, code::MODEL_KEY, "{name}");
            }
        }
        let second = [("GOOGLE_API_KEY", "k")];
        assert!(with(&second, "gemini:gemini-2.5-pro".into()).unwrap().price.is_some());
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let spec = |model| ModelSpec { model, ..ModelSpec::default() };
        let keyed = |key| ModelSpec { model: "openai:m", key: Some(key), ..ModelSpec::default() };
        let at = |url| ModelSpec { model: "openai:m", base_url: Some(url), ..ModelSpec::default() };
        for (case, code, words) in [
            (spec("openai:gpt-5"), code::MODEL_KEY, "OPENAI_API_KEY"),
            (spec("anthropic:claude-sonnet-5"), code::MODEL_KEY, "ANTHROPIC_API_KEY"),
            (spec("anthropc:claude-sonnet-5"), code::MANIFEST_UNSUPPORTED, "Did you mean `anthropic`?"),
            (spec("acme:m"), code::MANIFEST_UNSUPPORTED, "any OpenAI-compatible server is `openai:MODEL`"),
            (spec("azure:m"), code::MANIFEST_VALUE, "AZURE_OPENAI_ENDPOINT"),
            (spec("gemini:"), code::MANIFEST_VALUE, "`gemini:MODEL`"),
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
