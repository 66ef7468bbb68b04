//! What can be wrong with a plan, said so that a person, or the planner, finds the place and the cure.

use std::{fmt, ops::Range};

/// One thing that is wrong with a plan, with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PlanError {
    /// The plan, as the caller named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Bytes of the text that are meant.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "\n  hint: {hint}"))
    }
}

/// Something wrong before its place is counted out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) at: Range<usize>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Wrong {
    pub(crate) fn new(at: Range<usize>, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The nearest of the known words, or all of them.
    pub(crate) fn nearest<'a>(self, word: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.into_iter().take(200).collect();
        let score = |k: &str| strsim::jaro_winkler(&word.to_lowercase(), &k.to_lowercase());
        let near = known.iter().map(|k| (score(k), *k)).filter(|(s, _)| *s >= 0.75).max_by(|a, b| a.0.total_cmp(&b.0));
        match near {
            Some((_, near)) => self.hint(format!("did you mean `{near}`?")),
            None if known.is_empty() => self,
            None => {
                let words: Vec<String> = known.iter().take(12).map(|k| format!("`{k}`")).collect();
                self.hint(format!("there is {}", words.join(", ")))
            }
        }
    }

    pub(crate) fn placed(self, file: &str, text: &str) -> PlanError {
        let (line, column) = place(text, self.at.start);
        PlanError { file: file.to_owned(), line, column, span: self.at, message: self.message, hint: self.hint }
    }
}

/// Line and column, from 1, of a byte.
pub(crate) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(at)];
    let start = before.rfind('\n').map_or(0, |n| n + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}
