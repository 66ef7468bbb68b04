//! How an error is told: RFC 9457 problem details with Stead's stable code and, where there is one, the cure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::code::Code;

/// Media type of a problem document (RFC 9457, section 6.1).
pub const MEDIA_TYPE: &str = "application/problem+json";

/// An error as every endpoint tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Names the kind of problem: `urn:stead:error:ST0202`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The title of the code; the same for every problem of the kind.
    pub title: String,
    /// The HTTP status of the answer.
    pub status: u16,
    /// What went wrong this time.
    pub detail: String,
    /// The stable code.
    #[schemars(with = "crate::schema::Code")]
    pub code: Code,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Places in what was sent that are wrong: of a manifest, or of a run's input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Place>,
}

/// One wrong place of what was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    /// The stable code.
    #[schemars(with = "crate::schema::Code")]
    pub code: Code,
    /// The file, as the caller named it; `input` for a run's input.
    pub file: String,
    /// Line, from 1; 0 when the file itself is the trouble, and for a run's input.
    pub line: usize,
    /// Column in characters, from 1; 0 when the line is.
    pub column: usize,
    /// The key, as a path from the top; for a run's input a JSON Pointer (RFC 6901).
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// A problem of that code and status.
    pub fn new(status: u16, code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:stead:error:{code}"),
            title: code.title().into(),
            status,
            detail: detail.into(),
            code,
            hint: None,
            errors: Vec::new(),
        }
    }

    /// The same with a cure.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
