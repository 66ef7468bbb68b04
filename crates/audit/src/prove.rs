//! Makes proofs out of full subtrees, wherever those come from: memory, or tiles that were checked. That a proof holds is
//! checked in [`crate::proof`], by other code.

use crate::hash::{self, TreeHash};

/// Where full subtrees come from.
pub trait Subtrees {
    /// Why one cannot be had.
    type Error;
    /// The hash over the leaves `index * 2^height` to `(index + 1) * 2^height - 1`, all of which are in the tree.
    ///
    /// # Errors
    /// When it cannot be had; the proof is then not made.
    fn subtree(&mut self, height: u32, index: u64) -> Result<TreeHash, Self::Error>;
}

/// The greatest power of two below `n`, which is above 1.
pub(crate) const fn split(n: u64) -> u64 {
    1 << (u64::BITS - 1 - (n - 1).leading_zeros())
}

/// The root of the first `size` leaves.
///
/// # Errors
/// Those of `from`.
pub fn root<S: Subtrees>(from: &mut S, size: u64) -> Result<TreeHash, S::Error> {
    if size == 0 { Ok(hash::empty()) } else { range(from, 0, size) }
}

/// The root over the leaves `start..end`: a subtree of some tree, so that `start` is a multiple of its greatest part.
fn range<S: Subtrees>(from: &mut S, start: u64, end: u64) -> Result<TreeHash, S::Error> {
    let n = end - start;
    if n.is_power_of_two() {
        return from.subtree(n.trailing_zeros(), start >> n.trailing_zeros());
    }
    let middle = start + split(n);
    let left = range(from, start, middle)?;
    Ok(hash::node(left, range(from, middle, end)?))
}

/// The inclusion proof of leaf `index` in the tree of the first `size` leaves (RFC 9162, section 2.1.3.1).
///
/// # Errors
/// Those of `from`.
///
/// # Panics
/// When `index` is not below `size`.
pub fn inclusion<S: Subtrees>(from: &mut S, index: u64, size: u64) -> Result<Vec<TreeHash>, S::Error> {
    assert!(index < size, "leaf {index} is not in a tree of {size}");
    let (mut start, mut end, mut path) = (0, size, Vec::new());
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(range(from, middle, end)?);
            end = middle;
        } else {
            path.push(range(from, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The consistency proof between the trees of the first `old` and the first `new` leaves (RFC 9162, section 2.1.4.1). From no
/// leaves, and between equal sizes, it is empty.
///
/// # Errors
/// Those of `from`.
///
/// # Panics
/// When `old` is above `new`.
pub fn consistency<S: Subtrees>(from: &mut S, old: u64, new: u64) -> Result<Vec<TreeHash>, S::Error> {
    assert!(old <= new, "a tree of {old} is not part of one of {new}");
    let mut path = Vec::new();
    if old == 0 {
        return Ok(path);
    }
    // Down to the subtree where the old tree ends; whether that one was a tree of the old log as it is.
    let (mut start, mut end, mut whole) = (0, new, true);
    while end != old {
        let middle = start + split(end - start);
        if old <= middle {
            path.push(range(from, middle, end)?);
            end = middle;
        } else {
            path.push(range(from, start, middle)?);
            (start, whole) = (middle, false);
        }
    }
    if !whole {
        path.push(range(from, start, end)?);
    }
    path.reverse();
    Ok(path)
}

/// The proof of many leaves at once, by ascending `indexes`, in the tree of the first `size` leaves: see "Proof of a
/// selection" in `docs/audit-log.md`.
///
/// # Errors
/// Those of `from`.
///
/// # Panics
/// When an index is not below `size`, or not above the one before.
pub fn selection<S: Subtrees>(from: &mut S, indexes: &[u64], size: u64) -> Result<Vec<TreeHash>, S::Error> {
    assert!(indexes.is_sorted_by(|a, b| a < b), "indexes ascend");
    assert!(indexes.last().is_none_or(|last| *last < size), "a leaf is not in a tree of {size}");
    let mut out = Vec::new();
    if size > 0 {
        select(from, indexes, 0, size, &mut out)?;
    }
    Ok(out)
}

fn select<S: Subtrees>(
    from: &mut S,
    indexes: &[u64],
    start: u64,
    end: u64,
    out: &mut Vec<TreeHash>,
) -> Result<(), S::Error> {
    if indexes.is_empty() {
        out.push(range(from, start, end)?);
    } else if end - start > 1 {
        let middle = start + split(end - start);
        let (left, right) = indexes.split_at(indexes.partition_point(|index| *index < middle));
        select(from, left, start, middle, out)?;
        select(from, right, middle, end, out)?;
    }
    Ok(())
}
