//! One attempt, end to end.

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::{
    Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use stead_core::{code, id::Name, message::Reply};
use stead_ports::{
    BoxFuture,
    model::{DeltaSink, Model, ModelCall, ModelError},
};

use super::{assemble::Assembly, failure, request, stream};
use crate::{http::Http, secret::Secret, setup::ModelSetupError};

/// The name under which an endpoint knows the limit of output tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LimitKey {
    /// `max_completion_tokens`: OpenAI itself; its newer models refuse the other.
    #[default]
    MaxCompletionTokens,
    /// `max_tokens`: what most compatible servers know.
    MaxTokens,
}

/// Bounds and habits of an endpoint.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long until the answer begins.
    pub first_byte: Duration,
    /// How long the stream may be silent.
    pub idle: Duration,
    /// Most bytes on the wire for one reply.
    pub max_wire: usize,
    /// Most bytes of text and arguments in one reply; also bounds one frame.
    pub max_reply: usize,
    /// Most bytes of one call's arguments.
    pub max_arguments: usize,
    /// Most calls of one reply.
    pub max_calls: usize,
    /// How the output limit is named.
    pub limit_key: LimitKey,
    /// Whether to ask for usage in the stream (`stream_options`), which a few old servers refuse.
    pub ask_usage: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(180),
            idle: Duration::from_secs(60),
            max_wire: 64 << 20,
            max_reply: 8 << 20,
            max_arguments: 1 << 20,
            max_calls: 128,
            limit_key: LimitKey::default(),
            ask_usage: true,
        }
    }
}

/// A model behind an OpenAI-compatible endpoint.
#[derive(Debug)]
pub struct OpenAi {
    name: Name,
    url: Url,
    model: String,
    key: Option<Secret>,
    authorization: Option<HeaderValue>,
    options: Options,
    http: Http,
}

impl OpenAi {
    /// A model of that endpoint. `base_url` is the part before `/chat/completions`, such as
    /// `https://api.openai.com/v1`; a query in it is kept.
    ///
    /// # Errors
    /// [`code::MANIFEST_VALUE`] for a URL that cannot be used, [`code::MODEL_KEY`] for a key that no header can carry.
    pub fn new(
        name: impl Into<Name>,
        base_url: &str,
        model: impl Into<String>,
        key: Option<Secret>,
        options: Options,
        http: &Http,
    ) -> Result<Self, ModelSetupError> {
        let url = endpoint(base_url).map_err(|e| ModelSetupError::new(code::MANIFEST_VALUE, e))?;
        let authorization = match &key {
            None => None,
            Some(k) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", k.expose())).map_err(|_| {
                    ModelSetupError::new(code::MODEL_KEY, "the key has characters that no HTTP header can carry")
                })?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Self { name: name.into(), url, model: model.into(), key, authorization, options, http: http.clone() })
    }

    async fn attempt(&self, call: &ModelCall, deltas: &DeltaSink) -> Result<Reply, ModelError> {
        let mut request = self
            .http
            .client(&self.url)
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream")
            .body(request::body(&self.model, call, &self.options));
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value.clone());
        }
        let response = match tokio::time::timeout(self.options.first_byte, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(e)) => return Err(failure::transport(e)),
            Err(_) => return Err(failure::timeout("the answer did not begin", self.options.first_byte)),
        };
        if !response.status().is_success() {
            return Err(failure::status(response).await);
        }
        failure::check_type(&response)?;
        let mut frames = stream::frames(response, &self.options);
        let mut assembly = Assembly::new(&self.options, call.turn);
        while let Some(frame) = frames.next().await {
            match frame {
                Ok(stream::Frame::Done) => break,
                Ok(stream::Frame::Data(data)) => assembly.take(&data, deltas)?,
                // All that can be missing after the end of the reply is the count of its tokens.
                Err(_) if assembly.finished() => break,
                Err(e) => return Err(failure::frame(e, &self.options)),
            }
        }
        assembly.into_reply(call)
    }
}

impl Model for OpenAi {
    fn name(&self) -> &Name {
        &self.name
    }

    fn call(&self, call: ModelCall, deltas: DeltaSink) -> BoxFuture<'_, Result<Reply, ModelError>> {
        Box::pin(async move {
            self.attempt(&call, &deltas).await.map_err(|mut e| {
                e.detail = failure::tidy(&e.detail, self.key.as_ref());
                e
            })
        })
    }
}

/// The URL of the endpoint. Credentials in it are refused, because URLs end up in logs.
fn endpoint(base_url: &str) -> Result<Url, String> {
    let mut url = Url::parse(base_url).map_err(|e| format!("the base URL cannot be read: {e}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("the base URL must be http or https, not {}", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the base URL must not contain a user name or password; give a key instead".to_owned());
    }
    url.set_fragment(None);
    url.path_segments_mut()
        .map_err(|()| "the base URL has no path".to_owned())?
        .pop_if_empty()
        .extend(["chat", "completions"]);
    Ok(url)
}
