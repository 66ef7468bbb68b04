//! Handing spans to a collector that is no Stead server: one request, with no token of ours.

use std::time::Duration;

use reqwest::{Url, header::CONTENT_TYPE, redirect::Policy};
use serde_json::Value;
use stead_core::code;

use crate::error::ClientError;

/// How long it may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Posts a request of OTLP in its JSON encoding to `/v1/traces` below `endpoint`.
///
/// # Errors
/// `ST0400` when the collector does not take it.
pub async fn tell_collector(endpoint: &str, request: &Value) -> Result<(), ClientError> {
    let untaken = |detail: String| {
        let code = code::COLLECTOR;
        let hint = Some(
            "`--endpoint` is the base URL of a collector that takes OTLP over HTTP, such as http://127.0.0.1:4318"
                .to_owned(),
        );
        ClientError { code, title: code.title().into(), detail, hint, status: None, errors: Vec::new() }
    };
    let url = Url::parse(endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(url) = url else { return Err(untaken(format!("`{endpoint}` is no `http` or `https` URL"))) };
    let builder = reqwest::Client::builder().timeout(TIMEOUT).redirect(Policy::none()).retry(reqwest::retry::never());
    let builder = if url.scheme() == "http" { builder.tls_certs_only([]).no_proxy() } else { builder };
    let to = format!("{}/v1/traces", url.as_str().trim_end_matches('/'));
    let sent =
        builder.build()?.post(to).header(CONTENT_TYPE, "application/json").body(request.to_string()).send().await;
    let answer = sent.map_err(|e| untaken(format!("{endpoint} cannot be reached: {}", e.without_url())))?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(untaken(format!("{endpoint} answered with {status}"))),
    }
}
