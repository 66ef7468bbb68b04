//! Writing to people and programs. What goes to stdout is data; everything else goes to stderr.

pub(crate) mod action;
pub(crate) mod manifest;
pub(crate) mod served;
pub(crate) mod steps;
pub(crate) mod table;
pub(crate) mod term;
pub(crate) mod text;

use std::io::{self, Write as _};

use serde::Serialize;

/// Writes a line of data.
///
/// # Errors
/// When stdout is closed.
pub(crate) fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Writes text that ends its own lines.
///
/// # Errors
/// When stdout is closed.
pub(crate) fn text(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes a value as indented JSON.
///
/// # Errors
/// When stdout is closed.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Writes a value as one line of JSON.
///
/// # Errors
/// When stdout is closed.
pub(crate) fn json_line(value: &impl Serialize) -> io::Result<()> {
    line(&serde_json::to_string(value)?)
}

/// Says something that is not data. That nobody listens is no error.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
