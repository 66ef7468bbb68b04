//! Operations that read: a directory, a file.

use serde_json::json;
use stead_workspace::{TreePath, tree::Entry};

use super::{
    path,
    tool::{Arguments, At, Cannot, Done},
};
use crate::text::{is_text, printable};

/// Entries of one list.
pub(super) const ENTRIES: usize = 1000;
/// Lines of one answer.
pub(super) const LINES: usize = 2000;
/// Bytes of a file that is read by its lines.
pub(super) const FILE: u64 = 8 << 20;
/// Bytes of an answer beside its text.
const FRAME: usize = 512;

/// The entries of a directory.
pub(super) async fn list(at: At<'_>, arguments: &Arguments, max: usize) -> Result<Done, Cannot> {
    let top = path::parse(&arguments.path)?;
    let (mut entries, mut room, mut more) = (Vec::new(), max.saturating_sub(FRAME), false);
    let mut directories = vec![top];
    // Depth first, each directory before what is in it, in the order of names.
    while let Some(directory) = directories.pop() {
        let mut below = Vec::new();
        for (name, entry) in at.work.list(at.tenant, at.tree, &directory, None, ENTRIES + 1).await? {
            let path = directory.join(&name);
            let line = described(&path, &entry);
            // As JSON has it, with its quotes and comma.
            let left = room.checked_sub(line.len() * 2 + 3);
            let Some(left) = left.filter(|_| entries.len() < ENTRIES) else {
                more = true;
                break;
            };
            room = left;
            entries.push(line);
            if arguments.recursive && matches!(entry, Entry::Directory(_)) {
                below.push(path);
            }
        }
        if more {
            break;
        }
        directories.extend(below.into_iter().rev());
    }
    let note = more.then_some("there is more than is listed: name a directory below, or search");
    Ok(Done::Told(json!({"entries": entries, "note": note}).to_string()))
}

fn described(path: &TreePath, entry: &Entry) -> String {
    match entry {
        Entry::Directory(d) => format!("{path}/ ({} entries)", d.entries),
        Entry::File(f) if f.exec => format!("{path} ({} bytes, executable)", f.size),
        Entry::File(f) => format!("{path} ({} bytes)", f.size),
        Entry::Symlink(target) => format!("{path} (link to {})", printable(target)),
    }
}

/// Lines of a file.
pub(super) async fn read(at: At<'_>, arguments: &Arguments, max: usize) -> Result<Done, Cannot> {
    let path = path::parse(&arguments.path)?;
    let bytes = at.work.read(at.tenant, at.tree, &path, 0, FILE + 1).await?;
    if bytes.len() as u64 > FILE {
        return Err(Cannot::Do(format!(
            "{path} has more than {FILE} bytes: look at it with a command, as `head` or `grep`"
        )));
    }
    if !is_text(&bytes, false) {
        return Err(Cannot::Do(format!(
            "{path} is no text: it has {} bytes that only a program can read",
            bytes.len()
        )));
    }
    let text = printable(&bytes);
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let first = usize::try_from(arguments.offset.unwrap_or(1).max(1) - 1).unwrap_or(usize::MAX);
    if first > 0 && first >= lines.len() {
        return Err(Cannot::Do(format!("{path} has {} lines", lines.len())));
    }
    let most = arguments.limit.map_or(LINES, |n| usize::try_from(n).unwrap_or(LINES)).min(LINES);
    let (mut shown, mut count, mut room) = (String::new(), 0, max.saturating_sub(FRAME) / 2);
    for line in lines.iter().skip(first).take(most) {
        let Some(left) = room.checked_sub(line.len()) else { break };
        room = left;
        shown.push_str(line);
        count += 1;
    }
    if count == 0 && !lines.is_empty() {
        // One line is more than there is room for.
        let line = lines[first];
        shown.push_str(&line[..line.floor_char_boundary(room)]);
        let note = format!("line {} has {} bytes and is cut", first + 1, line.len());
        return Ok(Done::Told(
            json!({"lines": lines.len(), "first": first + 1, "text": shown, "note": note}).to_string(),
        ));
    }
    let last = first + count;
    let note = (last < lines.len()).then(|| format!("read on with offset {}", last + 1));
    Ok(Done::Told(json!({"lines": lines.len(), "first": first + 1, "text": shown, "note": note}).to_string()))
}
