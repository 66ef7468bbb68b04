//! How both stores keep the runs of an erasure: their ids one behind another.

use stead_core::id::RunId;

pub(crate) fn runs_of(runs: &[RunId]) -> Vec<u8> {
    runs.iter().flat_map(|run| run.0.to_be_bytes()).collect()
}

pub(crate) fn run_ids(bytes: &[u8]) -> Vec<RunId> {
    let (ids, _) = bytes.as_chunks::<16>();
    ids.iter().map(|id| RunId(u128::from_be_bytes(*id))).collect()
}
