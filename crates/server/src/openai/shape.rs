//! Errors as clients of this face expect them, made of the same problem that `/v1` answers with.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use stead_api::problem::Problem;
use stead_core::code::{self, Code};

use crate::http::failure::Reach;

/// Official clients repeat some failed requests by themselves, unless this header says no.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// How often a client has tried a request before, as official clients of both faces say it.
pub(crate) const RETRY_COUNT: HeaderName = HeaderName::from_static("x-stainless-retry-count");

/// The run, in every answer that is about one.
pub(crate) const RUN: HeaderName = HeaderName::from_static("x-stead-run");

/// The face of Anthropic's API.
pub(crate) const ANTHROPIC: &str = "/anthropic/";

/// Whether a path is one of these faces.
pub(crate) fn is_face(path: &str) -> bool {
    path.starts_with("/openai/") || path.starts_with(ANTHROPIC)
}

/// Puts problems on their way out into the form of the face that was asked.
pub(crate) async fn shaped(request: Request, next: Next) -> Response {
    if !is_face(request.uri().path()) {
        return next.run(request).await;
    }
    let error = if request.uri().path().starts_with(ANTHROPIC) { other_error } else { error };
    // Such a client has no second try: without a key it would be refused.
    let headers = request.headers();
    let once = request.method() == Method::POST
        && headers.contains_key(&RETRY_COUNT)
        && !headers.contains_key("idempotency-key");
    let mut response = next.run(request).await;
    let Some(problem) = response.extensions_mut().remove::<Arc<Problem>>() else { return response };
    let status = status_of(&problem);
    let mut shaped = (status, axum::Json(error(&problem))).into_response();
    let headers = shaped.headers_mut();
    for name in [header::RETRY_AFTER, header::WWW_AUTHENTICATE] {
        if let Some(value) = response.headers_mut().remove(&name) {
            headers.insert(name, value);
        }
    }
    let reach = response.extensions_mut().remove::<Reach>().unwrap_or(Reach::Begun);
    if let Reach::Run(run) = reach
        && let Ok(value) = HeaderValue::from_str(&run.to_string())
    {
        headers.insert(RUN, value);
    }
    if once || !again(problem.code, reach) {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    shaped
}

/// Whether a client may ask again by itself: what is refused now and may be taken later. Anything else would be refused again, or done
/// again: a store that does not answer may have kept what it was given.
fn again(code: Code, reach: Reach) -> bool {
    reach == Reach::Refused && matches!(code, code::OVERLOADED | code::DRAINING)
}

/// The status of this face: what is too much now, or beyond a budget, is 429.
fn status_of(problem: &Problem) -> StatusCode {
    match problem.code {
        code::OVERLOADED => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// An error object of Anthropic's API.
pub(crate) fn other_error(problem: &Problem) -> Value {
    let kind = match (problem.code, problem.status) {
        (code::OVERLOADED, _) | (_, 429) => "rate_limit_error",
        (_, 401) => "authentication_error",
        (_, 403) => "permission_error",
        (_, 404) => "not_found_error",
        (_, 413) => "request_too_large",
        (_, 500..) => "api_error",
        _ => "invalid_request_error",
    };
    json!({ "type": "error", "error": { "type": kind, "message": message(problem), "code": problem.code } })
}

fn message(problem: &Problem) -> String {
    let hint = problem.hint.as_ref().map_or_else(String::new, |hint| format!(" ({hint})"));
    format!("{}: {}{hint}", problem.code, problem.detail)
}

/// An error object. `param` is always a text: some clients take nothing else.
pub(crate) fn error(problem: &Problem) -> Value {
    let kind = match (problem.code, problem.status) {
        (code::BUDGET | code::PROVIDER_LIMIT, 429) => "insufficient_quota",
        (code::OVERLOADED, _) | (_, 429) => "rate_limit_error",
        (_, 401) => "authentication_error",
        (_, 403) => "permission_error",
        (_, 500..) => "server_error",
        _ => "invalid_request_error",
    };
    let param = problem.errors.first().map_or("", |place| place.key.as_str());
    json!({ "error": { "message": message(problem), "type": kind, "param": param, "code": problem.code } })
}

#[cfg(test)]
mod tests {
    use stead_core::id::RunId;

    use super::*;

    #[test]
    fn what_may_have_been_done_is_never_offered_to_be_repeated() {
        for code in [code::OVERLOADED, code::DRAINING] {
            assert!(again(code, Reach::Refused));
            assert!(!again(code, Reach::Begun) && !again(code, Reach::Run(RunId(1))));
        }
        for code in [code::DATA_UNREACHABLE, code::DATA_FULL, code::PROVIDER_UNREACHABLE, code::FACE_PATIENCE] {
            assert!(!again(code, Reach::Refused) && !again(code, Reach::Begun));
        }
    }
}
