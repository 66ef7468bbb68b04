//! Every way to fail, told apart by what the engine must know: may it be repeated, after how long, and may it cost.

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::{Response, StatusCode, header::CONTENT_TYPE};
use serde_json::Value;
use stead_core::{
    code::{self, Code},
    time::Span,
};
use stead_ports::model::{ModelError, Retry};

use super::{
    Bounds,
    retry_after::{retry_after, retry_info},
    stream::FrameError,
    tap::Tap,
};
use crate::{http, secret::Secret};

/// Most bytes of an error body that are read.
const MAX_BODY: usize = 16 << 10;
/// How long an error body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of an error's detail.
pub(crate) const MAX_DETAIL: usize = 2 << 10;

fn error(code: Code, detail: impl Into<String>, retry: Retry, charged: bool) -> ModelError {
    ModelError { code, detail: detail.into(), retry, charged }
}

/// The reply makes no sense. Another attempt may.
pub(crate) fn garbage(detail: impl Into<String>) -> ModelError {
    error(code::MODEL_GARBAGE, detail, Retry::After(None), true)
}

/// The reply breaks a limit. Another attempt would cost as much and end the same way.
pub(crate) fn too_large(detail: impl Into<String>) -> ModelError {
    error(code::MODEL_GARBAGE, detail, Retry::No, true)
}

/// The reply ended too early.
pub(crate) fn cut(detail: impl Into<String>) -> ModelError {
    error(code::MODEL_CUT, detail, Retry::After(None), true)
}

/// Nothing came for too long.
pub(super) fn timeout(what: &str, after: Duration) -> ModelError {
    error(code::MODEL_TIMEOUT, format!("{what} within {after:?}"), Retry::After(None), true)
}

/// No response at all.
pub(super) fn transport(e: reqwest::Error) -> ModelError {
    let e = e.without_url();
    let detail = http::chain(&e);
    if e.is_builder() {
        error(code::MODEL_REFUSED, detail, Retry::No, false)
    } else if e.is_connect() {
        error(code::MODEL_UNREACHABLE, detail, Retry::After(None), false)
    } else {
        // The request may have arrived and been worked on.
        cut(detail)
    }
}

/// The stream broke.
pub(super) fn frame(e: FrameError, bounds: &Bounds) -> ModelError {
    match e {
        FrameError::Idle => timeout("nothing came", bounds.idle),
        FrameError::TooLarge => too_large(e.to_string()),
        FrameError::NotText => garbage(e.to_string()),
        FrameError::Broken(_) => cut(e.to_string()),
    }
}

/// A success that is no event stream. Servers that leave the type out are believed.
pub(super) fn check_type(response: &Response) -> Result<(), ModelError> {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if kind.is_empty() || kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream") {
        return Ok(());
    }
    Err(garbage(format!("the answer is `{kind}`, not an event stream")))
}

/// A response that is no success.
pub(super) async fn status(response: Response, tap: Option<Tap>) -> ModelError {
    let status = response.status();
    let wait = retry_after(response.headers());
    // The status alone decides; a body that never ends must not hold it up.
    let body = tokio::time::timeout(BODY_TIMEOUT, read(response)).await.unwrap_or_default();
    if let Some(tap) = &tap {
        tap.error_body(&body);
    }
    let body: Value =
        serde_json::from_slice(&body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
    // Some gateways of Google wrap the error in a list.
    let body = body.get(0).unwrap_or(&body);
    let inner = body.get("error").unwrap_or(body);
    by_status(status, wait.or_else(|| retry_info(inner)), inner)
}

fn by_status(status: StatusCode, wait: Option<Span>, body: &Value) -> ModelError {
    let detail = match words(body) {
        words if words.is_empty() => status.to_string(),
        words => format!("{status}: {words}"),
    };
    match status.as_u16() {
        401 | 403 => error(code::MODEL_KEY, detail, Retry::No, false),
        // Gemini calls a wrong key a wrong argument.
        400 if body.to_string().contains("API_KEY_INVALID") => error(code::MODEL_KEY, detail, Retry::No, false),
        // An empty account answers 429 as well, but does not fill up by waiting.
        429 if kind(body).contains("insufficient_quota") => error(code::MODEL_REFUSED, detail, Retry::No, false),
        429 | 503 | 529 => error(code::MODEL_BUSY, detail, Retry::After(wait), false),
        408 => error(code::MODEL_TIMEOUT, detail, Retry::After(wait), true),
        500.. => error(code::MODEL_BUSY, detail, Retry::After(wait), true),
        300..=399 => error(code::MODEL_REFUSED, format!("{detail}: redirects are not followed"), Retry::No, false),
        _ => error(code::MODEL_REFUSED, detail, Retry::No, false),
    }
}

/// An error that came as a frame, after the response had begun.
pub(crate) fn in_stream(body: &Value) -> ModelError {
    let known = body.get("code").and_then(Value::as_u64).and_then(|n| u16::try_from(n).ok());
    if let Some(status) = known.filter(|n| *n >= 300).and_then(|n| StatusCode::from_u16(n).ok()) {
        return ModelError { charged: true, ..by_status(status, retry_info(body), body) };
    }
    let (kind, detail) = (kind(body), words(body));
    let is = |some: &[&str]| some.iter().any(|s| kind.contains(s));
    if is(&["rate_limit", "overloaded", "server_error", "unavailable", "api_error", "timeout_error"]) {
        error(code::MODEL_BUSY, detail, Retry::After(None), true)
    } else if is(&["authentication", "invalid_api_key", "permission"]) {
        error(code::MODEL_KEY, detail, Retry::No, true)
    } else if is(&["invalid_", "context_length", "insufficient_quota", "billing", "not_found", "too_large"]) {
        error(code::MODEL_REFUSED, detail, Retry::No, true)
    } else {
        cut(format!("the provider broke off: {detail}"))
    }
}

/// The provider's own words.
fn words(body: &Value) -> String {
    match body.get("message").unwrap_or(body) {
        Value::String(s) => s.trim().to_owned(),
        Value::Null => String::new(),
        v => v.to_string(),
    }
}

/// The provider's names for the error, for looking at.
fn kind(body: &Value) -> String {
    ["code", "type"].into_iter().filter_map(|k| body.get(k)?.as_str()).collect::<Vec<_>>().join(" ").to_lowercase()
}

async fn read(response: Response) -> Vec<u8> {
    let mut bytes = response.bytes_stream();
    let mut out = Vec::new();
    while let Some(Ok(more)) = bytes.next().await {
        out.extend_from_slice(&more[..more.len().min(MAX_BODY - out.len())]);
        if out.len() == MAX_BODY {
            break;
        }
    }
    out
}

/// A detail fit for the journal: one line, short, without the key.
pub(super) fn tidy(detail: &str, key: Option<&Secret>) -> String {
    let mut text: String = detail.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if let Some(key) = key {
        text = key.redact(&text);
    }
    text.truncate(text.floor_char_boundary(MAX_DETAIL));
    text
}
