//! The operation that searches: line by line, on an engine whose time is linear in what it reads.

use regex::bytes::{Regex, RegexBuilder};
use serde_json::json;
use stead_workspace::{TreePath, tree::Entry};

use super::{
    path,
    tool::{Arguments, At, Cannot, Done},
};
use crate::text::{is_text, printable};

/// Lines that are given.
pub(super) const MATCHES: usize = 200;
/// Bytes of a file that is searched.
pub(super) const FILE: u64 = 4 << 20;
/// Bytes of a pattern.
pub(super) const PATTERN: usize = 1000;
/// Bytes that are searched in all.
const ALL: u64 = 128 << 20;
/// Files and directories that are looked at.
const LOOKED: usize = 20_000;
/// Bytes of a line that are given.
const LINE: usize = 300;
/// Bytes that a compiled pattern may take.
const COMPILED: usize = 1 << 20;
/// Bytes of an answer beside its lines.
const FRAME: usize = 512;

struct Search {
    pattern: Regex,
    found: Vec<String>,
    room: usize,
    read: u64,
    left_out: u64,
    /// Why it ended early.
    full: Option<&'static str>,
}

/// Lines that match, below a path.
pub(super) async fn search(at: At<'_>, arguments: &Arguments, max: usize) -> Result<Done, Cannot> {
    let text = if arguments.regex { arguments.pattern.clone() } else { regex::escape(&arguments.pattern) };
    let pattern = RegexBuilder::new(&text).size_limit(COMPILED).dfa_size_limit(COMPILED).build();
    let pattern = pattern.map_err(|e| Cannot::Do(format!("the pattern cannot be used: {e}")))?;
    let mut search =
        Search { pattern, found: Vec::new(), room: max.saturating_sub(FRAME), read: 0, left_out: 0, full: None };
    let top = path::parse(&arguments.path)?;
    let entry = at.work.stat(at.tenant, at.tree, &top).await?;
    let (mut todo, mut looked) = (vec![(top, entry)], 0);
    while let Some((path, entry)) = todo.pop() {
        looked += 1;
        if looked > LOOKED {
            search.full = Some("there are more files than are looked at");
        }
        if search.full.is_some() {
            break;
        }
        match entry {
            Entry::Directory(_) => {
                let mut below = at.work.list(at.tenant, at.tree, &path, None, LOOKED).await?;
                below.reverse();
                todo.extend(below.into_iter().map(|(name, entry)| (path.join(&name), entry)));
            }
            Entry::File(file) if file.size <= FILE => search.file(at, &path, file.size).await?,
            Entry::File(_) => search.left_out += 1,
            // Where a link leads is a matter of who follows it.
            Entry::Symlink(_) => {}
        }
    }
    let mut notes = Vec::new();
    notes.extend(search.full.map(|why| format!("{why}: search below a directory, or for something rarer")));
    if search.left_out > 0 {
        notes.push(format!("{} files are too large or no text", search.left_out));
    }
    Ok(Done::Told(json!({"matches": search.found, "notes": notes}).to_string()))
}

impl Search {
    async fn file(&mut self, at: At<'_>, path: &TreePath, size: u64) -> Result<(), Cannot> {
        self.read += size;
        if self.read > ALL {
            self.full = Some("there is more text than is searched");
            return Ok(());
        }
        let bytes = at.work.read(at.tenant, at.tree, path, 0, FILE).await?;
        let (pattern, most) = (self.pattern.clone(), MATCHES + 1 - self.found.len());
        // A long file keeps a thread busy for a while, and not one that others wait for.
        let lines = tokio::task::spawn_blocking(move || lines(&pattern, &bytes, most)).await;
        let Some(lines) = lines.map_err(|e| Cannot::Do(e.to_string()))? else {
            self.left_out += 1;
            return Ok(());
        };
        for (number, line) in lines {
            let line = format!("{path}:{number}: {line}");
            let left = self.room.checked_sub(line.len() * 2 + 3).filter(|_| self.found.len() < MATCHES);
            let Some(left) = left else {
                self.full = Some("there are more lines than are given");
                return Ok(());
            };
            self.room = left;
            self.found.push(line);
        }
        Ok(())
    }
}

/// The lines of a text that match, with their numbers; none when it is no text.
fn lines(pattern: &Regex, bytes: &[u8], most: usize) -> Option<Vec<(usize, String)>> {
    let shown = |line: &[u8]| {
        let cut = if line.len() > LINE { "…" } else { "" };
        format!("{}{cut}", printable(&line[..line.len().min(LINE)]))
    };
    is_text(bytes, false).then(|| {
        let numbered = bytes.split(|b| *b == b'\n').enumerate().filter(|(_, line)| pattern.is_match(line));
        numbered.take(most).map(|(n, line)| (n + 1, shown(line))).collect()
    })
}
