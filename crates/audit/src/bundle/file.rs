//! The file: reading and writing. A reader borrows; what it makes is not larger than what it reads, within a small factor.

use crate::{
    cbor::{Malformed, Reader, Writer},
    hash::{self, TreeHash},
};

/// What a bundle begins with.
const MAGIC: &str = "stead-audit-bundle/v1";
/// Bytes of a bundle.
pub const MAX_LEN: usize = 1 << 30;
/// Bytes of a leaf at least; what is shorter is none, and would only make a reader's memory large.
pub const MIN_LEAF: usize = 64;
/// Links of a bundle.
pub const MAX_LINKS: u64 = 64;

/// A file that proves leaves. Reading it checks its form alone: see [`super::verify()`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle<'a> {
    /// The checkpoint, with its signatures.
    pub note: &'a str,
    /// The leaves, by ascending index.
    pub items: Vec<Item<'a>>,
    /// The proof of their selection.
    pub proof: Vec<TreeHash>,
    /// Consistency with earlier checkpoints, by ascending size.
    pub links: Vec<Link>,
}

/// A leaf in a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Its place in the log.
    pub index: u64,
    /// Its bytes.
    pub leaf: &'a [u8],
    /// The record that it is about, when that is shown: with erased texts in the place of those that are not.
    pub record: Option<&'a [u8]>,
}

/// What leads from an earlier checkpoint to the bundle's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The size of the earlier one.
    pub size: u64,
    /// The consistency proof.
    pub path: Vec<TreeHash>,
}

impl<'a> Bundle<'a> {
    /// The file's bytes. One without a link has no list of them.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.array(4 + u64::from(!self.links.is_empty())).text(MAGIC).text(self.note).array(self.items.len() as u64);
        for Item { index, leaf, record } in &self.items {
            w.array(2 + u64::from(record.is_some())).uint(*index).bytes(leaf);
            if let Some(record) = record {
                w.bytes(record);
            }
        }
        w.bytes(&hash::join(&self.proof));
        if !self.links.is_empty() {
            w.array(self.links.len() as u64);
        }
        for link in &self.links {
            w.array(2).uint(link.size).bytes(&hash::join(&link.path));
        }
        w.0
    }

    /// Reads a file. Only the bytes that [`Bundle::encode`] writes are read.
    ///
    /// # Errors
    /// [`Malformed`] for anything else, and beyond the limits.
    pub fn decode(file: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(file);
        if file.len() > MAX_LEN {
            return Err(r.bad("longer than a bundle can be"));
        }
        let fields = r.array()?;
        if !(4..=5).contains(&fields) || r.text()? != MAGIC {
            return Err(r.bad("it does not begin as a bundle does"));
        }
        let note = r.text()?;
        let mut items = Vec::new();
        for _ in 0..r.array()? {
            let next = items.last().map(|item: &Item<'_>| item.index);
            items.push(item(&mut r, next)?);
        }
        let proof = hashes(&mut r)?;
        let mut links: Vec<Link> = Vec::new();
        if fields == 5 {
            let n = r.array()?;
            if !(1..=MAX_LINKS).contains(&n) {
                return Err(r.bad("no link, or too many"));
            }
            for _ in 0..n {
                if r.array()? != 2 {
                    return Err(r.bad("not a link"));
                }
                let size = r.uint()?;
                if links.last().is_some_and(|before| before.size >= size) {
                    return Err(r.bad("links are not ascending"));
                }
                links.push(Link { size, path: hashes(&mut r)? });
            }
        }
        r.end()?;
        Ok(Self { note, items, proof, links })
    }
}

fn item<'a>(r: &mut Reader<'a>, before: Option<u64>) -> Result<Item<'a>, Malformed> {
    let fields = r.array()?;
    if !(2..=3).contains(&fields) {
        return Err(r.bad("not an item"));
    }
    let index = r.uint()?;
    if before.is_some_and(|before| before >= index) {
        return Err(r.bad("indexes are not ascending"));
    }
    let leaf = r.bytes()?;
    if leaf.len() < MIN_LEAF {
        return Err(r.bad("shorter than a leaf can be"));
    }
    let record = if fields == 3 { Some(r.bytes()?) } else { None };
    Ok(Item { index, leaf, record })
}

fn hashes(r: &mut Reader<'_>) -> Result<Vec<TreeHash>, Malformed> {
    let at = r.position();
    hash::split(r.bytes()?).ok_or(Malformed { at, what: "hashes do not come out even" })
}
