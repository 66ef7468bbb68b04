//! The text of a manifest, and errors that point into it.

use std::{ops::Range, sync::Arc};

use stead_core::code::Code;

use crate::error::ManifestError;

/// A manifest's text under the name that errors call it by.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The file as the user named it.
    pub(crate) file: String,
    /// Its text.
    pub(crate) text: Arc<str>,
}

impl Source {
    /// An error at these bytes.
    pub(crate) fn error(
        &self,
        code: Code,
        at: &Range<usize>,
        key: impl Into<String>,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> ManifestError {
        let start = floor(&self.text, at.start);
        let end = floor(&self.text, at.end).max(start);
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |n| n + 1);
        ManifestError {
            code,
            file: self.file.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            span: start..end,
            key: key.into(),
            message: message.into(),
            hint,
            source_text: self.text.clone(),
        }
    }

    /// An error about the file as a whole.
    pub(crate) fn whole(&self, code: Code, message: impl Into<String>, hint: Option<String>) -> ManifestError {
        ManifestError { line: 0, column: 0, ..self.error(code, &(0..0), "", message, hint) }
    }
}

/// Replaces the error's own bytes in its copy of the text: what stands there may be a secret.
pub(crate) fn masked(mut error: ManifestError) -> ManifestError {
    let (before, rest) = error.source_text.split_at(error.span.start);
    let (secret, after) = rest.split_at(error.span.len());
    let stars: String = secret.chars().map(|c| if c == '\n' { c } else { '*' }).collect();
    let end = before.len() + stars.len();
    error.source_text = format!("{before}{stars}{after}").into();
    error.span.end = end;
    error
}

/// The nearest character boundary at or below `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
