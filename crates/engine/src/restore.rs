//! Runs out of a backup, before anything works on them: each that had not ended gets the fact that says so, which pauses
//! it. No engine is open then, no agent is loaded, and nothing is begun.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use stead_core::{
    budget::moves,
    id::{ActivationId, RunId},
    record::{Actor as By, Header, Record, VERSION},
    run::{Command, Decision, Inputs, Refusal, Shut, decide},
    time::Timestamp,
};
use stead_ports::{
    clock::Clock,
    journal::{Append, IndexChange, Journal, Lease, Status, partition},
};

use crate::{
    load::{Loaded, load},
    types::EngineError,
    usage, view,
};

/// Runs that are marked at a time; their appends share a sync.
const AT_ONCE: usize = 64;

/// A restore, as the runs are told of it.
#[derive(Clone, Copy, Debug)]
pub struct Restore {
    /// The ownership of the restored journal.
    pub lease: Lease,
    /// Its generation from now on.
    pub generation: u32,
    /// When the backup was taken.
    pub taken: Timestamp,
}

/// What became of some runs.
#[derive(Clone, Debug, Default)]
pub struct Marked {
    /// Runs that are paused now.
    pub paused: u64,
    /// Runs that cannot be folded, and why. No engine works on them.
    pub set_aside: Vec<(RunId, String)>,
}

/// Marks runs of a restored journal.
///
/// # Errors
/// When the store does not answer or does not take a record.
pub async fn mark_restored(
    journal: &Arc<dyn Journal>,
    clock: &dyn Clock,
    restore: Restore,
    runs: &[RunId],
) -> Result<Marked, EngineError> {
    let mut marked = Marked::default();
    let mut marks = stream::iter(runs)
        .map(|run| async move { (*run, mark(journal, clock, restore, *run).await) })
        .buffered(AT_ONCE);
    while let Some((run, done)) = marks.next().await {
        match done {
            Ok(paused) => marked.paused += u64::from(paused),
            Err(EngineError::Quarantined { why, .. }) => marked.set_aside.push((run, why)),
            Err(other) => return Err(other),
        }
    }
    Ok(marked)
}

/// Marks one run; says whether it is paused now, which one that was being stopped is not.
async fn mark(
    journal: &Arc<dyn Journal>,
    clock: &dyn Clock,
    restore: Restore,
    run: RunId,
) -> Result<bool, EngineError> {
    let missing = || EngineError::NotFound { what: run.to_string() };
    let Loaded { row, state, prev, .. } = load(journal, run).await?.ok_or_else(missing)?;
    let Restore { lease, generation, taken } = restore;
    if row.state.status == Status::Running {
        usage::tell_anew(journal, lease, run).await?;
    }
    let random = clock.random();
    let (id, _) = random.split_first_chunk().expect("sixteen bytes are more than eight");
    let activation = ActivationId(u64::from_be_bytes(*id));
    let inputs = Inputs { now: clock.now(), activation, gate: &Shut };
    let decision = match decide(&state, Command::Restore { generation, taken }, inputs) {
        Ok(decision) => decision,
        Err(Refusal::Ended) => return Ok(false),
        Err(refusal) => return Err(EngineError::Conflict { why: refusal.to_string() }),
    };
    let Decision { facts, mut payloads, state: after, at } = decision;
    payloads.iter_mut().for_each(|payload| payload.blind = Some(clock.random()));
    let header = Header {
        v: VERSION,
        run,
        seq: state.next_seq,
        at,
        activation,
        epoch: lease.epoch,
        tenant: state.tenant.clone(),
        actor: By::Runtime,
        salt: clock.random(),
        subject_key: None,
    };
    let budgets = moves(state.slice.as_ref(), &facts);
    let encoded = Record { header, facts, payloads }.encode(prev);
    let index = IndexChange { run: Some(view::run_state(&after, at)), budgets, ..IndexChange::default() };
    journal
        .append(Append {
            run,
            tenant: state.tenant.clone(),
            partition: partition(state.session),
            seq: state.next_seq,
            epoch: lease.epoch,
            record: encoded.bytes,
            leaf: encoded.leaf,
            at,
            blobs: Vec::new(),
            index: Some(Box::new(index)),
        })
        .await?;
    Ok(after.paused)
}
