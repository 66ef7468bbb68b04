//! The faces for clients that speak no words of ours: what is under `/openai/v1`, and `/anthropic/v1/messages`.
//!
//! An agent is a model there, a run a response, a session a conversation. And a model of a provider is one, too: that of a gateway, an
//! agent whose loop runs elsewhere, to which the caller's token leads.
//!
//! Here is what those words mean, without HTTP: names ([`ids`]), what a request may ask ([`params`], [`said`], [`asks`]), how the facts of
//! a run are told ([`telling`]) and written down ([`response`], [`chat`], [`messages`]), and how errors look ([`shape`]). The handlers are
//! in `routes::openai`. Not here: any decision about a run, and what a client claims of earlier turns as if it were ours.

pub(crate) mod asks;
pub(crate) mod chat;
pub(crate) mod ids;
pub(crate) mod messages;
pub(crate) mod params;
pub(crate) mod response;
pub(crate) mod said;
pub(crate) mod shape;
pub(crate) mod telling;

use axum::http::{HeaderMap, HeaderName};

use crate::http::input;

/// The header in which clients of Anthropic's API send their key.
const KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Whether a route is one that asks the model of a gateway.
pub(crate) fn is_gateway(route: &str) -> bool {
    matches!(
        route,
        "/openai/v1/models"
            | "/openai/v1/models/{model}"
            | "/openai/v1/chat/completions"
            | "/openai/v1/responses"
            | "/anthropic/v1/messages"
    )
}

/// The token of a request whose face has a header of its own for it.
pub(crate) fn key<'h>(path: &str, headers: &'h HeaderMap) -> Option<&'h str> {
    let value = input::only(headers, &KEY).ok().flatten().filter(|_| path.starts_with(shape::ANTHROPIC))?;
    value.to_str().ok().map(str::trim).filter(|key| !key.is_empty())
}
