//! A tree that only grows, as little of it as appending needs: the roots of its full subtrees, one for each bit of its size.

use crate::{
    MAX_SIZE,
    hash::{self, TreeHash},
};

/// What an append needs of a tree: at most 63 hashes, whatever its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// Roots of the full subtrees, the greatest first.
    peaks: Vec<TreeHash>,
}

/// No leaf can be appended any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log is full: it has 2^63 - 1 leaves")]
pub struct Full;

impl Frontier {
    /// A tree of `size` leaves with these full subtrees, the greatest first. `None` when their number is not that of the
    /// size's bits, or the size above [`MAX_SIZE`].
    pub fn new(size: u64, peaks: Vec<TreeHash>) -> Option<Self> {
        (size <= MAX_SIZE && peaks.len() == size.count_ones() as usize).then_some(Self { size, peaks })
    }

    /// Leaves of the tree.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the full subtrees, the greatest first: with the size, all there is to keep.
    pub fn peaks(&self) -> &[TreeHash] {
        &self.peaks
    }

    /// Appends a leaf by its hash.
    ///
    /// # Errors
    /// [`Full`] at [`MAX_SIZE`] leaves; nothing is changed then.
    pub fn append(&mut self, leaf: TreeHash) -> Result<(), Full> {
        self.append_with(leaf, |_, _| ())
    }

    /// Appends a leaf, and tells each full subtree that this completes, the leaf itself first: its height, and its hash.
    ///
    /// # Errors
    /// [`Full`] at [`MAX_SIZE`] leaves; nothing is changed or told then.
    pub fn append_with(&mut self, leaf: TreeHash, mut completed: impl FnMut(u32, TreeHash)) -> Result<(), Full> {
        if self.size == MAX_SIZE {
            return Err(Full);
        }
        completed(0, leaf);
        let mut hash = leaf;
        // Each low bit that is set is a full subtree as high as what was just made: together they are the next one.
        for height in 1..=self.size.trailing_ones() {
            let left = self.peaks.pop().expect("there is a peak for each bit of the size");
            hash = hash::node(left, hash);
            completed(height, hash);
        }
        self.peaks.push(hash);
        self.size += 1;
        Ok(())
    }

    /// The root of the tree.
    pub fn root(&self) -> TreeHash {
        self.peaks.iter().rev().copied().reduce(|right, left| hash::node(left, right)).unwrap_or_else(hash::empty)
    }
}
