//! What both stores have of erasures: runs are kept as their ids, one behind another, and blobs stay that a record names, or may name.

use std::collections::HashSet;

use stead_core::{
    code,
    id::{BlobId, RunId},
};
use stead_ports::{erasure::Naming, journal::StoreError};

/// Strikes out the blobs that a record names; false when it cannot be read.
pub(crate) fn strike_out(left: &mut HashSet<BlobId>, names: &Naming, record: &[u8]) -> bool {
    let Some(named) = names(record) else { return false };
    for blob in named {
        left.remove(&blob);
    }
    true
}

/// Why no blob is removed.
pub(crate) fn unread() -> StoreError {
    StoreError {
        code: code::ERASURE_UNFINISHED,
        detail: "a record cannot be read, and may name the same long texts: none of them is removed; `stead runs verify` tells \
                 of which run it is"
            .to_owned(),
    }
}

pub(crate) fn runs_of(runs: &[RunId]) -> Vec<u8> {
    runs.iter().flat_map(|run| run.0.to_be_bytes()).collect()
}

pub(crate) fn run_ids(bytes: &[u8]) -> Vec<RunId> {
    let (ids, _) = bytes.as_chunks::<16>();
    ids.iter().map(|id| RunId(u128::from_be_bytes(*id))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_a_record_names_is_struck_out_and_one_that_cannot_be_read_is_told() {
        let (one, other) = (BlobId([1; 32]), BlobId([2; 32]));
        let names: Naming = Arc::new(move |record: &[u8]| (record == b"good").then(|| vec![one]));
        let mut left = HashSet::from([one, other]);
        assert!(strike_out(&mut left, &names, b"good"));
        assert_eq!(left, HashSet::from([other]));
        assert!(!strike_out(&mut left, &names, b"damaged"));
    }
}
