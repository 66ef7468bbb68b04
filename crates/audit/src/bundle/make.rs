//! Makes a bundle out of a log's hashes, leaves and records. What must be read for it, the caller has read.

use super::file::{Bundle, Item, Link};
use crate::{
    note::Note,
    prove::{self, Subtrees},
};

/// A leaf that goes into a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its place in the log.
    pub index: u64,
    /// Its bytes.
    pub leaf: Vec<u8>,
    /// The record, when it is shown: texts that are not, [erased](stead_core::record::Body::Erased).
    pub record: Option<Vec<u8>>,
}

/// The bytes of a bundle: leaves by ascending index, the checkpoint of a log of `size` leaves, and links to the checkpoints
/// of the smaller sizes `links`.
///
/// # Errors
/// Those of `from`.
///
/// # Panics
/// When indexes or links do not ascend, or one is not below `size`.
pub fn make<S: Subtrees>(
    from: &mut S,
    note: &Note,
    size: u64,
    shown: &[Shown],
    links: &[u64],
) -> Result<Vec<u8>, S::Error> {
    assert!(
        links.is_sorted_by(|a, b| a < b) && links.last().is_none_or(|last| *last < size),
        "links ascend to the size"
    );
    let indexes: Vec<u64> = shown.iter().map(|shown| shown.index).collect();
    let proof = prove::selection(from, &indexes, size)?;
    let links = links
        .iter()
        .map(|other| {
            let path = prove::consistency(from, *other, size)?;
            Ok(Link { size: *other, path })
        })
        .collect::<Result<_, _>>()?;
    let items = shown
        .iter()
        .map(|shown| Item { index: shown.index, leaf: &shown.leaf, record: shown.record.as_deref() })
        .collect();
    let note = note.to_string();
    Ok(Bundle { note: &note, items, proof, links }.encode())
}
