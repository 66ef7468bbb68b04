//! The words for what policies count: an index of the journal, by tenant, in the order of its appends.

use bytes::Bytes;

/// What one append added to the counters of its tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedRow {
    /// Its place: higher than that of every append before.
    pub n: u64,
    /// What it says, encoded by the engine.
    pub body: Bytes,
}
