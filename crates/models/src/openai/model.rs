//! A model behind Chat Completions.

use stead_core::id::Name;
use stead_core::message::Reply;
use stead_ports::{
    BoxFuture,
    model::{DeltaSink, Model, ModelCall, ModelError},
};

use super::{Dialect, fold::ChatFold, request};
use crate::{
    http::Http,
    secret::Secret,
    setup::ModelSetupError,
    wire::{Auth, Bounds, Endpoint, Site},
};

/// A model behind an OpenAI-compatible endpoint.
#[derive(Debug)]
pub struct OpenAi {
    endpoint: Endpoint,
    dialect: Dialect,
}

impl OpenAi {
    /// A model of that endpoint. `base_url` is the part before `/chat/completions`, such as
    /// `https://api.openai.com/v1`; a query in it is kept.
    ///
    /// # Errors
    /// `MANIFEST_VALUE` for a base URL that cannot be used, `MODEL_KEY` for a key that no header can carry.
    pub fn new(
        name: impl Into<Name>,
        base_url: &str,
        model: impl Into<String>,
        key: Option<Secret>,
        dialect: Dialect,
        bounds: Bounds,
        http: &Http,
    ) -> Result<Self, ModelSetupError> {
        let auth = if dialect.api_key_header { Auth::Header("api-key") } else { Auth::Bearer };
        let site = Site { wire: "openai", base_url, key, auth };
        let endpoint = Endpoint::new(name.into(), model.into(), site, &["chat", "completions"], bounds, http)?;
        Ok(Self { endpoint, dialect })
    }
}

impl Model for OpenAi {
    fn name(&self) -> &Name {
        &self.endpoint.name
    }

    fn call(&self, call: ModelCall, deltas: DeltaSink) -> BoxFuture<'_, Result<Reply, ModelError>> {
        Box::pin(async move {
            let body = request::body(&self.endpoint, &call, &self.dialect);
            self.endpoint.attempt(&call, body, &deltas, ChatFold::new(&self.dialect)).await
        })
    }
}
