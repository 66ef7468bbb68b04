//! The bytes of a directory. `docs/workspaces.md` is the normative text; `tests/golden` has its vectors.
//!
//! There is one way to write a directory and only that is read: names ascend, numbers are shortest, nothing stands behind. So two
//! trees are equal exactly when their ids are.

use std::{collections::BTreeMap, convert::Infallible};

use minicbor::{Decoder, Encoder, decode, encode};
use stead_core::id::{BlobId, TreeId};
use stead_ports::objects::MAX_OBJECT;

use super::{DirEntry, Directory, Entry, FileEntry, MAX_ENTRIES};
use crate::name::{EntryName, MAX_PATH};

/// The version that is written, and the only one that is read.
const VERSION: u8 = 1;

/// Bytes that are no directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadDirectory(pub(crate) &'static str);

impl From<decode::Error> for BadDirectory {
    fn from(_: decode::Error) -> Self {
        Self("it is not what its format says")
    }
}

impl Directory {
    /// Its bytes: `[version, [[name, node], …]]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.len() * 72);
        self.write(&mut Encoder::new(&mut out)).expect("encodes to memory");
        out
    }

    fn write(&self, e: &mut Encoder<&mut Vec<u8>>) -> Result<(), encode::Error<Infallible>> {
        e.array(2)?.u8(VERSION)?.array(self.len() as u64)?;
        for (name, entry) in self {
            e.array(2)?.bytes(name.as_bytes())?.array(2)?;
            match entry {
                Entry::File(f) => e.u8(0)?.array(3)?.bool(f.exec)?.u64(f.size)?.bytes(&f.content.0)?,
                Entry::Symlink(target) => e.u8(1)?.array(1)?.bytes(target)?,
                Entry::Directory(d) => e.u8(2)?.array(3)?.bytes(&d.tree.0)?.u64(d.entries)?.u64(d.bytes)?,
            };
        }
        Ok(())
    }

    /// Reads a directory. It takes memory for what is there, not for what a length claims.
    ///
    /// # Errors
    /// When the bytes are none, are not the one way to write it, or are of a later version.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadDirectory> {
        if bytes.len() > MAX_OBJECT {
            return Err(BadDirectory("it is longer than any directory"));
        }
        let mut d = Decoder::new(bytes);
        array(&mut d, 2)?;
        if d.u8()? != VERSION {
            return Err(BadDirectory("it was written by a later release, or is no directory"));
        }
        let count = d.array()?.ok_or(BadDirectory("a list without a length"))?;
        if count > MAX_ENTRIES as u64 {
            return Err(BadDirectory("it has more entries than any directory"));
        }
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let (name, entry) = entry(&mut d)?;
            if entries.last_key_value().is_some_and(|(last, _)| *last >= name) {
                return Err(BadDirectory("its names do not ascend"));
            }
            entries.insert(name, entry);
        }
        let directory = Self { entries };
        // Numbers in a longer form, lists without a length, bytes behind: whatever reads the same but is not the same.
        if d.position() != bytes.len() || directory.encode() != bytes {
            return Err(BadDirectory("it is not written in the one way"));
        }
        Ok(directory)
    }
}

fn array(d: &mut Decoder<'_>, len: u64) -> Result<(), BadDirectory> {
    if d.array()? == Some(len) { Ok(()) } else { Err(BadDirectory("a list of another length")) }
}

fn address(d: &mut Decoder<'_>) -> Result<[u8; 32], BadDirectory> {
    d.bytes()?.try_into().map_err(|_| BadDirectory("an address that is none"))
}

fn entry(d: &mut Decoder<'_>) -> Result<(EntryName, Entry), BadDirectory> {
    array(d, 2)?;
    let name = EntryName::new(d.bytes()?).map_err(|_| BadDirectory("a name that is none"))?;
    array(d, 2)?;
    let entry = match d.u8()? {
        0 => {
            array(d, 3)?;
            Entry::File(FileEntry { exec: d.bool()?, size: d.u64()?, content: BlobId(address(d)?) })
        }
        1 => {
            array(d, 1)?;
            let target = d.bytes()?;
            if target.is_empty() || target.len() > MAX_PATH || target.contains(&0) {
                return Err(BadDirectory("a link's target that is none"));
            }
            Entry::Symlink(target.into())
        }
        2 => {
            array(d, 3)?;
            Entry::Directory(DirEntry { tree: TreeId(address(d)?), entries: d.u64()?, bytes: d.u64()? })
        }
        _ => return Err(BadDirectory("an entry of a kind that there is not")),
    };
    Ok((name, entry))
}
