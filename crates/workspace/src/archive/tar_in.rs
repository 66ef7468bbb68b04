//! Reading tar (POSIX.1-2001 pax, and GNU's long names). The entries are taken raw, so that a long name is bounded before it is read,
//! and an entry that two readers would see in two ways is refused.

use std::io::{self, BufRead as _, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use tar::{Archive, Entry, EntryType, PaxExtensions};

use super::bounded::{Allowance, Bounded, Entries, archive};
use crate::{
    MAX_PATH, WorkspaceError,
    intake::Intake,
    layer::{Folder, Node},
    name::TreePath,
    tree::Leaf,
};

/// Bytes of the records that describe the next entry.
const MAX_PAX: u64 = 64 << 10;
/// How a stream with gzip begins (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Reads an archive into the layer.
pub(super) fn read(input: impl Read, intake: &mut Intake, layer: &mut Folder) -> Result<(), WorkspaceError> {
    let left = Allowance::new(intake.limits.archive);
    let mut input = BufReader::new(Bounded::new(input, Allowance::new(intake.limits.archive)));
    let start = input.fill_buf().map_err(|e| archive("the archive", e))?;
    if start.is_empty() {
        return Err(archive("the archive", "it is empty"));
    }
    // One that was read in pieces shows its first byte only, and that is enough: no tar begins with it.
    let packed = start[0] == GZIP[0] && start.get(1).is_none_or(|b| *b == GZIP[1]);
    let mut entries = Entries { intake, layer, left: left.clone() };
    if packed {
        entries_of(Archive::new(Bounded::new(MultiGzDecoder::new(input), left)), &mut entries)
    } else {
        entries_of(Archive::new(Bounded::new(input, left)), &mut entries)
    }
}

/// What the entries before have said of the next one.
#[derive(Default)]
struct Ahead {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

fn entries_of<R: Read>(mut tar: Archive<R>, out: &mut Entries<'_>) -> Result<(), WorkspaceError> {
    let mut ahead = Ahead::default();
    let raw = tar.entries().map_err(|e| out.broken("the archive", &e))?.raw(true);
    for entry in raw {
        let mut entry = entry.map_err(|e| out.broken("the archive", &e))?;
        match entry.header().entry_type() {
            EntryType::GNULongName => once(&mut ahead.name, text(&mut entry, out)?)?,
            EntryType::GNULongLink => once(&mut ahead.target, text(&mut entry, out)?)?,
            EntryType::XHeader => pax(&mut entry, &mut ahead, out)?,
            // It says the same of all entries, and nothing that is kept.
            EntryType::XGlobalHeader => {}
            _ => {
                let Ahead { name, target } = std::mem::take(&mut ahead);
                let name = name.unwrap_or_else(|| entry.header().path_bytes().into_owned());
                let target = target.or_else(|| entry.header().link_name_bytes().map(|t| t.into_owned()));
                take(&mut entry, &name, target, out)?;
            }
        }
    }
    Ok(())
}

fn take<R: Read>(
    entry: &mut Entry<'_, R>,
    name: &[u8],
    target: Option<Vec<u8>>,
    out: &mut Entries<'_>,
) -> Result<(), WorkspaceError> {
    let path = out.path(name)?;
    let header = entry.header();
    let mode = header.mode().map_err(|e| archive(&path, e))?;
    match header.entry_type() {
        // Old archives write a directory as a file whose name ends in a slash.
        EntryType::Regular if name.ends_with(b"/") && entry.size() == 0 => out.directory(&path),
        EntryType::Regular | EntryType::Continuous => {
            let size = entry.size();
            out.file(&path, mode & 0o100 != 0, size, entry)
        }
        EntryType::Directory => out.directory(&path),
        EntryType::Symlink => out.link(&path, target.as_deref().unwrap_or_default()),
        EntryType::Link => {
            let target = TreePath::parse(target.as_deref().unwrap_or_default()).map_err(|e| archive(&path, e))?;
            let Some(Leaf::File(file)) = out.layer.leaf(&target).cloned() else {
                return Err(archive(&path, format!("a hard link to `{target}`, which is no file of the archive")));
            };
            out.intake.tally.file(file.size, &out.intake.limits, &path)?;
            out.put(&path, Node::Leaf(Leaf::File(file)))
        }
        EntryType::Char | EntryType::Block | EntryType::Fifo => Err(archive(&path, "a device or a pipe")),
        EntryType::GNUSparse => Err(archive(&path, "a sparse file: write it as a whole one")),
        _ => Err(archive(&path, "an entry of an unknown kind")),
    }
}

/// The text of a long name, without the NUL behind it.
fn text<R: Read>(entry: &mut Entry<'_, R>, out: &Entries<'_>) -> Result<Vec<u8>, WorkspaceError> {
    let mut text = bytes(entry, MAX_PATH as u64 + 1, out)?;
    if text.last() == Some(&0) {
        text.pop();
    }
    Ok(text)
}

fn bytes<R: Read>(entry: &mut Entry<'_, R>, most: u64, out: &Entries<'_>) -> Result<Vec<u8>, WorkspaceError> {
    if entry.size() > most {
        return Err(archive("the archive", format!("a name or record of {} bytes; {most} are allowed", entry.size())));
    }
    let mut bytes = Vec::new();
    let size = entry.size();
    entry.read_to_end(&mut bytes).map_err(|e| out.broken("the archive", &e))?;
    if bytes.len() as u64 != size {
        return Err(out.broken("the archive", &io::Error::from(io::ErrorKind::UnexpectedEof)));
    }
    Ok(bytes)
}

/// The records of a pax header. Those of names are taken; those that would change how much of the archive belongs to the next entry
/// are refused, for not every reader knows them.
fn pax<R: Read>(entry: &mut Entry<'_, R>, ahead: &mut Ahead, out: &Entries<'_>) -> Result<(), WorkspaceError> {
    let records = bytes(entry, MAX_PAX, out)?;
    for record in PaxExtensions::new(&records) {
        let record = record.map_err(|e| archive("the archive", e))?;
        match record.key_bytes() {
            b"path" => once(&mut ahead.name, record.value_bytes().to_vec())?,
            b"linkpath" => once(&mut ahead.target, record.value_bytes().to_vec())?,
            b"size" => {
                return Err(archive("the archive", "a size in a pax record: the entry would be longer than 8 GiB"));
            }
            key if key.starts_with(b"GNU.sparse.") => {
                return Err(archive("the archive", "a sparse file: write it as a whole one"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn once(slot: &mut Option<Vec<u8>>, text: Vec<u8>) -> Result<(), WorkspaceError> {
    if slot.is_some() {
        return Err(archive("the archive", "two long names for one entry"));
    }
    *slot = Some(text);
    Ok(())
}
