//! Why the proxy does not do something: a stable code, what happened, and what to do next.

use serde_json::json;
use stead_core::code::{self, Code};

/// A refusal or failure, as it is told to the box and to the audit. It never holds a secret, nor what a host said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}; {hint}")]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// What happened.
    pub detail: String,
    /// What to do next.
    pub hint: String,
}

impl Refusal {
    pub(crate) fn new(code: Code, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), hint: hint.into() }
    }

    /// A request that is not taken as it is.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(code::EGRESS_MALFORMED, detail, "send plain HTTP/1.1, in the form for proxies (RFC 9112)")
    }

    /// A rule that cannot be used.
    pub(crate) fn rule(detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(code::EGRESS_RULE, detail, hint)
    }

    /// The HTTP status that it is answered with.
    pub fn status(&self) -> u16 {
        match self.code {
            code::EGRESS_MALFORMED | code::EGRESS_PATH => 400,
            code::EGRESS_LIMIT => 413,
            code::EGRESS_SECRET
            | code::EGRESS_UNREACHABLE
            | code::EGRESS_CERTIFICATE
            | code::EGRESS_ANSWER
            | code::EGRESS_RULE => 502,
            code::EGRESS_TIMEOUT => 504,
            _ => 403,
        }
    }

    /// The problem document of it (RFC 9457), with the members that the API's have.
    pub fn problem(&self) -> Vec<u8> {
        let text = json!({
            "type": format!("urn:stead:error:{}", self.code),
            "title": self.code.title(),
            "status": self.status(),
            "detail": self.detail,
            "code": self.code,
            "hint": self.hint,
        });
        text.to_string().into_bytes()
    }
}
