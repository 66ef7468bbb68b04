//! A model behind the Gemini API.

use stead_core::{id::Name, message::Reply};
use stead_ports::{
    BoxFuture,
    model::{DeltaSink, Model, ModelCall, ModelError},
};

use super::{fold::GeminiFold, request};
use crate::{
    http::Http,
    secret::Secret,
    settings::Settings,
    setup::ModelSetupError,
    wire::{Auth, Bounds, Endpoint, Site},
};

/// A model of an endpoint that speaks the Gemini API.
#[derive(Debug)]
pub struct Gemini {
    endpoint: Endpoint,
    settings: Settings,
}

impl Gemini {
    /// A model of that endpoint. `base_url` is the part before `/v1beta/models`, such as
    /// `https://generativelanguage.googleapis.com`; with a version it is understood as well.
    ///
    /// # Errors
    /// `MANIFEST_VALUE` for a base URL that cannot be used, `MODEL_KEY` for a key that no header can carry.
    pub fn new(
        name: impl Into<Name>,
        base_url: &str,
        model: impl Into<String>,
        key: Option<Secret>,
        settings: Settings,
        bounds: Bounds,
        http: &Http,
    ) -> Result<Self, ModelSetupError> {
        let model: String = model.into();
        let site = Site { wire: "gemini", base_url, key, auth: Auth::Header("x-goog-api-key") };
        let method = format!("{}:streamGenerateContent", model.strip_prefix("models/").unwrap_or(&model));
        let mut path: Vec<&str> = Vec::new();
        if !has_version(base_url) {
            path.push("v1beta");
        }
        if !method.contains('/') {
            path.push("models");
        }
        path.extend(method.split('/'));
        let endpoint = Endpoint::new(name.into(), model.clone(), site, &path, bounds, http)?.with_query("alt", "sse");
        Ok(Self { endpoint, settings })
    }
}

/// Whether the URL ends in a version such as `v1beta`.
fn has_version(base_url: &str) -> bool {
    let last = base_url.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    last.strip_prefix('v').is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit()))
}

impl Model for Gemini {
    fn name(&self) -> &Name {
        &self.endpoint.name
    }

    fn call(&self, call: ModelCall, deltas: DeltaSink) -> BoxFuture<'_, Result<Reply, ModelError>> {
        Box::pin(async move {
            let body = request::body(&self.endpoint, &call, &self.settings);
            self.endpoint.attempt(&call, body, &deltas, GeminiFold::default()).await
        })
    }
}
