//! The hashes of the tree (RFC 6962, section 2.1), and how they are written. No tree is here.

use std::{fmt, str::FromStr};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha2::{Digest, Sha256};

/// Bytes of a hash.
pub const LEN: usize = 32;

/// A hash of the tree: of a leaf, of a node, of all of it. As text it is base64, as in checkpoints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeHash(pub [u8; LEN]);

/// Text that is no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash is the base64 of 32 bytes")]
pub struct BadHash;

/// The hash of a leaf.
pub fn leaf(entry: &[u8]) -> TreeHash {
    TreeHash(Sha256::new().chain_update([0]).chain_update(entry).finalize().into())
}

/// The hash of a node over its two children.
pub fn node(left: TreeHash, right: TreeHash) -> TreeHash {
    let mut both = [1; 1 + 2 * LEN];
    both[1..=LEN].copy_from_slice(&left.0);
    both[1 + LEN..].copy_from_slice(&right.0);
    TreeHash(Sha256::digest(both).into())
}

/// The root of a tree without leaves.
pub fn empty() -> TreeHash {
    TreeHash(Sha256::digest([]).into())
}

/// The root of a full subtree over `row`, whose length is a power of two; of none that of no leaves.
pub(crate) fn full(row: &[TreeHash]) -> TreeHash {
    match row {
        [] => empty(),
        [one] => *one,
        _ => {
            let (left, right) = row.split_at(row.len() / 2);
            node(full(left), full(right))
        }
    }
}

/// The hashes that `bytes` are, one behind another; `None` when they do not come out even.
pub fn split(bytes: &[u8]) -> Option<Vec<TreeHash>> {
    let (hashes, rest) = bytes.as_chunks::<LEN>();
    rest.is_empty().then(|| hashes.iter().copied().map(TreeHash).collect())
}

/// The hashes one behind another, as tiles and bundles have them.
pub fn join(hashes: &[TreeHash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

impl fmt::Display for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_STANDARD.encode(self.0))
    }
}

impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TreeHash {
    type Err = BadHash;
    fn from_str(text: &str) -> Result<Self, BadHash> {
        // Longer text is refused before anything is made of it.
        let bytes = (text.len() == 44).then(|| BASE64_STANDARD.decode(text)).ok_or(BadHash)?.map_err(|_| BadHash)?;
        bytes.try_into().map(Self).map_err(|_| BadHash)
    }
}
