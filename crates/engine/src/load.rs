//! A run out of the journal: its snapshot and the records after it, folded; its chain of hashes checked on the way.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use stead_core::{
    fact::Fact,
    id::{LeafHash, RunId},
    record::Record,
    run::{Carry, GENESIS, STATE_VERSION, State, fold},
    time::Timestamp,
};
use stead_ports::journal::{Journal, OpenedRun, RunRow, StoredRecord};

use crate::types::EngineError;

/// Records read at once.
const PAGE: u32 = 1_000;

/// A folded run and the hash its next record chains to.
pub(crate) struct Loaded {
    pub(crate) row: RunRow,
    pub(crate) state: Box<State>,
    pub(crate) prev: LeafHash,
    /// Records folded since a snapshot, those of the runs it stands on included.
    pub(crate) tail: u64,
}

/// A run as read, before it is folded.
struct Unfolded {
    row: RunRow,
    /// The state of its snapshot, when there is a usable one.
    start: Option<State>,
    records: Vec<Record>,
    prev: LeafHash,
}

/// Loads a run; `None` if it does not exist.
pub(crate) async fn load(journal: &Arc<dyn Journal>, run: RunId) -> Result<Option<Loaded>, EngineError> {
    // The runs that its conversation stands on, newest first. A loop and not a recursion: a session may have thousands.
    let Some(unfolded) = read(journal, run).await? else { return Ok(None) };
    let mut chain = vec![unfolded];
    while let Some(base) = chain.last().and_then(Unfolded::base) {
        let missing = || EngineError::NotFound { what: base.to_string() };
        chain.push(read(journal, base).await?.ok_or_else(missing)?);
    }
    let (mut carry, mut folded) = (None, 0);
    loop {
        let Some(next) = chain.pop() else { return Ok(None) };
        let loaded = next.fold(carry.take())?;
        folded += loaded.tail;
        if chain.is_empty() {
            return Ok(Some(Loaded { tail: folded, ..loaded }));
        }
        carry = Some(loaded.state.carry());
    }
}

/// What a run hands over to the next one of its session, and how many records it is since a snapshot of that.
pub(crate) async fn carry_of(journal: &Arc<dyn Journal>, run: RunId) -> Result<(Carry, u64), EngineError> {
    let loaded = load(journal, run).await?;
    loaded.map(|l| (l.state.carry(), l.tail)).ok_or_else(|| EngineError::NotFound { what: run.to_string() })
}

/// A run folded up to a record, whatever came after it.
pub(crate) struct Stopped<T> {
    /// Its state after that record.
    pub(crate) state: State,
    /// What was looked for.
    pub(crate) found: T,
    /// The record's time.
    pub(crate) at: Timestamp,
    /// Entries of the conversation that stem from earlier runs of the session.
    pub(crate) earlier: usize,
}

/// Folds a run up to the last record with a fact that is looked for; `None` if there is none.
pub(crate) async fn up_to_last<T>(
    journal: &Arc<dyn Journal>,
    run: RunId,
    look: impl Fn(&Fact) -> Option<T>,
) -> Result<Option<Stopped<T>>, EngineError> {
    let records = records(journal, run).await?;
    let last = records.iter().enumerate().rev();
    let found = last.flat_map(|(n, r)| r.facts.iter().filter_map(&look).last().map(|found| (n, found))).next();
    let Some((n, found)) = found else { return Ok(None) };
    let records = &records[..=n];
    let carry = match base(records) {
        Some(base) => carry_of(journal, base).await?.0,
        None => Carry::default(),
    };
    let earlier = carry.transcript.len();
    let mut carry = Some(carry);
    let state = guarded(run, || fold(records, &mut |_| carry.take().unwrap_or_default()))?;
    let state = state.ok_or_else(|| EngineError::Quarantined { run, why: "its first record is not a start".into() })?;
    Ok(Some(Stopped { state, found, at: records[n].header.at, earlier }))
}

/// Folds a run from its first record, and shows each record with the state after it.
pub(crate) async fn each(
    journal: &Arc<dyn Journal>,
    run: RunId,
    look: impl FnMut(&State, &Record),
) -> Result<(), EngineError> {
    let records = records(journal, run).await?;
    each_of(journal, run, &records, look).await
}

/// The same of these records.
pub(crate) async fn each_of(
    journal: &Arc<dyn Journal>,
    run: RunId,
    records: &[Record],
    mut look: impl FnMut(&State, &Record),
) -> Result<(), EngineError> {
    let mut carry = match base(records) {
        Some(base) => Some(carry_of(journal, base).await?.0),
        None => None,
    };
    let mut inherit = |_| carry.take().unwrap_or_default();
    guarded(run, || {
        let mut state: Option<State> = None;
        for record in records {
            match &mut state {
                Some(state) => state.apply_record(record, &mut inherit),
                None => state = fold([record], &mut inherit),
            }
            if let Some(state) = &state {
                look(state, record);
            }
        }
    })
}

/// All records of a run, their chain checked.
pub(crate) async fn records(journal: &Arc<dyn Journal>, run: RunId) -> Result<Vec<Record>, EngineError> {
    if journal.run(run).await?.is_none() {
        return Err(EngineError::NotFound { what: run.to_string() });
    }
    let page = journal.read(run, 0, PAGE).await?;
    Ok(decode(journal, run, 0, GENESIS, page).await?.0)
}

/// One record of a run; its place in the chain is not looked at.
pub(crate) async fn record(journal: &Arc<dyn Journal>, run: RunId, seq: u64) -> Result<Option<Record>, EngineError> {
    let stored = journal.read(run, seq, 1).await?;
    let found = stored.first().filter(|stored| stored.seq == seq);
    Ok(found.and_then(|stored| Record::decode(&stored.bytes, GENESIS).ok()).map(|(record, _)| record))
}

/// The run whose conversation these records continue.
pub(crate) fn base(records: &[Record]) -> Option<RunId> {
    records.iter().flat_map(|r| &r.facts).find_map(|f| match f {
        Fact::RunAdmitted(f) => f.base,
        _ => None,
    })
}

async fn read(journal: &Arc<dyn Journal>, run: RunId) -> Result<Option<Unfolded>, EngineError> {
    let Some(opened) = journal.open(run, PAGE).await? else { return Ok(None) };
    let OpenedRun { row, snapshot, records } = opened;
    let Some(snapshot) = snapshot else {
        let (records, prev) = decode(journal, run, 0, GENESIS, records).await?;
        return Ok(Some(Unfolded { row, start: None, records, prev }));
    };
    // A snapshot of another version, or one that cannot be read or does not fit, is discarded: the journal is the truth.
    if snapshot.version == STATE_VERSION
        && let Ok(state) = State::from_snapshot(&snapshot.body)
    {
        match decode(journal, run, snapshot.seq, snapshot.leaf, records).await {
            Ok((records, prev)) => return Ok(Some(Unfolded { row, start: Some(state), records, prev })),
            Err(EngineError::Quarantined { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    let page = journal.read(run, 0, PAGE).await?;
    let (records, prev) = decode(journal, run, 0, GENESIS, page).await?;
    Ok(Some(Unfolded { row, start: None, records, prev }))
}

/// Decodes a page of records and those after it, checking positions and the chain from `prev`.
async fn decode(
    journal: &Arc<dyn Journal>,
    run: RunId,
    mut from: u64,
    mut prev: LeafHash,
    mut page: Vec<StoredRecord>,
) -> Result<(Vec<Record>, LeafHash), EngineError> {
    let quarantine = |why: String| EngineError::Quarantined { run, why };
    let mut out = Vec::with_capacity(page.len());
    loop {
        let full = page.len() == PAGE as usize;
        for stored in page {
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
        page = journal.read(run, from, PAGE).await?;
    }
}

impl Unfolded {
    /// The run whose conversation this one continues, unless the snapshot has it already.
    fn base(&self) -> Option<RunId> {
        base(&self.records)
    }

    fn fold(self, carry: Option<Carry>) -> Result<Loaded, EngineError> {
        let Self { row, start, records, prev } = self;
        let (run, tail) = (row.id, records.len() as u64);
        let mut carry = carry;
        let mut inherit = |_| carry.take().unwrap_or_default();
        let state = guarded(run, || match start {
            Some(mut state) => {
                records.iter().for_each(|r| state.apply_record(r, &mut inherit));
                Some(state)
            }
            None => fold(&records, &mut inherit),
        })?;
        let state =
            state.ok_or_else(|| EngineError::Quarantined { run, why: "its first record is not a start".into() })?;
        Ok(Loaded { row, state: Box::new(state), prev, tail })
    }
}

/// A fold that panics sets this run aside and no other.
pub(crate) fn guarded<T>(run: RunId, fold: impl FnOnce() -> T) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(fold)).map_err(|panic| {
        let why = panic
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "the fold panicked".to_owned());
        EngineError::Quarantined { run, why }
    })
}
