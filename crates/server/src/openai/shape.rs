//! Errors as clients of this face expect them, made of the same problem that `/v1` answers with.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use stead_api::problem::Problem;
use stead_core::code;

/// Official clients repeat some failed requests by themselves, unless this header says no.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

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
    // What is refused now and may be taken later; anything else would be refused again, or done again.
    let again = matches!(problem.code, code::OVERLOADED | code::DRAINING) || status == StatusCode::SERVICE_UNAVAILABLE;
    if !again {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    shaped
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
