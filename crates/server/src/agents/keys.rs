//! Where the keys that manifests name come from: the environment of this process, and the operator's secrets.

use std::{collections::HashMap, sync::Arc};

use serde_json::value::RawValue;
use stead_core::code;
use stead_manifest::{
    Manifest,
    manifest::{Auth, ModelChoice, SecretPlace, SecretRef, Tool},
};
use stead_ports::{
    agent::AgentError,
    secret::{self, Secrets},
};
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

    /// Names of the secrets whose values a tool is given. In a box there are none: the egress proxy reads them when it puts
    /// them in.
    pub(super) fn of_tool(manifest: &Manifest, tool: &Tool) -> Vec<String> {
        let variables: Vec<SecretRef> = match tool.sandbox_in(manifest) {
            Some(sandbox) if sandbox.tier().is_none() => tool.variables().filter_map(|v| v.from).collect(),
            _ => Vec::new(),
        };
        let auth = tool.auth.as_ref().and_then(Auth::reference);
        let named = auth.into_iter().chain(&variables).filter_map(|reference| match reference.place() {
            SecretPlace::Secret(name) => Some(name.to_owned()),
            SecretPlace::Env(_) => None,
        });
        named.collect()
    }

    /// The values of the secrets that a tool names, as they are now.
    pub(super) async fn values_of(&self, manifest: &Manifest, tool: &Tool) -> Result<Values, AgentError> {
        values(&*self.secrets, &Self::of_tool(manifest, tool)).await
    }
}

/// The value that a reference stands for, for a tool. What is not there is an error: nothing is sent without the key that it
/// needs.
pub(super) fn value(environment: &Environment, reference: &SecretRef, values: &Values) -> Result<Secret, AgentError> {
    found(environment, reference, values).map(|value| Secret::new(value.expose()))
}

/// The value that a reference stands for.
pub(crate) fn found(
    environment: &Environment,
    reference: &SecretRef,
    values: &Values,
) -> Result<secret::Secret, AgentError> {
    match reference.place() {
        SecretPlace::Env(name) => match environment.get(name) {
            Some(value) if !value.trim().is_empty() => Ok(secret::Secret::new(value)),
            _ => Err(AgentError {
                code: code::MANIFEST_VALUE,
                detail: format!("the environment variable {name} is not set"),
            }),
        },
        SecretPlace::Secret(name) => match (values.get(name), reference.field()) {
            (Some(value), None) => Ok(value.clone()),
            (Some(value), Some(field)) => self::field(name, value.expose(), field),
            (None, _) => Err(AgentError {
                code: code::SECRET_MISSING,
                detail: format!("there is no secret `{name}`: `stead secrets set {name}`"),
            }),
        },
    }
}

/// A field of a secret that is a JSON object: a text, or a number as it is written, however long. Neither the value nor what
/// else is in it is told.
fn field(name: &str, value: &str, field: &str) -> Result<secret::Secret, AgentError> {
    let wrong = |why: String| AgentError { code: code::SECRET_FIELD, detail: format!("the secret `{name}` {why}") };
    let fields: HashMap<String, Box<RawValue>> =
        serde_json::from_str(value).map_err(|_| wrong(format!("is no JSON object, so it has no field `{field}`")))?;
    let raw = fields.get(field).ok_or_else(|| wrong(format!("has no field `{field}`")))?.get();
    match raw.as_bytes() {
        // As a number of this program it would be another text: `1.10` would be `1.1`.
        [b'-' | b'0'..=b'9', ..] => Ok(secret::Secret::new(raw)),
        _ => match serde_json::from_str::<String>(raw) {
            Ok(text) if !text.trim().is_empty() => Ok(secret::Secret::new(text)),
            _ => Err(wrong(format!("has a field `{field}` that is no text and no number, or is empty"))),
        },
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_field_is_taken_out_of_a_secret_and_nothing_else_of_it_is_told() {
        let kept = r#"{"token": "pay-1", "port": 5432, "empty": " ", "more": {"a": 1}, "none": null, "yes": true,
            "account": 123456789012345678901234567890, "rate": 1.10, "below": -2e-05, "quoted": "a\"b\u00e9"}"#;
        let taken = |name: &str| field("payments", kept, name).map(|secret| secret.expose().to_owned());
        assert_eq!((taken("token").unwrap().as_str(), taken("port").unwrap().as_str()), ("pay-1", "5432"));
        for (name, written) in [
            ("account", "123456789012345678901234567890"),
            ("rate", "1.10"),
            ("below", "-2e-05"),
            ("quoted", "a\"b\u{e9}"),
        ] {
            assert_eq!(taken(name).unwrap(), written);
        }
        for (name, why) in [
            ("empty", "is no text"),
            ("more", "is no text"),
            ("none", "is no text"),
            ("yes", "is no text"),
            ("other", "has no field `other`"),
        ] {
            let error = taken(name).unwrap_err();
            assert_eq!(error.code, code::SECRET_FIELD);
            assert!(error.detail.contains(why) && !error.detail.contains("pay-1"), "{error}");
        }
        let error = field("payments", "hunter2-hunter2", "token").map(drop).unwrap_err();
        assert!(error.detail.contains("is no JSON object") && !error.detail.contains("hunter2"), "{error}");
    }
}
