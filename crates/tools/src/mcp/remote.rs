//! A server that is reached by its URL, and how each session speaks to it.

use std::sync::Arc;

use reqwest::{
    Client, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue},
};
use rmcp::transport::streamable_http_client::{StreamableHttpClientTransport, StreamableHttpClientTransportConfig};

use stead_ports::delegate::Delegate;

use super::{
    ledger::Ledger,
    oauth::{Authority, Authorization},
    pipe::MAX_MESSAGE,
    streams::Patience,
    wire::{Bearer, Wire},
};
use crate::{
    config::{McpProtocol, McpUrlConfig},
    error::ToolSetupError,
    http::client::{self, chain},
    reach::{self, Reach},
    secret::Secret,
    text,
};

/// Headers that are the connection's or the protocol's, or that only `auth` may set.
const RESERVED: &[&str] = &[
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "accept",
    "authorization",
    "proxy-authorization",
    "cookie",
    "last-event-id",
];

/// What a server behind a URL is shown.
#[derive(Clone, Debug)]
pub enum Shown {
    /// The same credential each time.
    Secret(Secret),
    /// A token of the run that calls, made anew before it ends.
    Delegate(Delegate),
    /// A token that a person has authorised.
    Authorization(Authorization),
}

/// How to reach a server.
pub(super) struct Remote {
    url: Url,
    client: Client,
    secret: Option<Secret>,
    bearer: Option<Bearer>,
    pub(super) protocol: McpProtocol,
    pub(super) start_timeout: std::time::Duration,
}

impl Remote {
    pub(super) fn new(config: &McpUrlConfig, auth: Option<Shown>, reach: &Reach) -> Result<Self, ToolSetupError> {
        let url = endpoint(config).map_err(ToolSetupError::value)?;
        reach::check_url(reach, &url)?;
        if matches!(auth, Some(Shown::Delegate(_) | Shown::Authorization(_))) {
            bears_tokens(&url)?;
        }
        let (secret, bearer) = match auth {
            None => (None, None),
            Some(Shown::Secret(secret)) => (Some(secret), None),
            Some(Shown::Delegate(delegate)) => {
                (None, Some(Bearer::Delegate { delegate, host: url.host_str().unwrap_or_default().to_owned() }))
            }
            Some(Shown::Authorization(authorization)) => {
                let authority = Authority::new(url.clone(), reach, authorization).map_err(ToolSetupError::value)?;
                (None, Some(Bearer::Authority(Arc::new(authority))))
            }
        };
        let headers = headers(config, secret.as_ref()).map_err(ToolSetupError::value)?;
        let client = client::builder(&url, reach).default_headers(headers).build();
        let client =
            client.map_err(|e| ToolSetupError::value(format!("the HTTP client cannot be made: {}", chain(&e))))?;
        Ok(Self { url, client, secret, bearer, protocol: config.protocol, start_timeout: config.start_timeout })
    }

    /// Its host, for messages.
    pub(super) fn name(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        let name = self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        text::ellipsis(&name, 100)
    }

    /// What is blotted out of whatever the server says.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        self.secret.iter().cloned().collect()
    }

    /// A transport of one session. Nothing is sent yet.
    pub(super) fn transport(&self, ledger: &Ledger) -> StreamableHttpClientTransport<Wire> {
        let mut config = StreamableHttpClientTransportConfig::with_uri(self.url.as_str())
            .max_sse_event_size(MAX_MESSAGE)
            // A new session may have other tools, so it is begun where those are compared.
            .reinit_on_expired_session(false);
        config.retry_config = Arc::new(Patience);
        let bearer = self.bearer.clone();
        StreamableHttpClientTransport::with_client(Wire::new(self.client.clone(), ledger.clone(), bearer), config)
    }
}

/// The URL of a server that is shown tokens.
pub(super) fn endpoint_of_tokens(config: &McpUrlConfig, reach: &Reach) -> Result<Url, ToolSetupError> {
    let url = endpoint(config).map_err(ToolSetupError::value)?;
    reach::check_url(reach, &url)?;
    bears_tokens(&url)?;
    Ok(url)
}

fn bears_tokens(url: &Url) -> Result<(), ToolSetupError> {
    if url.scheme() == "https" || reach::is_loopback(url) {
        return Ok(());
    }
    let why = "`url` leads off this machine, so it must be `https://`: a token is sent there";
    Err(ToolSetupError::value(why.to_owned()))
}

fn endpoint(config: &McpUrlConfig) -> Result<Url, String> {
    let url = Url::parse(&config.url).map_err(|e| format!("`url` is not a URL: {e}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("`url` must begin with `https://` or `http://` and name a host".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("`url` must not hold credentials; use `auth`".into());
    }
    if url.fragment().is_some() {
        return Err("`url` must have no `#`".into());
    }
    if url.scheme() == "http" && !config.plain_http && !reach::is_loopback(&url) {
        return Err(
            "`url` is `http://` and leads off this machine, where anyone on the way can read and change what is \
                    said; use `https://`, or say `plain_http: true`"
                .into(),
        );
    }
    Ok(url)
}

fn headers(config: &McpUrlConfig, auth: Option<&Secret>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        let parsed: HeaderName = name.parse().map_err(|_| format!("`{name}` is not a header's name"))?;
        if RESERVED.contains(&parsed.as_str()) || parsed.as_str().starts_with("mcp-") {
            return Err(format!("the header `{name}` cannot be set here"));
        }
        if !value.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            return Err(format!("the header `{name}` must be visible ASCII on one line"));
        }
        headers.insert(parsed, HeaderValue::try_from(value).map_err(|_| format!("the header `{name}` is not usable"))?);
    }
    if let Some(secret) = auth {
        let mut value = HeaderValue::try_from(format!("Bearer {}", secret.reveal()))
            .map_err(|_| "`auth` holds characters that cannot stand in a header")?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}
