//! What a restore could not open, because there was no key for it: it is restored without its texts, and an erasure of it is begun for each
//! person. Whoever opens the data next carries that out, and certifies that the texts are gone.

use std::collections::{BTreeMap, HashSet};

use stead_core::{
    id::{Name, RunId},
    time::Timestamp,
};
use stead_ports::{
    clock::Clock as _,
    erasure::{Erasure, ErasureStore, MAX_RUNS},
    journal::{Journal, StoreError},
};
use stead_store::Shut;

use crate::clock::SystemClock;

/// Who asked for these erasures.
const BY: &str = "stead restore";

/// What was begun.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lost {
    /// Runs without their texts.
    pub(crate) runs: u64,
    /// Those of them that had not ended.
    pub(crate) unfinished: Vec<RunId>,
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
    let mut whose: BTreeMap<(Name, Name), Vec<RunId>> = BTreeMap::new();
    for run in shut.runs().filter(|run| !known.contains(run)) {
        let Some(row) = journal.run(run).await? else { continue };
        if !row.state.status.ended() {
            lost.unfinished.push(run);
        }
        let subject = store.subject(run).await?.unwrap_or_else(|| "".into());
        whose.entry((row.tenant, subject)).or_default().push(run);
        lost.runs += 1;
    }
    for ((tenant, subject), runs) in whose {
        for runs in runs.chunks(MAX_RUNS) {
            let erasure = Erasure {
                id: SystemClock.new_ulid(),
                tenant: tenant.clone(),
                subject: store.pseudonym(&tenant, &subject),
                by: BY.into(),
                at: SystemClock.now(),
                runs: runs.to_vec(),
                proposed: false,
                confirmed_by: None,
                certificate: None,
            };
            // There is no key to be destroyed: that of the person may be another one, which opens other backups. So it is done before it begins.
            store.destroy_keys(&Erasure { at: Timestamp(i64::MIN), ..erasure.clone() }).await?;
            // Its texts are not there any more, whatever is held.
            let holds = store.holds(Some(&tenant), false).await?.iter().map(|hold| hold.id).collect();
            store.begin_erasure(erasure, None, holds).await?;
        }
    }
    Ok(lost)
}
