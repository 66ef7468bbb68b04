//! Erasing the texts of runs that have ended: what takes the place of their records, and which blobs a record names. Facts, hashes and
//! what follows from them stay, so that every fold and every proof is as before.
//!
//! Not here: which runs these are, and what else there is of them (the server).

use std::sync::Arc;

use stead_core::{
    fact::Fact,
    id::{LeafHash, Name, RunId, TreeId},
    record::{self, Record},
    run::GENESIS,
};
use stead_ports::{
    erasure::{Bare, BareRun, Naming},
    journal::Journal,
};

use crate::types::EngineError;

/// Records read at once.
const PAGE: u32 = 200;
/// Bytes of records in one transaction, about.
const PART: usize = 8 << 20;

/// What a run is without its texts.
#[derive(Clone, Debug)]
pub struct Erased {
    /// What is to be written, a part at a time.
    pub parts: Vec<BareRun>,
    /// Records.
    pub records: u64,
    /// Texts.
    pub texts: u64,
    /// The leaf hash of the last record.
    pub last: LeafHash,
}

/// Looks at all records of a run and says what they are without their texts; with `keep` false only counts are told.
///
/// # Errors
/// When the store does not answer, or a record cannot be read: then its texts cannot be told from the rest.
pub async fn without_texts(
    journal: &Arc<dyn Journal>,
    tenant: &Name,
    run: RunId,
    keep: bool,
) -> Result<Erased, EngineError> {
    let quarantine = |why: String| EngineError::Quarantined { run, why };
    let part = || BareRun { tenant: tenant.clone(), run, records: Vec::new(), blobs: Vec::new() };
    let (mut from, mut prev, mut bytes) = (0, GENESIS, 0);
    let mut erased = Erased { parts: vec![part()], records: 0, texts: 0, last: prev };
    loop {
        let page = journal.read(run, from, PAGE).await?;
        let full = page.len() == PAGE as usize;
        for stored in page {
            let bare = record::erased(&stored.bytes, prev).map_err(|e| quarantine(format!("record {from}: {e}")))?;
            if stored.seq != from || bare.leaf != stored.leaf {
                return Err(quarantine(format!("record {from} is missing or does not match its hash")));
            }
            (from, prev) = (from + 1, stored.leaf);
            erased.records += 1;
            erased.texts += bare.texts as u64;
            if !keep || !bare.changed {
                continue;
            }
            bytes += bare.bytes.len();
            if let Some(last) = erased.parts.last_mut() {
                last.blobs.extend(bare.blobs);
                last.records.push(Bare { seq: stored.seq, leaf: stored.leaf, bytes: bare.bytes });
            }
            if bytes > PART {
                erased.parts.push(part());
                bytes = 0;
            }
        }
        erased.last = prev;
        if !full {
            return Ok(erased);
        }
    }
}

/// The trees of workspaces that a record names, if it can be read.
pub fn trees_named(record: &[u8]) -> Vec<TreeId> {
    let Ok((record, _)) = Record::decode(record, GENESIS) else { return Vec::new() };
    let changes = record.facts.iter().filter_map(Fact::action).filter_map(|action| action.workspace);
    changes.flat_map(|change| change.before.into_iter().chain([change.after])).collect()
}

/// The blobs that a record names, if it can be read.
pub fn blobs_of() -> Naming {
    Arc::new(|bytes| Record::decode(bytes, GENESIS).ok().map(|(record, _)| record.blobs().collect()))
}
