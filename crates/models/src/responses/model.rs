//! A model behind the Responses API.

use stead_core::{id::Name, message::Reply};
use stead_ports::{
    BoxFuture,
    model::{DeltaSink, Model, ModelCall, ModelError},
};

use super::{fold::ResponsesFold, request};
use crate::{
    http::Http,
    secret::Secret,
    settings::Settings,
    setup::ModelSetupError,
    wire::{Auth, Bounds, Endpoint, Site},
};

/// A model of an endpoint that speaks the Responses API.
#[derive(Debug)]
pub struct Responses {
    endpoint: Endpoint,
    settings: Settings,
}

impl Responses {
    /// A model of that endpoint. `base_url` is the part before `/responses`, such as `https://api.openai.com/v1`.
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
        let site = Site { wire: "openai-responses", base_url, key, auth: Auth::Bearer };
        let endpoint = Endpoint::new(name.into(), model.into(), site, &["responses"], bounds, http)?;
        Ok(Self { endpoint, settings })
    }
}

impl Model for Responses {
    fn name(&self) -> &Name {
        &self.endpoint.name
    }

    fn call(&self, call: ModelCall, deltas: DeltaSink) -> BoxFuture<'_, Result<Reply, ModelError>> {
        Box::pin(async move {
            let body = request::body(&self.endpoint, &call, &self.settings);
            self.endpoint.attempt(&call, body, &deltas, ResponsesFold::default()).await
        })
    }
}
