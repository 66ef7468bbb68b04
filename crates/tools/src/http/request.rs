//! What every request has, however its operation was described.

use reqwest::{
    Method, Request, Url,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};

use super::template::percent_encode;
use crate::config::HttpMethod;

/// The header of draft-ietf-httpapi-idempotency-key-header.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The media type of JSON.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Most bytes of a body.
const MAX_BODY: usize = 2 << 20;
/// Headers that are the connection's, or that only `auth` may set.
pub(super) const RESERVED: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "proxy-authorization",
    "authorization",
    "cookie",
];

/// An empty request.
pub(super) fn to(method: HttpMethod, url: Url) -> Request {
    let method = match method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Head => Method::HEAD,
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Patch => Method::PATCH,
        HttpMethod::Delete => Method::DELETE,
    };
    Request::new(method, url)
}

/// The URL of an escaped path below a service.
pub(super) fn below(base: &Url, path: &str) -> Result<Url, String> {
    let mut url = base.clone();
    let path = format!("{}{path}", base.path().trim_end_matches('/'));
    url.set_path(&path);
    // Escaping has made this so; a request to another place must be impossible, not only unlikely.
    if url.origin() != base.origin() || url.path() != path {
        return Err("the arguments do not make a URL below `base_url`".into());
    }
    Ok(url)
}

/// Sends the idempotency key with whatever may change something.
pub(super) fn add_key(request: &mut Request, key: &str) -> Result<(), String> {
    if request.method().is_safe() {
        return Ok(());
    }
    // A business key may be any text; encoding it keeps different keys different.
    let encoded = if key.bytes().all(|b| b.is_ascii_graphic()) { key.to_owned() } else { percent_encode(key) };
    let value = HeaderValue::from_str(&encoded).map_err(|_| "the idempotency key is not usable")?;
    request.headers_mut().insert(IDEMPOTENCY_KEY, value);
    Ok(())
}

/// Sets a body of that media type, unless a header names another.
pub(super) fn set_body(request: &mut Request, body: String, media: &HeaderValue) -> Result<(), String> {
    if body.len() > MAX_BODY {
        return Err(format!("the body has more than {MAX_BODY} bytes"));
    }
    if !request.headers().contains_key(CONTENT_TYPE) {
        request.headers_mut().insert(CONTENT_TYPE, media.clone());
    }
    *request.body_mut() = Some(body.into());
    Ok(())
}
