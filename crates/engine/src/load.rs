//! A run out of the journal: its snapshot and the records after it, folded; its chain of hashes checked on the way.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use stead_core::{
    code,
    fact::Fact,
    id::{LeafHash, RunId},
    record::Record,
    run::{Carry, GENESIS, STATE_VERSION, State, fold},
};
use stead_ports::journal::{Journal, Snapshot, StoreError};

use crate::types::EngineError;

/// Records read at once.
const PAGE: u32 = 1_000;

/// A folded run and the hash its next record chains to.
pub(crate) struct Loaded {
    pub(crate) state: State,
    pub(crate) prev: LeafHash,
    /// Records since the snapshot it was folded from.
    pub(crate) tail: u64,
}

/// Reads every record of a run from `from`, checking the chain from `prev`.
pub(crate) async fn records(
    journal: &Arc<dyn Journal>,
    run: RunId,
    mut from: u64,
    mut prev: LeafHash,
) -> Result<(Vec<Record>, LeafHash), EngineError> {
    let mut out = Vec::new();
    loop {
        let page = journal.read(run, from, PAGE).await?;
        let full = page.len() == PAGE as usize;
        for stored in page {
            let quarantine = |why: String| EngineError::Quarantined { run, why };
            if stored.seq != from {
                return Err(quarantine(format!("record {from} is missing")));
            }
            let (record, leaf) =
                Record::decode(&stored.bytes, prev).map_err(|e| quarantine(format!("record {from}: {e}")))?;
            if leaf != stored.leaf {
                return Err(quarantine(format!("record {from} does not match its hash")));
            }
            prev = leaf;
            from += 1;
            out.push(record);
        }
        if !full {
            return Ok((out, prev));
        }
    }
}

/// Loads a run; `None` if it does not exist.
pub(crate) async fn load(journal: &Arc<dyn Journal>, run: RunId) -> Result<Option<Loaded>, EngineError> {
    if let Some(loaded) = from_snapshot(journal, run).await? {
        return Ok(Some(loaded));
    }
    let (records, prev) = records(journal, run, 0, GENESIS).await?;
    if records.is_empty() {
        return Ok(None);
    }
    let base = records.iter().flat_map(|r| &r.facts).find_map(|f| match f {
        Fact::RunAdmitted(f) => f.base,
        _ => None,
    });
    let mut carry = match base {
        Some(base) => Some(carry_of(journal, base).await?),
        None => None,
    };
    let tail = records.len() as u64;
    let state = guarded(run, || fold(&records, |_| carry.take().unwrap_or_default()))?
        .ok_or_else(|| EngineError::Quarantined { run, why: "its first record is not a start".into() })?;
    Ok(Some(Loaded { state, prev, tail }))
}

/// What a run hands over to the next one of its session.
pub(crate) async fn carry_of(journal: &Arc<dyn Journal>, run: RunId) -> Result<Carry, EngineError> {
    let loaded = Box::pin(load(journal, run)).await?;
    loaded.map(|l| l.state.carry()).ok_or_else(|| EngineError::NotFound { what: run.to_string() })
}

async fn from_snapshot(journal: &Arc<dyn Journal>, run: RunId) -> Result<Option<Loaded>, EngineError> {
    let Some(snapshot) = journal.snapshot(run).await? else { return Ok(None) };
    if snapshot.version != STATE_VERSION {
        return Ok(None);
    }
    // A snapshot that cannot be read is discarded, like one of another version: the journal is the truth.
    let Ok(mut state) = minicbor_decode(&snapshot) else { return Ok(None) };
    let (records, prev) = records(journal, run, snapshot.seq, snapshot.leaf).await?;
    guarded(run, || records.iter().for_each(|r| state.apply_record(r, |_| Carry::default())))?;
    Ok(Some(Loaded { state, prev, tail: records.len() as u64 }))
}

fn minicbor_decode(snapshot: &Snapshot) -> Result<State, StoreError> {
    State::from_snapshot(&snapshot.body).map_err(|e| StoreError { code: code::DATA_DAMAGED, detail: e.to_string() })
}

/// A fold that panics sets this run aside and no other.
fn guarded<T>(run: RunId, fold: impl FnOnce() -> T) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(fold)).map_err(|panic| {
        let why = panic
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "the fold panicked".to_owned());
        EngineError::Quarantined { run, why }
    })
}
