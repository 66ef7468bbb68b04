//! Which runs an erasure is about, and what stands against it.

use std::collections::BTreeSet;

use stead_core::id::{Name, RunId, SessionId};
use stead_ports::{
    erasure::{ErasureStore, Held, Hold},
    journal::{Journal, RunFilter, RunRow, Status, StoreError},
};

/// Runs read at once.
const PAGE: u32 = 1_000;

/// What an erasure is about.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Runs on behalf of the person, children included, in the order of their ids.
    pub(crate) runs: Vec<RunRow>,
    /// The ids of all holds of the tenant that were looked at.
    pub(crate) known: Vec<u128>,
    /// What stands against it.
    pub(crate) against: Option<Against>,
}

/// Why nothing is erased.
#[derive(Clone, Debug)]
pub(crate) enum Against {
    /// A hold covers it.
    Held(Hold),
    /// A run has not ended; of the person, or another one of a session of theirs.
    AtWork { run: RunId, status: Status, theirs: bool },
}

/// Looks at everything that a person's texts are in.
///
/// # Errors
/// When the store does not answer.
pub(crate) async fn plan(
    store: &dyn ErasureStore,
    journal: &dyn Journal,
    tenant: &Name,
    subject: &Name,
) -> Result<Plan, StoreError> {
    let mut runs: Vec<RunRow> = Vec::new();
    loop {
        let page = store.runs_of(tenant, subject, runs.last().map(|run| run.id), PAGE).await?;
        let full = page.len() == PAGE as usize;
        runs.extend(page);
        if !full {
            break;
        }
    }
    let holds = store.holds(Some(tenant), false).await?;
    let known = holds.iter().map(|hold| hold.id).collect();
    let held = holds.into_iter().find(|hold| covered(hold, subject, &runs)).map(Against::Held);
    let against = match held {
        Some(held) => Some(held),
        None => at_work(journal, tenant, &runs).await?,
    };
    Ok(Plan { runs, known, against })
}

/// Whether a hold covers something of a person with these runs.
pub(crate) fn covered(hold: &Hold, subject: &Name, runs: &[RunRow]) -> bool {
    match hold.what {
        Held::Tenant => true,
        Held::Subject => hold.name == *subject,
        Held::Session => {
            hold.name.parse::<SessionId>().is_ok_and(|session| runs.iter().any(|run| run.session == session))
        }
        Held::Run => hold.name.parse::<RunId>().is_ok_and(|held| {
            // Its children are on behalf of the same person, so that one of them is never there without it.
            runs.iter().any(|run| run.id == held || run.parent == Some(held))
        }),
    }
}

/// A run that has not ended: one of these, or another one of a session of theirs.
pub(super) async fn at_work(
    journal: &dyn Journal,
    tenant: &Name,
    runs: &[RunRow],
) -> Result<Option<Against>, StoreError> {
    let found = |run: &RunRow, theirs| Against::AtWork { run: run.id, status: run.state.status, theirs };
    if let Some(run) = runs.iter().find(|run| !run.state.status.ended()) {
        return Ok(Some(found(run, true)));
    }
    // What goes on with their conversation writes it anew.
    let sessions: BTreeSet<SessionId> = runs.iter().map(|run| run.session).collect();
    let status: Vec<Status> = Status::ALL.into_iter().filter(|status| !status.ended()).collect();
    for session in sessions {
        let filter = RunFilter {
            tenant: tenant.clone(),
            status: status.clone(),
            session: Some(session),
            limit: 1,
            ..RunFilter::default()
        };
        if let Some(run) = journal.runs(&filter).await?.first() {
            return Ok(Some(found(run, false)));
        }
    }
    Ok(None)
}
