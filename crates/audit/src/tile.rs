//! Where a log's hashes and leaves are in files (C2SP tlog-tiles): 256 to a tile, and paths that a plain web server serves.

use std::{fmt, str::FromStr};

use crate::{
    MAX_SIZE,
    hash::{self, TreeHash},
    leaf,
};

/// Hashes or leaves of a full tile.
pub const WIDTH: u16 = 256;
/// Levels of the tree that a tile spans.
pub const HEIGHT: u32 = 8;
/// Levels of tiles that the largest log has.
pub const LEVELS: u8 = 8;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holds {
    /// Hashes of nodes of height `8 * level`; level 0 has those of leaves.
    Hashes(u8),
    /// Leaves themselves: an entry bundle.
    Entries,
}

/// The place of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    holds: Holds,
    index: u64,
    width: u16,
}

/// Text that is no path of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a path of a tile (`tile/0/x001/234`, `tile/entries/000.p/17`)")]
pub struct BadPath;

/// Bytes that cannot be what a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tile does not hold {0} entries or hashes, and nothing else")]
pub struct BadTile(pub u16);

/// A leaf that no entry bundle can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a leaf has {0} bytes, and {max} at most", max = leaf::MAX_LEN)]
pub struct TooLong(pub usize);

impl Tile {
    /// The tile of that place; `None` when no log has it.
    pub fn new(holds: Holds, index: u64, width: u16) -> Option<Self> {
        let level = match holds {
            Holds::Hashes(level) => level,
            Holds::Entries => 0,
        };
        let first = (level < LEVELS).then(|| u128::from(index) << (HEIGHT * (u32::from(level) + 1)))?;
        ((1..=WIDTH).contains(&width) && first <= u128::from(MAX_SIZE)).then_some(Self { holds, index, width })
    }

    /// What it holds.
    pub const fn holds(&self) -> Holds {
        self.holds
    }

    /// Which of its level, from 0.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// Hashes or leaves in it.
    pub const fn width(&self) -> u16 {
        self.width
    }

    /// The tiles of hashes at the right edge of a log of `size` leaves, the lowest level first: those that are not full.
    pub fn edge(size: u64) -> impl Iterator<Item = Self> {
        (0..LEVELS).filter_map(move |level| {
            let nodes = size >> (HEIGHT * u32::from(level));
            Self::new(Holds::Hashes(level), nodes >> HEIGHT, (nodes % u64::from(WIDTH)) as u16)
        })
    }

    /// Reads the hashes of the tile.
    ///
    /// # Errors
    /// [`BadTile`] when the bytes are more or less than its hashes.
    pub fn hashes(&self, bytes: &[u8]) -> Result<Vec<TreeHash>, BadTile> {
        hash::split(bytes).filter(|hashes| hashes.len() == usize::from(self.width)).ok_or(BadTile(self.width))
    }

    /// Reads the leaves of the tile.
    ///
    /// # Errors
    /// [`BadTile`] when the bytes are more or less than its leaves.
    pub fn entries<'a>(&self, mut bytes: &'a [u8]) -> Result<Vec<&'a [u8]>, BadTile> {
        let mut out = Vec::new();
        while let Some((len, rest)) = bytes.split_first_chunk() {
            let (entry, rest) = rest.split_at_checked(u16::from_be_bytes(*len).into()).ok_or(BadTile(self.width))?;
            if out.len() == usize::from(self.width) {
                return Err(BadTile(self.width));
            }
            out.push(entry);
            bytes = rest;
        }
        if bytes.is_empty() && out.len() == usize::from(self.width) { Ok(out) } else { Err(BadTile(self.width)) }
    }
}

/// Leaves one behind another, as an entry bundle has them.
///
/// # Errors
/// [`TooLong`] when one is.
pub fn bundle<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, TooLong> {
    let mut out = Vec::new();
    for entry in entries {
        let len = u16::try_from(entry.len()).map_err(|_| TooLong(entry.len()))?;
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(entry);
    }
    Ok(out)
}

/// The path below the log, as `tile/0/x001/234` or `tile/entries/000.p/17`.
impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.holds {
            Holds::Hashes(level) => write!(f, "tile/{level}/")?,
            Holds::Entries => f.write_str("tile/entries/")?,
        }
        let mut above = 1;
        while self.index / above >= 1000 {
            above *= 1000;
        }
        while above > 1 {
            write!(f, "x{:03}/", self.index / above % 1000)?;
            above /= 1000;
        }
        write!(f, "{:03}", self.index % 1000)?;
        if self.width < WIDTH { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

impl FromStr for Tile {
    type Err = BadPath;
    fn from_str(path: &str) -> Result<Self, BadPath> {
        let rest = path.strip_prefix("tile/").filter(|_| path.len() < 64).ok_or(BadPath)?;
        let (level, rest) = rest.split_once('/').ok_or(BadPath)?;
        let holds = match level {
            "entries" => Holds::Entries,
            level => Holds::Hashes(level.parse().map_err(|_| BadPath)?),
        };
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, width.parse().map_err(|_| BadPath)?),
            None => (rest, WIDTH),
        };
        let index = index.split('/').try_fold(0_u64, |index, group| {
            let group = group.strip_prefix('x').unwrap_or(group).parse::<u64>().ok()?;
            index.checked_mul(1000)?.checked_add(group)
        });
        // What is written differently is another path, and there is none of the same tile.
        index.and_then(|index| Self::new(holds, index, width)).filter(|tile| tile.to_string() == path).ok_or(BadPath)
    }
}
