//! The right edge of a log in tiles: what an append needs to know, and what it writes. At most 255 hashes of each level.

use crate::{
    MAX_SIZE,
    frontier::{Frontier, Full},
    hash::{self, TreeHash},
    tile::{HEIGHT, Holds, LEVELS, Tile, WIDTH},
};

/// A log that grows, by its tiles that are not full.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    frontier: Frontier,
    levels: [Vec<TreeHash>; LEVELS as usize],
}

/// A tile to be kept: its place, and its bytes.
pub type Written = (Tile, Vec<u8>);

/// Tiles that are not those of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEdge {
    /// There is no log of that size.
    #[error("no log has {0} leaves")]
    Size(u64),
    /// A tile has another number of hashes than the size asks for.
    #[error("the tile of level {0} at the edge has another number of hashes")]
    Width(u8),
    /// They lead to another root.
    #[error("the tiles at the edge lead to another root")]
    Root,
}

impl Edge {
    /// The edge of a log of `size` leaves with that root, out of its tiles of [`Tile::edge`], in that order.
    ///
    /// # Errors
    /// [`BadEdge`] when they are not those of that log.
    pub fn new(size: u64, root: TreeHash, tiles: &[Vec<TreeHash>]) -> Result<Self, BadEdge> {
        if size > MAX_SIZE {
            return Err(BadEdge::Size(size));
        }
        let (mut levels, mut tiles): ([Vec<_>; LEVELS as usize], _) = (Default::default(), tiles.iter());
        for tile in Tile::edge(size) {
            let Holds::Hashes(level) = tile.holds() else { unreachable!("the edge is of hashes") };
            let hashes = tiles.next().filter(|hashes| hashes.len() == usize::from(tile.width()));
            levels[usize::from(level)].clone_from(hashes.ok_or(BadEdge::Width(level))?);
        }
        let frontier = Frontier::new(size, peaks(&levels)).ok_or(BadEdge::Size(size))?;
        if frontier.root() != root {
            return Err(BadEdge::Root);
        }
        Ok(Self { frontier, levels })
    }

    /// Leaves of the log.
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root.
    pub fn root(&self) -> TreeHash {
        self.frontier.root()
    }

    /// The hashes of the tile of `level` that is not full; none when there is no such tile.
    pub fn level(&self, level: u8) -> &[TreeHash] {
        self.levels.get(usize::from(level)).map_or(&[], Vec::as_slice)
    }

    /// Appends leaves by their hashes, and gives the tiles that are new: all that became full, and then those at the
    /// edge. Tiles at the edge before, of smaller width, are not needed by a reader of this size.
    ///
    /// # Errors
    /// [`Full`] when they are more than a log can have; nothing is changed then.
    pub fn append(&mut self, leaves: &[TreeHash]) -> Result<Vec<Written>, Full> {
        if leaves.len() as u64 > MAX_SIZE - self.size() {
            return Err(Full);
        }
        let old = self.size();
        let mut written = Vec::new();
        for leaf in leaves {
            let before = self.size();
            let levels = &mut self.levels;
            self.frontier.append_with(*leaf, |height, hash| {
                if height % HEIGHT != 0 {
                    return;
                }
                let level = (height / HEIGHT) as u8;
                let row = &mut levels[usize::from(level)];
                row.push(hash);
                if row.len() == usize::from(WIDTH) {
                    let index = before >> (HEIGHT * (u32::from(level) + 1));
                    written.push((place(level, index, WIDTH), hash::join(row)));
                    row.clear();
                }
            })?;
        }
        for tile in Tile::edge(self.size()) {
            let Holds::Hashes(level) = tile.holds() else { unreachable!("the edge is of hashes") };
            // A level above that got no hash has the tile it had.
            let nodes = |size: u64| size >> (HEIGHT * u32::from(level));
            if nodes(old) != nodes(self.size()) {
                written.push((tile, hash::join(&self.levels[usize::from(level)])));
            }
        }
        Ok(written)
    }
}

fn place(level: u8, index: u64, width: u16) -> Tile {
    Tile::new(Holds::Hashes(level), index, width).expect("a log that is not too large has it")
}

/// The roots of the full subtrees that the tiles of the edge begin with, the greatest first.
fn peaks(levels: &[Vec<TreeHash>]) -> Vec<TreeHash> {
    let mut peaks = Vec::new();
    for level in levels.iter().rev() {
        let mut rest = level.as_slice();
        while !rest.is_empty() {
            let (peak, others) = rest.split_at(1 << rest.len().ilog2());
            peaks.push(hash::full(peak));
            rest = others;
        }
    }
    peaks
}
