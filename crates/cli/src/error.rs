//! Why a command did not do what was asked, and how that is told: `error[ST0202]: …`, `hint: …`, `see: …`, or to a program as
//! the problem document that the HTTP API has for it.

use std::{fmt::Write as _, io};

use serde::Serialize;
use stead_api::problem::Place;
use stead_client::ClientError;
use stead_core::code::{self, Code};
use stead_manifest::ManifestError;
use stead_policy::Problem;
use stead_server::{agents::place, serve::ServeError};

use crate::{
    exit::Exit,
    ui::term::{Paint, clean},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct CliError {
    code: Option<Code>,
    message: String,
    hints: Vec<String>,
    exit: Exit,
    manifest: Vec<ManifestError>,
    /// Wrong places that a server told.
    places: Vec<Place>,
    /// Whoever reads stdout has had enough: nothing is told.
    pipe: bool,
}

/// What commands give back.
pub(crate) type Outcome<T = Exit> = Result<T, CliError>;

impl CliError {
    /// An error of that code.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        // Texts of the layers below hold their code and hints; here these stand apart.
        let message = message.replacen(&format!("{code}: "), "", 1);
        let mut parts = message.split("\n  hint: ").map(str::to_owned);
        let message = parts.next().unwrap_or_default();
        let exit = if code == code::NO_SERVER { Exit::NoServer } else { Exit::Failed };
        Self {
            code: Some(code),
            message,
            hints: parts.collect(),
            exit,
            manifest: Vec::new(),
            places: Vec::new(),
            pipe: false,
        }
    }

    /// The command line cannot be understood as it is.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: None, exit: Exit::Usage, ..Self::new(code::BAD_REQUEST, message) }
    }

    /// What the grammar says of a command line: what is wrong, its tips and the usage apart.
    pub(crate) fn not_understood(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let (said, usage) =
            text.split_once("Usage:").map_or((&*text, None), |(said, rest)| (said, rest.lines().next()));
        let mut parts = said.trim().split("\n\n");
        let first = parts.next().unwrap_or_default();
        let told = match error.kind() {
            // Its text is the help.
            clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "something is missing",
            _ => first.strip_prefix("error: ").unwrap_or(first),
        };
        let mut out = Self::usage(told.split_whitespace().collect::<Vec<_>>().join(" "));
        let tips = parts.flat_map(str::lines).filter_map(|line| line.trim().strip_prefix("tip: "));
        out.hints.extend(tips.map(str::to_owned));
        out.hints.extend(usage.map(|usage| format!("usage: {}", usage.trim())));
        out
    }

    /// Something of this machine failed that has no code of its own.
    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self { code: None, ..Self::new(code::INTERNAL, message) }
    }

    /// The same with a cure.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The stable code.
    pub(crate) fn code(&self) -> Option<Code> {
        self.code
    }

    /// How the process ends.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// The problem document for stderr, on a line of its own; empty when nothing is to be told.
    pub(crate) fn json(&self) -> String {
        if self.pipe {
            return String::new();
        }
        // The first of several stands for all, as in an answer of the server.
        let first = self.manifest.first().filter(|_| self.message.is_empty());
        let errors =
            if self.manifest.is_empty() { self.places.clone() } else { self.manifest.iter().map(place).collect() };
        let detail = first.map(|e| e.to_string().lines().next().unwrap_or_default().to_owned());
        let hint = first.and_then(|e| e.hint.clone()).or_else(|| Some(self.hints.join("\n")).filter(|h| !h.is_empty()));
        let told = Told {
            kind: self.code.map(|code| format!("urn:stead:error:{code}")),
            title: self.code.map(Code::title),
            detail: detail.as_deref().unwrap_or(&self.message),
            code: self.code,
            hint,
            errors,
        };
        serde_json::to_string(&told).expect("texts and numbers encode to memory") + "\n"
    }

    /// The text for stderr; empty when nothing is to be told.
    pub(crate) fn render(&self, paint: Paint) -> String {
        if self.pipe {
            return String::new();
        }
        let mut out = String::new();
        for error in &self.manifest {
            out.push_str(&super::ui::manifest::render(error, paint));
        }
        if !self.message.is_empty() {
            let code = self.code.map_or(String::new(), |c| format!("[{c}]"));
            let head = paint.error(&format!("error{code}:"));
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{head} {}", clean(&self.message));
            // One wrong place is in the text already; with more, each is told.
            for place in self.places.iter().filter(|_| self.places.len() > 1) {
                let _ = writeln!(out, "  {}", clean(&told(place)));
                if let Some(hint) = &place.hint {
                    let _ = writeln!(out, "    {} {}", paint.hint("hint:"), clean(hint));
                }
            }
        }
        for hint in &self.hints {
            let _ = writeln!(out, "{} {}", paint.hint("hint:"), clean(hint));
        }
        if let Some(code) = self.code {
            let _ = writeln!(out, "{} stead errors {code}", paint.dim("see:"));
        }
        out
    }
}

/// A problem document (RFC 9457) of a command, on one line: what [`stead_api::problem::Problem`] has, but for the status of
/// an HTTP answer. What has no code is of no kind (section 4.2.1) and has neither `type` nor `title`.
#[derive(Debug, Serialize)]
struct Told<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'static str>,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Place>,
}

impl From<ClientError> for CliError {
    fn from(e: ClientError) -> Self {
        let mut error = Self::new(e.code, e.detail);
        error.places = e.errors;
        error.hints.extend(e.hint);
        error
    }
}

fn told(place: &Place) -> String {
    match (place.line, place.key.as_str()) {
        (0, "") => format!("{}: {}: {}", place.file, place.code, place.message),
        (0, key) => format!("{} {key}: {}: {}", place.file, place.code, place.message),
        (line, _) => format!("{}:{line}:{}: {}: {}", place.file, place.column, place.code, place.message),
    }
}

impl From<ServeError> for CliError {
    fn from(e: ServeError) -> Self {
        Self::new(e.code(), e.to_string())
    }
}

impl From<Vec<Problem>> for CliError {
    /// The first in words, all of them as places.
    fn from(problems: Vec<Problem>) -> Self {
        let first = problems.first().map_or_else(|| "the policies are refused".to_owned(), ToString::to_string);
        let mut error = Self::new(code::POLICY_REFUSED, first);
        error.places = problems.iter().map(crate::policy::told::place).collect();
        // With several, each is told with its own.
        if error.places.len() > 1 {
            error.hints.clear();
        }
        error
    }
}

impl From<Vec<ManifestError>> for CliError {
    fn from(manifest: Vec<ManifestError>) -> Self {
        let first = manifest.first().map_or(code::MANIFEST_READ, |e| e.code);
        Self { manifest, ..Self::new(first, "") }
    }
}

impl From<io::Error> for CliError {
    fn from(e: io::Error) -> Self {
        let pipe = e.kind() == io::ErrorKind::BrokenPipe;
        Self { pipe, exit: if pipe { Exit::Ok } else { Exit::Failed }, ..Self::other(e.to_string()) }
    }
}

impl From<serde_json::Error> for CliError {
    fn from(e: serde_json::Error) -> Self {
        Self::other(e.to_string())
    }
}
