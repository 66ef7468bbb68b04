//! Reads a log's tiles and believes none: each is checked up to the checkpoint before anything is made of it.

use std::collections::BTreeMap;

use crate::{
    edge::{BadEdge, Edge},
    hash::{self, TreeHash},
    prove::Subtrees,
    tile::{BadTile, HEIGHT, Holds, LEVELS, Tile, WIDTH},
};

/// Full tiles that a reader keeps: 64 MiB at most.
const KEPT: usize = 8192;

/// Why a log cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError<E> {
    /// A tile cannot be had.
    #[error("{tile} cannot be read")]
    Fetch {
        /// Which.
        tile: Tile,
        /// Why.
        #[source]
        source: E,
    },
    /// A tile is not what the log has there.
    #[error("{tile} is not what the checkpoint commits to: {why}")]
    Forged {
        /// Which; of the tiles at the edge the first.
        tile: Tile,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There is no such leaf or log.
    #[error("the log does not reach that far")]
    Outside,
}

/// A log of known size and root, whose tiles are fetched from somewhere.
pub struct Reader<F> {
    edge: Edge,
    fetch: F,
    full: BTreeMap<(u8, u64), Vec<TreeHash>>,
}

impl<F> std::fmt::Debug for Reader<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("size", &self.edge.size()).finish_non_exhaustive()
    }
}

impl<E, F: FnMut(Tile) -> Result<Vec<u8>, E>> Reader<F> {
    /// Fetches the tiles at the edge, which must lead to the root that a checkpoint names.
    ///
    /// # Errors
    /// [`ReadError`] when they cannot be had or are others.
    pub fn open(size: u64, root: TreeHash, mut fetch: F) -> Result<Self, ReadError<E>> {
        let (mut tiles, mut first) = (Vec::new(), None);
        for tile in Tile::edge(size) {
            first.get_or_insert(tile);
            tiles.push(hashes(tile, &mut fetch)?);
        }
        let edge = Edge::new(size, root, &tiles).map_err(|bad| match (bad, first) {
            (BadEdge::Size(_), _) | (_, None) => ReadError::Outside,
            (_, Some(tile)) => ReadError::Forged { tile, why: "the tiles at the edge lead to another root" },
        })?;
        Ok(Self { edge, fetch, full: BTreeMap::new() })
    }

    /// What an append needs of this log.
    pub const fn edge(&self) -> &Edge {
        &self.edge
    }

    /// Hashes `from..to` of `level`, which are in one tile.
    fn row(&mut self, level: u8, from: u64, to: u64) -> Result<&[TreeHash], ReadError<E>> {
        let nodes = self.edge.size().checked_shr(HEIGHT * u32::from(level)).unwrap_or(0);
        if level >= LEVELS || to > nodes {
            return Err(ReadError::Outside);
        }
        let index = from >> HEIGHT;
        let start = (from % u64::from(WIDTH)) as usize;
        let end = start + (to - from) as usize;
        if index == nodes >> HEIGHT {
            return Ok(&self.edge.level(level)[start..end]);
        }
        if !self.full.contains_key(&(level, index)) {
            self.load(level, index)?;
        }
        Ok(&self.full[&(level, index)][start..end])
    }

    /// Fetches a full tile, which must give the hash that stands for it above.
    fn load(&mut self, level: u8, index: u64) -> Result<(), ReadError<E>> {
        let above = self.row(level + 1, index, index + 1)?[0];
        let tile = Tile::new(Holds::Hashes(level), index, WIDTH).ok_or(ReadError::Outside)?;
        let hashes = hashes(tile, &mut self.fetch)?;
        if hash::full(&hashes) != above {
            return Err(ReadError::Forged { tile, why: "it does not give the hash in the tile above" });
        }
        if self.full.len() >= KEPT {
            // Those of the lowest level are the first, and are the least used again.
            self.full.pop_first();
        }
        self.full.insert((level, index), hashes);
        Ok(())
    }

    /// The leaves of entry bundle `index`, checked against their tile.
    ///
    /// # Errors
    /// [`ReadError`] when they cannot be had, are others, or the log has none there.
    pub fn entries(&mut self, index: u64) -> Result<Vec<Vec<u8>>, ReadError<E>> {
        let first = index.checked_mul(WIDTH.into()).filter(|first| *first < self.edge.size());
        let first = first.ok_or(ReadError::Outside)?;
        let width = (self.edge.size() - first).min(WIDTH.into());
        let tile = Tile::new(Holds::Entries, index, width as u16).ok_or(ReadError::Outside)?;
        let bytes = (self.fetch)(tile).map_err(|source| ReadError::Fetch { tile, source })?;
        let entries = tile
            .entries(&bytes)
            .map_err(|_: BadTile| ReadError::Forged { tile, why: "it does not hold its leaves, and nothing else" })?;
        let row = self.row(0, first, first + width)?;
        if !entries.iter().zip(row).all(|(entry, hash)| hash::leaf(entry) == *hash) {
            return Err(ReadError::Forged { tile, why: "a leaf has another hash" });
        }
        Ok(entries.into_iter().map(<[u8]>::to_vec).collect())
    }
}

fn hashes<E>(tile: Tile, fetch: &mut impl FnMut(Tile) -> Result<Vec<u8>, E>) -> Result<Vec<TreeHash>, ReadError<E>> {
    let bytes = fetch(tile).map_err(|source| ReadError::Fetch { tile, source })?;
    tile.hashes(&bytes).map_err(|_| ReadError::Forged { tile, why: "it does not hold its hashes, and nothing else" })
}

impl<E, F: FnMut(Tile) -> Result<Vec<u8>, E>> Subtrees for Reader<F> {
    type Error = ReadError<E>;
    fn subtree(&mut self, height: u32, index: u64) -> Result<TreeHash, Self::Error> {
        let below = height % HEIGHT;
        let level = u8::try_from(height / HEIGHT).map_err(|_| ReadError::Outside)?;
        let from = index.checked_shl(below).ok_or(ReadError::Outside)?;
        self.row(level, from, from + (1 << below)).map(hash::full)
    }
}
