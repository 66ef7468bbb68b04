//! Sending a request and reading its answer, with bounds on both.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use reqwest::{
    Method, RequestBuilder, Response, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use serde::{Serialize, de::DeserializeOwned};
use stead_api::problem::{MEDIA_TYPE, Problem};

use crate::error::ClientError;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take, without the time that was asked to wait.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of an answer that is read as a whole.
pub(crate) const MAX_ANSWER: usize = 64 << 20;
/// Bytes of an error that is read.
const MAX_PROBLEM: usize = 256 << 10;

/// A client of one server, as one caller. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    authorization: HeaderValue,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the server at `base` (`http://127.0.0.1:7411`), with a bearer token.
    ///
    /// # Errors
    /// When `base` is no HTTP URL or the token cannot stand in a header.
    pub fn new(base: &str, token: &str) -> Result<Self, ClientError> {
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never());
        Self::with(base, token, builder)
    }

    /// The same over an HTTP client of the caller's making: another root certificate, a proxy.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with(base: &str, token: &str, builder: reqwest::ClientBuilder) -> Result<Self, ClientError> {
        let base = Url::parse(base).map_err(|e| ClientError::argument(format!("`{base}` is no URL: {e}")))?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(ClientError::argument(format!("`{base}` must begin with `http://` or `https://`")));
        }
        // A proxy cannot reach this machine's own loopback.
        let builder = if is_loopback(&base) { builder.no_proxy() } else { builder };
        // Without TLS there is no need to read this host's certificates, which takes longer than a request.
        let builder = if base.scheme() == "http" { builder.tls_certs_only([]) } else { builder };
        let mut authorization = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| ClientError::argument("the token has characters that no token has"))?;
        authorization.set_sensitive(true);
        Ok(Self { http: builder.build()?, base, authorization })
    }

    /// Where the server is.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// The URL of a path given by its segments, each of which is escaped.
    pub(crate) fn url(&self, segments: &[&str]) -> Result<Url, ClientError> {
        // A URL has no such segment: it would be another path.
        if let Some(bad) = segments.iter().find(|s| matches!(**s, "" | "." | "..")) {
            return Err(ClientError::argument(format!("`{bad}` is no name")));
        }
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| ClientError::argument("the server's URL cannot have a path"))?
            .pop_if_empty()
            .extend(segments);
        Ok(url)
    }

    pub(crate) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url).header(AUTHORIZATION, self.authorization.clone())
    }

    /// Sends a request whose answer is read as a whole.
    pub(crate) async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        self.call_within(request, TIMEOUT).await
    }

    /// The same with another bound on the time.
    pub(crate) async fn call_within<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        timeout: Duration,
    ) -> Result<T, ClientError> {
        let response = self.send(request.header(ACCEPT, "application/json").timeout(timeout)).await?;
        let status = response.status().as_u16();
        let bytes = read(response, MAX_ANSWER).await?;
        serde_json::from_slice(&bytes).map_err(|e| ClientError::foreign(status, e))
    }

    /// Sends a request; an answer that is an error comes back as one.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let kind = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if !kind.starts_with(MEDIA_TYPE) {
            return Err(ClientError::foreign(status, "it is no problem document"));
        }
        let bytes = read(response, MAX_PROBLEM).await?;
        let problem: Problem = serde_json::from_slice(&bytes).map_err(|e| ClientError::foreign(status, e))?;
        Err(problem.into())
    }

    pub(crate) fn post<B: Serialize + ?Sized>(
        &self,
        segments: &[&str],
        body: &B,
    ) -> Result<RequestBuilder, ClientError> {
        Ok(self.request(Method::POST, self.url(segments)?).json(body))
    }

    pub(crate) fn get<Q: Serialize + ?Sized>(
        &self,
        segments: &[&str],
        query: &Q,
    ) -> Result<RequestBuilder, ClientError> {
        let mut url = self.url(segments)?;
        add_query(&mut url, query)?;
        Ok(self.request(Method::GET, url))
    }
}

/// Adds the fields of a flat struct to a URL; absent ones are left out.
pub(crate) fn add_query<Q: Serialize + ?Sized>(url: &mut Url, query: &Q) -> Result<(), ClientError> {
    let fields = serde_json::to_value(query).map_err(|e| ClientError::argument(e.to_string()))?;
    let Some(fields) = fields.as_object().filter(|f| !f.is_empty()) else { return Ok(()) };
    let mut pairs = url.query_pairs_mut();
    for (name, value) in fields {
        match value {
            serde_json::Value::Null => {}
            serde_json::Value::String(text) => drop(pairs.append_pair(name, text)),
            other => drop(pairs.append_pair(name, &other.to_string())),
        }
    }
    Ok(())
}

pub(crate) async fn read(response: Response, limit: usize) -> Result<Bytes, ClientError> {
    let status = response.status().as_u16();
    let mut stream = response.bytes_stream();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk?);
        if bytes.len() > limit {
            return Err(ClientError::foreign(status, format_args!("it is larger than {limit} bytes")));
        }
    }
    Ok(bytes.freeze())
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn segments_are_escaped_and_a_base_may_have_a_path() {
        let client = Client::new("https://host/stead/", "t").unwrap();
        let url = client.url(&["v1", "agents", "a/../b?"]).unwrap();
        assert_eq!(url.as_str(), "https://host/stead/v1/agents/a%2F..%2Fb%3F");
    }

    #[test]
    fn a_client_never_shows_its_token() {
        let client = Client::new("http://localhost:1", "hunter2").unwrap();
        assert!(!format!("{client:?}").contains("hunter2"));
        let error = Client::new("http://localhost:1", "hunter2\n").unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
        assert!(Client::new("ftp://x", "t").is_err());
    }
}
