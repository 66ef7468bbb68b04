//! The script as it is written: YAML with unknown keys refused, every complaint with its line and column.
//! [`super::compile`] turns it into rules.

use serde::Deserialize;
use serde_saphyr::{Error, Location, Spanned};
use stead_core::code::{self, Code};

use super::{
    compile::{self, Rule},
    template::Tree,
};

/// Largest script, in bytes.
pub const MAX_SCRIPT_BYTES: usize = 1 << 20;
/// Deepest nesting of YAML.
const MAX_DEPTH: usize = 64;
/// Most YAML nodes.
const MAX_NODES: usize = 100_000;

/// A script that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {detail}")]
pub struct ScriptError {
    /// [`code::MANIFEST_SYNTAX`], [`code::MANIFEST_KEY`] or [`code::MANIFEST_VALUE`].
    pub code: Code,
    /// Line, from 1; 0 when it is not known.
    pub line: u64,
    /// Column, from 1; 0 when it is not known.
    pub column: u64,
    /// What is wrong, and what to write instead.
    pub detail: String,
}

impl ScriptError {
    /// A wrong value at `at`.
    pub(super) fn value(at: Location, detail: impl Into<String>) -> Self {
        Self { code: code::MANIFEST_VALUE, line: at.line(), column: at.column(), detail: detail.into() }
    }
}

/// A script that has been read and checked.
#[derive(Debug)]
pub struct Script {
    pub(super) rules: Vec<Rule>,
    pub(super) answers: Vec<String>,
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// [`ScriptError`] with the place of the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        if text.len() > MAX_SCRIPT_BYTES {
            return Err(ScriptError {
                code: code::MANIFEST_VALUE,
                line: 0,
                column: 0,
                detail: format!("the script has {} bytes; the limit is {MAX_SCRIPT_BYTES}", text.len()),
            });
        }
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, max_nodes: MAX_NODES },
            strict_booleans: true,
            with_snippet: false,
        };
        let raw: RawScript = serde_saphyr::from_str_with_options(text, options).map_err(|e| located(&e))?;
        compile::script(raw)
    }
}

/// Our error from the parser's.
fn located(error: &Error) -> ScriptError {
    let at = error.location().unwrap_or(Location::UNKNOWN);
    let (code, detail) = match error.without_snippet() {
        Error::SerdeUnknownField { field, expected, .. } => (code::MANIFEST_KEY, unknown_key(field, expected)),
        e if is_about_values(e) => (code::MANIFEST_VALUE, plain(e)),
        e => (code::MANIFEST_SYNTAX, plain(e)),
    };
    ScriptError { code, line: at.line(), column: at.column(), detail }
}

fn is_about_values(error: &Error) -> bool {
    matches!(
        error,
        Error::Message { .. }
            | Error::SerdeInvalidType { .. }
            | Error::SerdeInvalidValue { .. }
            | Error::SerdeUnknownVariant { .. }
            | Error::SerdeMissingField { .. }
            | Error::SerdeVariantId { .. }
            | Error::SerdeInvalidLength { .. }
            | Error::Unexpected { .. }
            | Error::InvalidScalar { .. }
    )
}

/// The parser's words on one line, without the place, which stands in fields of its own.
fn plain(error: &Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    match first.rfind(" at line ") {
        Some(i) => first[..i].trim_end_matches([',', ':']).to_owned(),
        None => first.to_owned(),
    }
}

fn unknown_key(key: &str, known: &[&str]) -> String {
    let near = known.iter().map(|k| (strsim::damerau_levenshtein(key, k), *k)).min().filter(|(d, _)| *d <= 3);
    match near {
        Some((_, k)) => format!("unknown key `{key}`; did you mean `{k}`?"),
        None => format!("unknown key `{key}`; known here: {}", known.join(", ")),
    }
}

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawScript {
    pub(super) rules: Vec<Spanned<RawRule>>,
    #[serde(default)]
    pub(super) answers: Vec<String>,
    pub(super) stream: Option<Spanned<u32>>,
    pub(super) delay: Option<Spanned<String>>,
}

/// One rule.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    #[serde(default)]
    pub(super) when: RawWhen,
    pub(super) say: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) call: Vec<Spanned<RawCall>>,
    pub(super) stream: Option<Spanned<u32>>,
    pub(super) delay: Option<Spanned<String>>,
    pub(super) fail: Option<Spanned<RawFail>>,
    pub(super) usage: Option<RawUsage>,
}

/// Conditions; all must hold.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWhen {
    pub(super) user: Option<Spanned<String>>,
    pub(super) tool: Option<Spanned<String>>,
    pub(super) result: Option<Spanned<String>>,
    pub(super) error: Option<Spanned<bool>>,
    pub(super) turn: Option<Spanned<u32>>,
}

/// A tool call to make.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCall {
    pub(super) tool: Spanned<String>,
    pub(super) args: Option<Spanned<Tree<String>>>,
}

/// A fault to inject.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFail {
    pub(super) code: Fault,
    pub(super) times: Option<u32>,
    pub(super) retry_after: Option<Spanned<String>>,
}

/// Tokens to report.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUsage {
    #[serde(default)]
    pub(super) input: u64,
    #[serde(default)]
    pub(super) cached: u64,
    #[serde(default)]
    pub(super) output: u64,
    #[serde(default)]
    pub(super) reasoning: u64,
}

/// How an attempt fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fault {
    /// Rate limited; no work done.
    Busy,
    /// The stream ends half way.
    Cut,
    /// The provider says no; repeating cannot help.
    Refused,
    /// What comes back makes no sense.
    Garbage,
    /// The provider gives up waiting for itself.
    Timeout,
    /// No connection.
    Unreachable,
    /// Nothing ever comes: whoever waits must have a deadline.
    Hang,
}
