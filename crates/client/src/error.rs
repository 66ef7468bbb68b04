//! What can go wrong between a caller and a server.

use std::fmt;

use stead_api::problem::{Place, Problem};
use stead_core::code::{self, Code};

/// An error of the server, or of the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientError {
    /// The stable code; `ST0151` when no Stead server answered.
    pub code: Code,
    /// The code's title.
    pub title: String,
    /// What went wrong this time.
    pub detail: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The HTTP status; `None` when there was no answer.
    pub status: Option<u16>,
    /// Wrong places of the input, when several were told at once.
    pub errors: Vec<Place>,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for ClientError {}

impl ClientError {
    /// No Stead server answered.
    pub(crate) fn unreachable(detail: impl Into<String>) -> Self {
        Self {
            code: code::NO_SERVER,
            title: code::NO_SERVER.title().into(),
            detail: detail.into(),
            hint: Some("is the server running? `stead dev` starts one".into()),
            status: None,
            errors: Vec::new(),
        }
    }

    /// An answer that no Stead server gives.
    pub(crate) fn foreign(status: u16, why: impl fmt::Display) -> Self {
        Self {
            detail: format!("the answer ({status}) is not one of a Stead server: {why}"),
            hint: Some("check the URL".into()),
            status: Some(status),
            ..Self::unreachable("")
        }
    }

    /// An argument that cannot be sent.
    pub(crate) fn argument(detail: impl Into<String>) -> Self {
        let code = code::BAD_REQUEST;
        Self { code, title: code.title().into(), hint: None, ..Self::unreachable(detail) }
    }

    /// Something of this code, without an answer of a server.
    pub(crate) fn of(code: Code, detail: impl Into<String>) -> Self {
        Self { code, title: code.title().into(), hint: None, ..Self::unreachable(detail) }
    }

    /// Whether the same request may succeed a little later.
    pub fn is_temporary(&self) -> bool {
        matches!(self.status, None | Some(408 | 429 | 502 | 503 | 504)) && self.code != code::BAD_REQUEST
    }
}

impl From<Problem> for ClientError {
    fn from(p: Problem) -> Self {
        Self { code: p.code, title: p.title, detail: p.detail, hint: p.hint, status: Some(p.status), errors: p.errors }
    }
}

impl From<reqwest::Error> for ClientError {
    fn from(e: reqwest::Error) -> Self {
        // reqwest's own text says only that sending failed; the cause is what helps.
        let mut detail = e.to_string();
        let mut cause = std::error::Error::source(&e);
        while let Some(inner) = cause {
            let text = inner.to_string();
            if !detail.contains(&text) {
                detail = format!("{detail}: {text}");
            }
            cause = inner.source();
        }
        Self::unreachable(detail)
    }
}
