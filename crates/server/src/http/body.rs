//! JSON bodies from anyone: bounded in size and depth before they are read as what they should be.

use axum::{
    body::{Body, HttpBody as _},
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use stead_api::{artifact::Attachment, run::StartRun, session::StartInSession};
use stead_core::code;

use super::{
    app::{App, Shared},
    failure::Failure,
    guard,
};
use crate::auth::Principal;

/// Bytes of a body over its limit that are read and thrown away, so that a caller who is still sending can hear the
/// answer instead of a reset connection.
const DISCARD: usize = 32 << 20;

/// A JSON body under the common size limit.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

/// A JSON body under the common size limit that may be absent.
#[derive(Debug)]
pub(crate) struct MaybeJson<T>(pub(crate) T);

/// A JSON body under the size limit of agents.
#[derive(Debug)]
pub(crate) struct BundleJson<T>(pub(crate) T);

/// The body of a request that starts a run: under the common size limit, and with files under theirs. One that may be longer
/// than the common limit waits for a place, before it is read.
#[derive(Debug)]
pub(crate) struct RunJson<T>(pub(crate) T);

/// Bytes as they are, under the common size limit.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(crate) struct Raw(pub(crate) Bytes);

#[cfg(target_os = "linux")]
impl FromRequest<Shared> for Raw {
    type Rejection = Failure;
    async fn from_request(request: Request, app: &Shared) -> Result<Self, Failure> {
        let collected = tokio::time::timeout(app.request_timeout(), collect(request.into_body(), app.limits.body.0));
        collected.await.map_err(|_| Failure::overloaded("the body did not come in time"))?.map(Self)
    }
}

/// A body that may hold files.
pub(crate) trait WithFiles {
    /// Bytes of the files, encoded.
    fn files(&self) -> usize;
}

fn encoded(files: &[Attachment]) -> usize {
    files.iter().map(|file| file.data.len()).sum()
}

impl WithFiles for StartRun {
    fn files(&self) -> usize {
        encoded(&self.attachments)
    }
}

impl WithFiles for StartInSession {
    fn files(&self) -> usize {
        encoded(&self.attachments)
    }
}

/// A request of a client that knows other words.
impl WithFiles for serde_json::Map<String, serde_json::Value> {
    fn files(&self) -> usize {
        ["messages", "input"].iter().filter_map(|name| self.get(*name)).map(crate::openai::said::encoded).sum()
    }
}

impl<T: DeserializeOwned + WithFiles> FromRequest<Shared> for RunJson<T> {
    type Rejection = Failure;
    async fn from_request(request: Request, app: &Shared) -> Result<Self, Failure> {
        let common = app.limits.body.0;
        // A token for a gateway passes no files on.
        let bound = request.extensions().get::<Principal>().is_some_and(|who| who.bound.is_some());
        if bound || request.body().size_hint().upper().is_some_and(|most| most <= common as u64) {
            return read(request, app, common).await.map(Self);
        }
        let _place = guard::attaching(app).await?;
        // Four letters of base64 for three bytes.
        let files = app.limits.attachments.0.div_ceil(3).saturating_mul(4);
        let bytes = taken(request, app, common.saturating_add(files)).await?;
        // What is no file keeps to the common limit. Base64 stands in JSON as it is.
        let body: T = parse(&bytes, app.limits.json_depth)?;
        if bytes.len().saturating_sub(body.files()) > common {
            return Err(Failure::too_large(common));
        }
        Ok(Self(body))
    }
}

impl<T: DeserializeOwned> FromRequest<Shared> for Json<T> {
    type Rejection = Failure;
    async fn from_request(request: Request, app: &Shared) -> Result<Self, Failure> {
        read(request, app, app.limits.body.0).await.map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest<Shared> for BundleJson<T> {
    type Rejection = Failure;
    async fn from_request(request: Request, app: &Shared) -> Result<Self, Failure> {
        read(request, app, app.limits.bundle.0).await.map(Self)
    }
}

impl<T: DeserializeOwned + Default> FromRequest<Shared> for MaybeJson<T> {
    type Rejection = Failure;
    async fn from_request(request: Request, app: &Shared) -> Result<Self, Failure> {
        if request.body().is_end_stream() {
            return Ok(Self(T::default()));
        }
        read(request, app, app.limits.body.0).await.map(Self)
    }
}

async fn read<T: DeserializeOwned>(request: Request, app: &App, limit: usize) -> Result<T, Failure> {
    parse(&taken(request, app, limit).await?, app.limits.json_depth)
}

/// The bytes of a JSON body.
async fn taken(request: Request, app: &App, limit: usize) -> Result<Bytes, Failure> {
    if !is_json(request.headers()) {
        return Err(Failure::bad_request("the body must be JSON")
            .hint("send `Content-Type: application/json`")
            .status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let collected = tokio::time::timeout(app.request_timeout(), collect(request.into_body(), limit)).await;
    collected.map_err(|_| Failure::overloaded("the body did not come in time"))?
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()) else { return false };
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || (essence.len() > 5 && essence.is_char_boundary(essence.len() - 5))
            && essence[essence.len() - 5..].eq_ignore_ascii_case("+json")
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, Failure> {
    let mut bytes = BytesMut::new();
    let mut over = body.size_hint().lower() > limit as u64;
    let mut discarded = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Failure::bad_request(format!("the body broke off: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        over = over || bytes.len() + data.len() > limit;
        if over {
            bytes = BytesMut::new();
            discarded += data.len();
            if discarded > DISCARD {
                break;
            }
        } else {
            bytes.extend_from_slice(&data);
        }
    }
    if over {
        return Err(Failure::too_large(limit));
    }
    Ok(bytes.freeze())
}

/// Reads and throws away a body that nobody wants, as far as one may reasonably go on sending.
pub(crate) async fn discard(mut body: Body) {
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, Bytes::len);
        if discarded > DISCARD {
            break;
        }
    }
}

/// Reads bounded JSON as `T`.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], depth: usize) -> Result<T, Failure> {
    let text = std::str::from_utf8(bytes)
        .map_err(|e| Failure::bad_request(format!("the body is not UTF-8: byte {} is invalid", e.valid_up_to() + 1)))?;
    if deeper_than(text, depth) {
        return Err(Failure::new(code::TOO_DEEP, format!("the JSON is nested deeper than {depth} levels")));
    }
    serde_json::from_str(text).map_err(|e| Failure::bad_request(format!("the body is not what it should be: {e}")))
}

/// Whether arrays and objects are nested deeper than `limit`. Looks at brackets outside of strings only, so that a text
/// that is no JSON at all is left to the parser.
fn deeper_than(text: &str, limit: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn depth_is_counted_outside_of_strings_only() {
        assert!(!deeper_than(r#"{"a": ["[[[[", "\"[[[", {"b": []}]}"#, 4));
        assert!(deeper_than(r#"{"a": ["[[[[", "\"[[[", {"b": []}]}"#, 3));
        assert!(deeper_than(&"[".repeat(1_000_000), 64));
        assert!(!deeper_than(&"[]".repeat(1_000), 1));
    }

    #[test]
    fn a_body_at_the_depth_limit_is_read_and_one_level_more_is_not() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse::<Value>(nested(64).as_bytes(), 64).is_ok());
        assert!(parse::<Value>(nested(65).as_bytes(), 64).is_err());
        assert!(parse::<Value>(b"\xff", 64).is_err());
    }
}
