//! What a restore could not open, because there was no key for it: it is restored without its texts, and an erasure of it is begun for each
//! person. Whoever opens the data next carries that out, and certifies that the texts are gone. None is begun of a person whom a legal hold
//! covers: what else there is of them stays.

use std::collections::{BTreeMap, HashSet};

use stead_core::{
    id::{Name, RunId},
    time::Timestamp,
};
use stead_ports::{
    clock::Clock as _,
    erasure::{Erasure, ErasureStore, MAX_RUNS},
    journal::{Journal, RunRow, StoreError},
};
use stead_store::Shut;

use super::plan::covered;
use crate::clock::SystemClock;

/// Who asked for these erasures, and confirmed them: nobody else can do both.
const BY: &str = "stead restore";

/// What was begun.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lost {
    /// Runs without their texts.
    pub(crate) runs: u64,
    /// Those of them that had not ended.
    pub(crate) unfinished: Vec<RunId>,
    /// Those of them of which no erasure is begun, for a legal hold is in force.
    pub(crate) held: u64,
}

/// Whether an erasure is about what a restore had no key for, and about nothing that the person has got since.
pub(super) fn is_lost(erasure: &Erasure) -> bool {
    let by_restore = |name: &Name| name.as_str() == BY;
    by_restore(&erasure.by) && erasure.confirmed_by.as_ref().is_some_and(by_restore)
}

/// Begins erasures of what had no key and is in no erasure that was done.
///
/// # Errors
/// When the store does not answer.
pub(crate) async fn begin_lost(
    journal: &dyn Journal,
    store: &dyn ErasureStore,
    shut: &Shut,
) -> Result<Lost, StoreError> {
    let mut lost = Lost::default();
    let known: HashSet<RunId> = store.erasures().await?.into_iter().flat_map(|one| one.runs).collect();
    let mut whose: BTreeMap<(Name, Name), Vec<RunRow>> = BTreeMap::new();
    for run in shut.runs().filter(|run| !known.contains(run)) {
        let Some(row) = journal.run(run).await? else { continue };
        if !row.state.status.ended() {
            lost.unfinished.push(run);
        }
        let subject = store.subject(run).await?.unwrap_or_else(|| "".into());
        whose.entry((row.tenant.clone(), subject)).or_default().push(row);
        lost.runs += 1;
    }
    for ((tenant, subject), rows) in whose {
        let holds = store.holds(Some(&tenant), false).await?;
        if holds.iter().any(|hold| covered(hold, &subject, &rows)) {
            lost.held += rows.len() as u64;
            continue;
        }
        let runs: Vec<RunId> = rows.iter().map(|row| row.id).collect();
        for runs in runs.chunks(MAX_RUNS) {
            let erasure = Erasure {
                id: SystemClock.new_ulid(),
                tenant: tenant.clone(),
                subject: store.pseudonym(&tenant, &subject),
                by: BY.into(),
                at: SystemClock.now(),
                runs: runs.to_vec(),
                proposed: false,
                confirmed_by: Some(BY.into()),
                certificate: None,
            };
            // There is no key to be destroyed: that of the person may be another one, which opens other backups. So it is done before it begins.
            store.destroy_keys(&Erasure { at: Timestamp(i64::MIN), ..erasure.clone() }).await?;
            store.begin_erasure(erasure, None, holds.iter().map(|hold| hold.id).collect()).await?;
        }
    }
    Ok(lost)
}
