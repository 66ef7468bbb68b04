//! What a model is told of an action: how it ended, what it wrote, what became of the workspace. JSON, so that no output can
//! pass itself off as anything else of it.

use serde::Serialize;
use stead_core::code;
use stead_ports::{
    file::File,
    sandbox::{Captured, End, Outcome},
    tool::Output,
};
use stead_workspace::{Change, Diff, Kind};

use crate::{
    act::Acted,
    kept::Kept,
    text::{is_binary, is_text, printable, shortened},
};

/// Bytes of the report beside the two outputs.
const FRAME: usize = 4096;
/// Least bytes of the outputs, whatever a tool may say in all.
const LEAST: usize = 512;
/// Names of changed files that are told.
const NAMES: usize = 50;
/// Bytes shown of an output that nobody would read.
const GLIMPSE: usize = 256;

/// How often JSON makes one byte into more: a quote, a line end.
const INFLATION: usize = 2;

#[derive(Serialize)]
struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    /// Why it was ended, when it did not end by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
    stdout: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    stderr: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace: Option<Workspace>,
}

#[derive(Serialize)]
struct Workspace {
    kept: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    added: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<u64>,
    /// Each with `+`, `~` or `-`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paths: Vec<String>,
}

/// The answer, of about `max` bytes. `name` is how files of it begin.
pub(crate) fn output(acted: &Acted, name: &str, max: usize) -> Output {
    let Acted { outcome, kept, .. } = acted;
    let mut files = Vec::new();
    let mut notes = limits(acted);
    let room = (max.saturating_sub(FRAME) / INFLATION).max(LEAST);
    // Errors are short or of no use; what one does not need the other may have.
    let stderr = shown(
        &outcome.stderr,
        room.div_ceil(4).max(room.saturating_sub(outcome.stdout.bytes.len())),
        &format!("{name}-stderr"),
        &mut files,
        &mut notes,
    );
    let stdout = shown(
        &outcome.stdout,
        room.saturating_sub(stderr.len()).max(LEAST),
        &format!("{name}-stdout"),
        &mut files,
        &mut notes,
    );
    let exit_code = match outcome.end {
        End::Exited(code) => Some(code),
        _ => None,
    };
    let report = Report { exit_code, ended: ended(acted), stdout, stderr, notes, workspace: workspace(kept) };
    let content = serde_json::to_string(&report).unwrap_or_else(|e| format!("the report cannot be written: {e}"));
    Output { content, error: outcome.end != End::Exited(0), files, action: Some(Box::new(acted.action())), etag: None }
}

/// Why it was ended.
fn ended(acted: &Acted) -> Option<String> {
    let Outcome { end, usage, .. } = &acted.outcome;
    let say = |what: &str| end.code().map_or_else(|| what.to_owned(), |code| format!("{code}: {what}"));
    match end {
        End::Exited(_) => None,
        End::Signal(signal) => Some(format!("by signal {signal}")),
        End::Memory => Some(say("it needed more memory than it may have")),
        End::Deadline => {
            Some(say(&format!("it ran for {:.1} s, as long as it may, and was killed", usage.wall.as_secs_f64())))
        }
        End::Output => Some(say("it wrote more than is kept, and was killed")),
        End::Killed => Some(match &acted.stopped {
            Some(stopped) => stopped.to_string(),
            None if acted.released => format!("{}: its run was stopped or set aside", code::STOPPED),
            None => "it was killed".to_owned(),
        }),
    }
}

/// Limits that it met on the way, and what the proxy refused.
fn limits(acted: &Acted) -> Vec<String> {
    let usage = &acted.outcome.usage;
    let mut notes = Vec::new();
    if let Some(n) = usage.oom_kills.filter(|n| *n > 0 && acted.outcome.end != End::Memory) {
        notes.push(format!("{}: the kernel killed {n} of its processes for want of memory", code::SANDBOX_MEMORY));
    }
    if let Some(n) = usage.pids_refused.filter(|n| *n > 0) {
        notes.push(format!("{n} starts of processes were refused: it has as many as it may"));
    }
    if let Some(traffic) = acted.traffic.filter(|t| t.denied > 0) {
        notes.push(format!(
            "{} requests were refused by the egress rules, {} were let through",
            traffic.denied, traffic.allowed
        ));
    }
    notes
}

/// An output, fit to be shown; kept whole as a file when it is no text.
fn shown(captured: &Captured, most: usize, name: &str, files: &mut Vec<File>, notes: &mut Vec<String>) -> String {
    let Captured { bytes, total } = captured;
    let cut = captured.truncated();
    if cut {
        notes.push(format!("{name}: of {total} bytes the first {} are kept", bytes.len()));
    }
    if is_text(bytes, cut) {
        return shortened(&printable(bytes), most);
    }
    let name = format!("{name}.bin");
    notes.push(format!("{name}: {} bytes that are not text are kept as this file", bytes.len()));
    files.push(File { name, media: "application/octet-stream".to_owned(), content: bytes.clone() });
    let seen = if is_binary(bytes) { &bytes[..bytes.len().min(GLIMPSE)] } else { bytes };
    shortened(&printable(seen), most)
}

fn workspace(kept: &Kept) -> Option<Workspace> {
    let none = Workspace { kept: true, why: None, added: None, changed: None, removed: None, paths: Vec::new() };
    match kept {
        Kept::ReadOnly => None,
        Kept::Unchanged => Some(Workspace { changed: Some(0), ..none }),
        Kept::Not(why) => {
            Some(Workspace { kept: false, why: Some(format!("{why}; the workspace is as it was before")), ..none })
        }
        Kept::Changed { change, diff, lost } => Some(Workspace {
            added: Some(change.added),
            changed: Some(change.changed),
            removed: Some(change.removed),
            paths: paths(diff),
            why: (!lost.is_empty()).then(|| lost.join("; ")),
            ..none
        }),
    }
}

/// Names of what is different.
pub(crate) fn paths(diff: &Diff) -> Vec<String> {
    let mark = |change: &Change| match change.kind() {
        Kind::Added => '+',
        Kind::Removed => '-',
        Kind::Changed | Kind::Mode => '~',
    };
    let mut named = Vec::new();
    let mut room = FRAME / 2;
    for change in diff.changes.iter().take(NAMES) {
        let line = format!("{} {}", mark(change), change.path);
        let Some(left) = room.checked_sub(line.len()) else { break };
        room = left;
        named.push(line);
    }
    if named.len() < diff.changes.len() || diff.more {
        named.push("and others".to_owned());
    }
    named
}
