//! What can be wrong with a manifest, said so that a person finds the place and the cure. Rendering is the CLI's.

use std::{fmt, ops::Range, sync::Arc};

use stead_core::code::Code;

/// One thing that is wrong with a manifest, or with a file that it names, with its exact place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ManifestError {
    /// The stable code (ST0055, ST0100 to ST0105).
    pub code: Code,
    /// The file, as the caller named it.
    pub file: String,
    /// Line, from 1; 0 when the file itself is the trouble.
    pub line: usize,
    /// Column in characters, from 1; 0 when the file itself is the trouble.
    pub column: usize,
    /// Bytes of [`ManifestError::source_text`] that are meant; empty when the file itself is the trouble.
    pub span: Range<usize>,
    /// The key, as a path from the top: `tools.payments.effects.refund.class`. Empty at the top.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it: the nearest valid key, or the values allowed.
    pub hint: Option<String>,
    /// The text of the file; bytes that may be a secret are masked.
    pub source_text: Arc<str>,
}

impl ManifestError {
    /// An error about a file as a whole.
    pub fn whole(code: Code, file: &str, message: impl Into<String>) -> Self {
        crate::source::Source { file: file.to_owned(), text: "".into() }.whole(code, message, None)
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}: {}", self.code, self.message)?;
        if !self.key.is_empty() {
            write!(f, " (at `{}`)", self.key)?;
        }
        self.hint.iter().try_for_each(|hint| write!(f, "\n  hint: {hint}"))
    }
}

/// A stored bundle that is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The bytes are no bundle of a format that this release knows.
    #[error("the stored agent version cannot be read: {0}")]
    Format(String),
    /// The bundle's manifest is not accepted.
    #[error("the stored manifest is not accepted: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Manifest(Vec<ManifestError>),
}

/// The candidate that `word` was probably meant to be, if one is near enough.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: String = word.chars().take(64).collect();
    candidates
        .into_iter()
        .map(|c| (strsim::jaro_winkler(&word.to_lowercase(), &c.to_lowercase()), c))
        .filter(|(score, _)| *score >= 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, c)| c)
}

/// `a`, `b` and `c`, for hints.
pub(crate) fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|w| format!("`{w}`")).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}
