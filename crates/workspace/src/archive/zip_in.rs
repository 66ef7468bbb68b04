//! Reading zip (APPNOTE 6.3.10). The index at its end is read first, within bounds of its own, since its length is what the archive says.

use std::io::{Read, Seek, SeekFrom};

use zip::{ZipArchive, read::ZipFile};

use super::bounded::{Allowance, Bounded, Entries, archive};
use crate::{MAX_PATH, WorkspaceError, intake::Intake, layer::Folder, limits::check, name::shown};

/// Bytes of the index for each entry that there may be: names are shorter than that, as a rule.
const INDEX: u64 = 160;
/// Bytes that are read besides the index: the search for its place goes through at most 64 KiB, in steps.
const SEARCH: u64 = 1 << 20;

/// Kinds of a file in the mode that Unix hosts leave (`inode(7)`).
const KIND: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// Reads an archive into the layer.
pub(super) fn read(mut input: impl Read + Seek, intake: &mut Intake, layer: &mut Folder) -> Result<(), WorkspaceError> {
    let whole = |e: std::io::Error| archive("the archive", e);
    let len = input.seek(SeekFrom::End(0)).map_err(whole)?;
    check(&"the archive", len, intake.limits.archive, "bytes")?;
    let (most, index) = (intake.limits.archive, intake.limits.entries.saturating_mul(INDEX).saturating_add(SEARCH));
    only_short_indexes(&mut input, len, index)?;
    input.rewind().map_err(whole)?;
    let left = Allowance::new(index);
    let mut out = Entries { intake, layer, left: left.clone() };
    let mut zip = ZipArchive::new(Bounded::new(input, left.clone())).map_err(|e| out.broken("the archive", &e))?;
    check(&"the archive", zip.len() as u64, out.intake.limits.entries, "files")?;
    // What is packed is read as often as entries name it, so this counts beside the length of the archive.
    left.set(most);
    for n in 0..zip.len() {
        let mut entry = zip.by_index(n).map_err(|e| archive(format!("entry {n} of the archive"), e))?;
        take(&mut entry, &mut out)?;
    }
    Ok(())
}

/// Refuses an archive with an index of the long kind (zip64, APPNOTE 4.3.14): it can claim any number of entries, for which a reader
/// takes memory before it has seen one. The short kind claims 65,535 at most. Looked through is all in which the end of an index is
/// searched for, from the end of the archive on.
fn only_short_indexes(input: &mut (impl Read + Seek), len: u64, searched: u64) -> Result<(), WorkspaceError> {
    let whole = |e: std::io::Error| archive("the archive", e);
    let tail = len.min(searched);
    input.seek(SeekFrom::Start(len - tail)).map_err(whole)?;
    let mut bytes = Vec::new();
    input.take(tail).read_to_end(&mut bytes).map_err(whole)?;
    let long = bytes.windows(LOCATOR + 4).any(|w| w.starts_with(b"PK\x06\x07") && w.ends_with(b"PK\x05\x06"));
    if long { Err(archive("the archive", "it has a long index (zip64); send a tar instead")) } else { Ok(()) }
}

/// Bytes of what tells the place of a long index, just before the end of the short one (APPNOTE 4.3.15).
const LOCATOR: usize = 20;

fn take<R: Read>(entry: &mut ZipFile<'_, R>, out: &mut Entries<'_>) -> Result<(), WorkspaceError> {
    let name = entry.name_raw().to_vec();
    if name.contains(&b'\\') {
        // Some programs write it for `/`, and a name that is one here is a path there.
        return Err(archive(shown(&name), "a name with `\\`"));
    }
    let path = out.path(&name)?;
    let mode = entry.unix_mode().unwrap_or(REGULAR);
    let size = entry.size();
    match mode & KIND {
        _ if name.ends_with(b"/") => out.directory(&path),
        DIRECTORY => out.directory(&path),
        LINK => {
            check(&path, size, MAX_PATH as u64, "bytes of a link's target")?;
            let mut target = Vec::new();
            entry.take(MAX_PATH as u64 + 1).read_to_end(&mut target).map_err(|e| out.broken(&path, &e))?;
            out.link(&path, &target)
        }
        REGULAR | 0 => out.file(&path, mode & 0o100 != 0, size, entry),
        _ => Err(archive(&path, "a device, a pipe or a socket")),
    }
}
