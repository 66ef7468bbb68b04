//! Paths, queries, headers, pages and durations, read strictly; what is wrong is told as a problem.

use axum::{
    extract::{FromRequestParts, Path, Query},
    http::{HeaderMap, HeaderName, HeaderValue, request::Parts},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::de::DeserializeOwned;
use stead_api::page::{DEFAULT_LIMIT, MAX_LIMIT};
use stead_core::{id::Name, trace::TraceContext};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    app::Shared,
    failure::{Answer, Failure},
    guard,
};
use crate::auth::Principal;

/// Longest idempotency key, in bytes.
const MAX_KEY: usize = 255;
/// Longest name of an agent, in bytes: those of its folder carry the names of all above them.
const MAX_AGENT: usize = 400;

/// A query string, with unknown parameters refused.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Shared> for Params<T> {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Failure> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(value)| Self(value))
            .map_err(|e| Failure::bad_request(format!("the query is not what it should be: {}", e.body_text())))
    }
}

/// What stands in the path. A text that is no id of the right kind names nothing.
#[derive(Debug)]
pub(crate) struct At<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Shared> for At<T> {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Failure> {
        Path::from_request_parts(parts, app)
            .await
            .map(|Path(value)| Self(value))
            .map_err(|e| Failure::new(stead_core::code::NOT_FOUND, e.body_text()))
    }
}

impl FromRequestParts<Shared> for Principal {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Failure> {
        parts.extensions.get::<Self>().cloned().ok_or_else(Failure::unauthenticated)
    }
}

/// A place among the followers, for requests that may stay. Taken before the body is read.
#[derive(Debug)]
pub(crate) struct Place(#[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit);

impl FromRequestParts<Shared> for Place {
    type Rejection = Failure;
    async fn from_request_parts(_: &mut Parts, app: &Shared) -> Result<Self, Failure> {
        guard::place(app).map(Self)
    }
}

/// A place to apply an agent in. Taken before the body is read.
#[derive(Debug)]
pub(crate) struct Applying(#[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit);

impl FromRequestParts<Shared> for Applying {
    type Rejection = Failure;
    async fn from_request_parts(_: &mut Parts, app: &Shared) -> Result<Self, Failure> {
        guard::applying(app).await.map(Self)
    }
}

/// The header of that name, when there is one. Of two, a proxy may have looked at the other.
pub(crate) fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Answer<Option<&'h HeaderValue>> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (one, None) => Ok(one),
        _ => Err(Failure::bad_request(format!("there are two headers `{name}`"))),
    }
}

/// Whether a text can be the name of an agent, here or ever. Checked before a store is asked, because not every store
/// takes every text.
pub(crate) fn is_agent(name: &str) -> bool {
    (1..=MAX_AGENT).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())
}

/// The `Idempotency-Key`, when there is one.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Answer<Option<Name>> {
    const NAME: HeaderName = HeaderName::from_static("idempotency-key");
    let Some(value) = only(headers, &NAME)? else { return Ok(None) };
    let fits = |text: &&str| (1..=MAX_KEY).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    match value.to_str().ok().filter(fits) {
        Some(key) => Ok(Some(key.into())),
        None => {
            Err(Failure::bad_request(format!("the Idempotency-Key must be 1 to {MAX_KEY} visible ASCII characters")))
        }
    }
}

/// The step of somebody's trace that asks (W3C Trace Context). What is wrong, or there twice, is passed over, as the specification says.
pub(crate) fn trace(headers: &HeaderMap) -> Option<Box<TraceContext>> {
    let mut parents = headers.get_all("traceparent").iter();
    let parent = parents.next().filter(|_| parents.next().is_none())?.to_str().ok()?;
    // A state in several headers is one.
    let states: Option<Vec<&str>> = headers.get_all("tracestate").iter().map(|state| state.to_str().ok()).collect();
    let state = states.filter(|states| !states.is_empty()).map(|states| states.join(","));
    TraceContext::parse(parent.trim(), state.as_deref()).map(Box::new)
}

/// The number of items of a page.
pub(crate) fn limit(wanted: Option<u32>) -> Answer<u32> {
    match wanted.unwrap_or(DEFAULT_LIMIT) {
        n @ 1..=MAX_LIMIT => Ok(n),
        n => Err(Failure::bad_request(format!("`limit` must be 1 to {MAX_LIMIT}, not {n}"))),
    }
}

/// Makes a cursor of a list's position. `kind` keeps the cursors of different lists apart.
pub(crate) fn cursor(kind: char, position: &impl std::fmt::Display) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{kind}1:{position}"))
}

/// Reads a cursor that [`cursor`] made for the same kind of list.
pub(crate) fn position<T: std::str::FromStr>(kind: char, cursor: Option<&str>) -> Answer<Option<T>> {
    let Some(cursor) = cursor else { return Ok(None) };
    BASE64_URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.strip_prefix(kind)?.strip_prefix("1:")?.parse().ok())
        .map(Some)
        .ok_or_else(|| Failure::bad_request("`cursor` is not one of this list").hint("pass `next` of the page before"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_position_and_to_no_other_list() {
        let there = cursor('f', &42_u64);
        assert_eq!(position::<u64>('f', Some(&there)).unwrap(), Some(42));
        assert_eq!(position::<u64>('f', None).unwrap(), None);
        assert!(position::<u64>('r', Some(&there)).is_err());
        assert!(position::<u64>('f', Some("%%%")).is_err());
        assert!(position::<u64>('f', Some("")).is_err());
    }

    #[test]
    fn idempotency_keys_are_short_and_plain() {
        let key = |v: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert("idempotency-key", axum::http::HeaderValue::from_bytes(v).unwrap());
            idempotency_key(&headers)
        };
        assert_eq!(key(b"order-1042").unwrap().unwrap().as_str(), "order-1042");
        assert!(key(b"").is_err());
        assert!(key(b"a b").is_err());
        assert!(key("ü".as_bytes()).is_err());
        assert!(key(&[b'x'; 256]).is_err());
    }
}
