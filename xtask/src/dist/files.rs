//! A tree of files in memory, and the archives that are made of it. Owners, modes and times are said, never taken from
//! the disk, so that the same tree gives the same bytes.

use std::{collections::BTreeMap, io::Write as _};

use flate2::{Compression, write::GzEncoder};
use tar::{Builder, EntryType, Header};

use crate::Fail;

/// Longest path in an archive: what the name field of a tar header holds (ustar), less the `./` and a final slash.
const MAX_PATH: usize = 96;

/// A file or a folder.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// Permission bits.
    pub(super) mode: u32,
    /// User and group, the same number; 0 is root.
    pub(super) owner: u64,
    /// The content; `None` is a folder.
    pub(super) content: Option<Vec<u8>>,
}

/// Files by their paths from the root, without a slash in front.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree(BTreeMap<String, File>);

impl Tree {
    /// A file that everybody may read.
    pub(super) fn file(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.add(path, File { mode: 0o644, owner: 0, content: Some(content.into()) });
    }

    /// A file that everybody may run.
    pub(super) fn program(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.add(path, File { mode: 0o755, owner: 0, content: Some(content.into()) });
    }

    /// Anything; the folders above it are root's.
    pub(super) fn add(&mut self, path: &str, file: File) {
        for (slash, _) in path.match_indices('/') {
            let above = File { mode: 0o755, owner: 0, content: None };
            self.0.entry(path[..slash].to_owned()).or_insert(above);
        }
        self.0.insert(path.to_owned(), file);
    }

    /// The files with content, in the order of their paths.
    pub(super) fn contents(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().filter_map(|(path, file)| Some((path.as_str(), file.content.as_deref()?)))
    }

    /// All bytes of content.
    pub(super) fn size(&self) -> usize {
        self.contents().map(|(_, content)| content.len()).sum()
    }

    /// A tar archive with every path under `prefix` (`./`, or nothing).
    pub(super) fn tar(&self, prefix: &str, epoch: u64) -> Result<Vec<u8>, Fail> {
        let mut builder = Builder::new(Vec::new());
        for (path, file) in &self.0 {
            let content = file.content.as_deref().unwrap_or_default();
            let slash = if file.content.is_none() { "/" } else { "" };
            let mut header = Header::new_ustar();
            header.set_entry_type(if file.content.is_none() { EntryType::Directory } else { EntryType::Regular });
            name(&mut header, &format!("{prefix}{path}{slash}"))?;
            header.set_mode(file.mode);
            header.set_uid(file.owner);
            header.set_gid(file.owner);
            if file.owner == 0 {
                header.set_username("root").and_then(|()| header.set_groupname("root")).map_err(|e| e.to_string())?;
            }
            header.set_mtime(epoch);
            header.set_size(u64::try_from(content.len()).map_err(|e| e.to_string())?);
            header.set_cksum();
            builder.append(&header, content).map_err(|e| format!("{path}: {e}"))?;
        }
        builder.into_inner().map_err(|e| e.to_string())
    }
}

/// Writes the name as it is: `Header::set_path` would take the `./` away.
fn name(header: &mut Header, path: &str) -> Result<(), Fail> {
    if path.len() > MAX_PATH {
        return Err(format!("{path} is longer than {MAX_PATH} bytes"));
    }
    let field = &mut header.as_old_mut().name;
    field[..path.len()].copy_from_slice(path.as_bytes());
    Ok(())
}

/// The bytes compressed, without a time or a name in the header (RFC 1952).
pub(super) fn gzip(bytes: &[u8]) -> Result<Vec<u8>, Fail> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).map_err(|e| e.to_string())
}
