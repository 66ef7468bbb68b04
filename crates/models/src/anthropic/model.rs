//! A model behind the Messages API.

use stead_core::{id::Name, message::Reply};
use stead_ports::{
    BoxFuture,
    model::{DeltaSink, Model, ModelCall, ModelError},
};

use super::{fold::AnthropicFold, request};
use crate::{
    http::Http,
    secret::Secret,
    settings::Settings,
    setup::ModelSetupError,
    wire::{Auth, Bounds, Endpoint, Site},
};

/// A model of an endpoint that speaks the Messages API.
#[derive(Debug)]
pub struct Anthropic {
    endpoint: Endpoint,
    settings: Settings,
}

impl Anthropic {
    /// A model of that endpoint. `base_url` is the part before `/v1/messages`, such as `https://api.anthropic.com`; with
    /// the `/v1` it is understood as well.
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
        let site = Site { wire: "anthropic", base_url, key, auth: Auth::Header("x-api-key") };
        let path: &[&str] =
            if base_url.trim_end_matches('/').ends_with("/v1") { &["messages"] } else { &["v1", "messages"] };
        let endpoint = Endpoint::new(name.into(), model.into(), site, path, bounds, http)?
            .with_header("anthropic-version", "2023-06-01");
        Ok(Self { endpoint, settings })
    }
}

impl Model for Anthropic {
    fn name(&self) -> &Name {
        &self.endpoint.name
    }

    fn call(&self, call: ModelCall, deltas: DeltaSink) -> BoxFuture<'_, Result<Reply, ModelError>> {
        Box::pin(async move {
            let body = request::body(&self.endpoint, &call, &self.settings);
            self.endpoint.attempt(&call, body, &deltas, AnthropicFold::default()).await
        })
    }
}
