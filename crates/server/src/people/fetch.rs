//! Documents of an identity provider, fetched with bounds.

use std::{fs, io, path::Path, time::Duration};

use futures_util::StreamExt as _;
use reqwest::{Certificate, Client, RequestBuilder, redirect::Policy};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a document.
const MAX_DOCUMENT: usize = 1 << 20;

/// A client for a provider; `ca` vouches for it instead of the host's certificates.
pub(super) fn client(issuer: &str, ca: Option<&Path>) -> io::Result<Client> {
    let builder = Client::builder().timeout(TIMEOUT).redirect(Policy::none()).retry(reqwest::retry::never());
    // A proxy cannot reach this machine's own loopback, and what needs no TLS needs no certificates.
    let builder = if issuer.starts_with("http://") { builder.no_proxy().tls_certs_only([]) } else { builder };
    let builder = match ca {
        Some(path) => builder.tls_certs_only(Certificate::from_pem_bundle(&fs::read(path)?).map_err(io::Error::other)?),
        None => builder,
    };
    builder.build().map_err(io::Error::other)
}

/// The bytes of a document, or why there are none.
pub(super) async fn get(client: &Client, url: &str) -> Result<Vec<u8>, String> {
    read(client.get(url)).await
}

/// Sends a form (RFC 6749, appendix B), and gives the bytes of the answer.
pub(super) async fn post(client: &Client, url: &str, form: &[(&str, &str)]) -> Result<Vec<u8>, String> {
    let mut body = reqwest::Url::parse("http://localhost/").map_err(|e| e.to_string())?;
    body.query_pairs_mut().extend_pairs(form);
    let body = body.query().unwrap_or_default().to_owned();
    read(client.post(url).header("content-type", "application/x-www-form-urlencoded").body(body)).await
}

async fn read(request: RequestBuilder) -> Result<Vec<u8>, String> {
    let told = |e: reqwest::Error| e.without_url().to_string();
    let answer = request.header("accept", "application/json").send().await.map_err(told)?;
    if !answer.status().is_success() {
        return Err(format!("it answered {}", answer.status()));
    }
    let mut pieces = answer.bytes_stream();
    let mut document = Vec::new();
    while let Some(piece) = pieces.next().await {
        document.extend_from_slice(&piece.map_err(told)?);
        if document.len() > MAX_DOCUMENT {
            return Err(format!("its answer is longer than {MAX_DOCUMENT} bytes"));
        }
    }
    Ok(document)
}
