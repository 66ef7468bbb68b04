//! A tree with all its hashes in memory, for logs that fit: tests, figures, bundles of a whole log. 64 bytes a leaf.

use std::convert::Infallible;

use crate::{
    frontier::{Frontier, Full},
    hash::TreeHash,
    prove::Subtrees,
};

/// All full subtrees of a log, by height and position.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    frontier: Frontier,
    rows: Vec<Vec<TreeHash>>,
}

impl Tree {
    /// Leaves of the tree.
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root.
    pub fn root(&self) -> TreeHash {
        self.frontier.root()
    }

    /// Hashes of its leaves.
    pub fn leaves(&self) -> &[TreeHash] {
        self.rows.first().map_or(&[], Vec::as_slice)
    }

    /// Appends a leaf by its hash.
    ///
    /// # Errors
    /// [`Full`], which memory is before.
    pub fn append(&mut self, leaf: TreeHash) -> Result<(), Full> {
        let rows = &mut self.rows;
        self.frontier.append_with(leaf, |height, hash| {
            let height = height as usize;
            if rows.len() == height {
                rows.push(Vec::new());
            }
            rows[height].push(hash);
        })
    }
}

impl Extend<TreeHash> for Tree {
    fn extend<I: IntoIterator<Item = TreeHash>>(&mut self, leaves: I) {
        for leaf in leaves {
            self.append(leaf).expect("memory ends before a log is full");
        }
    }
}

impl Subtrees for Tree {
    type Error = Infallible;
    fn subtree(&mut self, height: u32, index: u64) -> Result<TreeHash, Infallible> {
        Ok(self.rows[height as usize][usize::try_from(index).expect("it fits memory")])
    }
}
