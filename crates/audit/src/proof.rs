//! Checks proofs. Whatever comes in may be made by an attacker: nothing panics, and no work is longer than what came.

use crate::{
    MAX_SIZE,
    hash::{self, TreeHash},
    prove::split,
};

/// A proof that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadProof {
    /// It is about a leaf or a tree that there cannot be.
    #[error("there is no such leaf or tree")]
    Outside,
    /// It has too few or too many hashes.
    #[error("it has too few or too many hashes")]
    Length,
    /// It leads to another root.
    #[error("it leads to another root")]
    Root,
}

const fn holds(yes: bool) -> Result<(), BadProof> {
    if yes { Ok(()) } else { Err(BadProof::Root) }
}

/// Whether the leaf with that hash is leaf `index` of the tree of `size` leaves with that `root` (RFC 9162, section 2.1.3.2).
///
/// # Errors
/// [`BadProof`] when that is not proven.
pub fn inclusion(leaf: TreeHash, index: u64, size: u64, path: &[TreeHash], root: TreeHash) -> Result<(), BadProof> {
    if index >= size || size > MAX_SIZE {
        return Err(BadProof::Outside);
    }
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for step in path {
        if last == 0 {
            return Err(BadProof::Length);
        }
        if at & 1 == 1 || at == last {
            hash = hash::node(*step, hash);
            // Levels at which this is an only child have no hash in the proof.
            let skip = at.trailing_zeros();
            (at, last) = (at >> skip, last >> skip);
        } else {
            hash = hash::node(hash, *step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last != 0 {
        return Err(BadProof::Length);
    }
    holds(hash == root)
}

/// Whether the tree of `old` leaves is the beginning of that of `new` leaves (RFC 9162, section 2.1.4.2).
///
/// # Errors
/// [`BadProof`] when that is not proven.
pub fn consistency(
    (old, old_root): (u64, TreeHash),
    (new, new_root): (u64, TreeHash),
    path: &[TreeHash],
) -> Result<(), BadProof> {
    if old > new || new > MAX_SIZE {
        return Err(BadProof::Outside);
    }
    if old == new || old == 0 {
        let same = if old == new { new_root } else { hash::empty() };
        return if path.is_empty() { holds(old_root == same) } else { Err(BadProof::Length) };
    }
    // What is left of the old tree at the level where it is a full subtree: that one begins, or the first hash does.
    let shift = (old - 1).trailing_ones();
    let (mut at, mut last) = ((old - 1) >> shift, (new - 1) >> shift);
    let (first, path) = match (at, path.split_first()) {
        (0, _) => (old_root, path),
        (_, Some((first, rest))) => (*first, rest),
        (_, None) => return Err(BadProof::Length),
    };
    let (mut was, mut is) = (first, first);
    for step in path {
        if last == 0 {
            return Err(BadProof::Length);
        }
        if at & 1 == 1 || at == last {
            was = hash::node(*step, was);
            is = hash::node(*step, is);
            let skip = at.trailing_zeros();
            (at, last) = (at >> skip, last >> skip);
        } else {
            is = hash::node(is, *step);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last != 0 {
        return Err(BadProof::Length);
    }
    holds(was == old_root && is == new_root)
}

/// Whether these leaves, by ascending index, are those of the tree of `size` leaves with that `root`: see "Proof of a
/// selection" in `docs/audit-log.md`.
///
/// # Errors
/// [`BadProof`] when that is not proven.
pub fn selection(leaves: &[(u64, TreeHash)], size: u64, path: &[TreeHash], root: TreeHash) -> Result<(), BadProof> {
    let ascend = leaves.is_sorted_by(|(a, _), (b, _)| a < b);
    if size > MAX_SIZE || !ascend || leaves.last().is_some_and(|(index, _)| *index >= size) {
        return Err(BadProof::Outside);
    }
    let mut path = path.iter();
    let hash = if size == 0 { hash::empty() } else { fold(leaves, 0, size, &mut path)? };
    if path.next().is_some() {
        return Err(BadProof::Length);
    }
    holds(hash == root)
}

/// The root over `start..end`: 63 calls deep at most, and not more of them than twice the leaves and hashes there are.
fn fold(
    leaves: &[(u64, TreeHash)],
    start: u64,
    end: u64,
    path: &mut std::slice::Iter<'_, TreeHash>,
) -> Result<TreeHash, BadProof> {
    match leaves {
        [] => path.next().copied().ok_or(BadProof::Length),
        [(_, hash)] if end - start == 1 => Ok(*hash),
        _ => {
            let middle = start + split(end - start);
            // Where all are there, nothing need be searched.
            let all = leaves.len() as u64 == end - start;
            let left = if all { (middle - start) as usize } else { leaves.partition_point(|(at, _)| *at < middle) };
            let (left, right) = leaves.split_at(left);
            let left = fold(left, start, middle, path)?;
            Ok(hash::node(left, fold(right, middle, end, path)?))
        }
    }
}
