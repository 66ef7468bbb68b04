//! One attempt at one endpoint, end to end.

use futures_util::StreamExt;
use reqwest::{
    Response, Url,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use stead_core::{
    code,
    id::Name,
    message::{Reply, StopReason},
};
use stead_ports::model::{DeltaSink, ModelCall, ModelError};

use super::{Bounds, Draft, failure, stream, tap::Tap};
use crate::{http::Http, secret::Secret, setup::ModelSetupError};

/// Whether more frames are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Yes.
    More,
    /// The provider has said that this was the last.
    Over,
}

/// How a wire reads its frames.
pub(crate) trait Fold: Send {
    /// Takes in one frame: JSON text.
    fn take(&mut self, data: &str, draft: &mut Draft<'_>) -> Result<Flow, ModelError>;

    /// Why the reply ended, once the provider has said so.
    fn stop(&self) -> Option<StopReason>;
}

/// The header that a key travels in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Auth {
    /// `authorization: Bearer KEY`.
    Bearer,
    /// A header of the provider's own, with nothing but the key.
    Header(&'static str),
}

/// Where an endpoint is, and how its key travels.
pub(crate) struct Site<'a> {
    /// Which wire is spoken there.
    pub(crate) wire: &'static str,
    /// The part of the URL that users know.
    pub(crate) base_url: &'a str,
    /// The key, if it wants one.
    pub(crate) key: Option<Secret>,
    /// The header of the key.
    pub(crate) auth: Auth,
}

/// An endpoint that can be asked.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) name: Name,
    pub(crate) model: String,
    pub(crate) bounds: Bounds,
    /// Wire, endpoint and model: whoever made a reasoning item.
    pub(crate) origin: String,
    wire: &'static str,
    url: Url,
    key: Option<Secret>,
    headers: HeaderMap,
    http: Http,
}

impl Endpoint {
    /// The endpoint at `site` whose requests go to the base URL with `path` after it.
    ///
    /// # Errors
    /// [`code::MANIFEST_VALUE`] for a base URL that cannot be used, [`code::MODEL_KEY`] for a key that no header can carry.
    pub(crate) fn new(
        name: Name,
        model: String,
        site: Site<'_>,
        path: &[&str],
        bounds: Bounds,
        http: &Http,
    ) -> Result<Self, ModelSetupError> {
        let mut url = base(site.base_url).map_err(|e| ModelSetupError::new(code::MANIFEST_VALUE, e))?;
        append(&mut url, path);
        let mut headers = HeaderMap::new();
        if let Some(key) = &site.key {
            let (header, text) = match site.auth {
                Auth::Bearer => (HeaderName::from_static("authorization"), format!("Bearer {}", key.expose())),
                Auth::Header(header) => (HeaderName::from_static(header), key.expose().to_owned()),
            };
            let mut value = HeaderValue::from_str(&text).map_err(|_| {
                ModelSetupError::new(code::MODEL_KEY, "the key has characters that no HTTP header can carry")
            })?;
            value.set_sensitive(true);
            headers.insert(header, value);
        }
        let host = url.host_str().unwrap_or_default();
        let origin = match url.port() {
            Some(port) => format!("{} {host}:{port} {model}", site.wire),
            None => format!("{} {host} {model}", site.wire),
        };
        Ok(Self { name, model, bounds, origin, wire: site.wire, url, key: site.key, headers, http: http.clone() })
    }

    /// Adds a header that every request carries.
    pub(crate) fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    /// Adds a parameter that every request carries.
    pub(crate) fn with_query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// Whether this endpoint made the reasoning items of a reply.
    pub(crate) fn made(&self, reply: &Reply) -> bool {
        reply.origin == self.origin
    }

    /// Makes one attempt.
    pub(crate) async fn attempt(
        &self,
        call: &ModelCall,
        body: Vec<u8>,
        deltas: &DeltaSink,
        fold: impl Fold,
    ) -> Result<Reply, ModelError> {
        self.exchange(call, body, deltas, fold).await.map_err(|mut e| {
            e.detail = failure::tidy(&e.detail, self.key.as_ref());
            e
        })
    }

    async fn exchange(
        &self,
        call: &ModelCall,
        body: Vec<u8>,
        deltas: &DeltaSink,
        fold: impl Fold,
    ) -> Result<Reply, ModelError> {
        let mut tap = call.raw.clone().map(|sink| Tap::new(sink, self.key.clone()));
        if let Some(tap) = &tap {
            tap.request(self.wire, self.url.path(), &body);
        }
        let request = self
            .http
            .client(&self.url)
            .post(self.url.clone())
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "text/event-stream")
            .body(body);
        let response = match tokio::time::timeout(self.bounds.first_byte, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(e)) => return Err(failure::transport(e)),
            Err(_) => return Err(failure::timeout("the answer did not begin", self.bounds.first_byte)),
        };
        if let Some(begun) = &call.begun {
            begun.tell();
        }
        if let Some(tap) = &mut tap {
            tap.head(&response);
        }
        read(response, tap, call, deltas, fold, &self.bounds, &self.origin).await
    }
}

/// Reads a response, as it arrives, to the end of the reply.
pub(super) async fn read(
    response: Response,
    tap: Option<Tap>,
    call: &ModelCall,
    deltas: &DeltaSink,
    mut fold: impl Fold,
    bounds: &Bounds,
    origin: &str,
) -> Result<Reply, ModelError> {
    if !response.status().is_success() {
        return Err(failure::status(response, tap).await);
    }
    failure::check_type(&response)?;
    let mut frames = stream::frames(response, bounds, tap);
    let mut draft = Draft::new(bounds, deltas);
    while let Some(frame) = frames.next().await {
        match frame {
            Ok(stream::Frame::Done) => break,
            Ok(stream::Frame::Data(data)) => {
                // `serde` reads a struct from a list as well, by position; a provider never means that.
                if !data.trim_start().starts_with('{') {
                    return Err(failure::garbage("a frame is not a JSON object"));
                }
                if fold.take(&data, &mut draft)? == Flow::Over {
                    break;
                }
            }
            // All that can be missing after the end of the reply is the count of its tokens.
            Err(_) if fold.stop().is_some() => break,
            Err(e) => return Err(failure::frame(e, bounds)),
        }
    }
    match fold.stop() {
        Some(stop) => draft.into_reply(call, stop, origin),
        None => Err(failure::cut("the stream ended before the reply was complete")),
    }
}

/// The base URL. Credentials in it are refused, because URLs end up in logs.
fn base(base_url: &str) -> Result<Url, String> {
    let mut url = Url::parse(base_url).map_err(|e| format!("the base URL cannot be read: {e}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("the base URL must be http or https, not {}", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the base URL must not contain a user name or password; give a key instead".to_owned());
    }
    url.set_fragment(None);
    Ok(url)
}

/// Adds segments to the path; an http URL always has one.
fn append(url: &mut Url, path: &[&str]) {
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
}
