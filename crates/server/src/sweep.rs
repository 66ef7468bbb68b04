//! The sweep of workspaces, in the background of a server: content goes to which no fact leads, no session sandbox that lives, and which
//! nobody holds any more. It takes its time: tenants follow one another, and journals are read a few runs at a time.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use stead_core::{
    id::{BlobId, Name, RunId, TreeId},
    time::Timestamp,
};
use stead_engine::{EngineError, trees_of};
use stead_ports::{
    clock::Clock as _,
    erasure::{ErasureStore, Held, KeptTree},
    journal::{Journal, RunFilter, RunRow, StoreError},
    objects::Objects,
};
use stead_workspace::{Swept, WorkspaceError};

use crate::{
    clock::SystemClock,
    http::app::{App, Shared},
};

/// Runs that are read before others have their turn.
const RUNS: u32 = 64;
/// How long they have it.
const PAUSE: Duration = Duration::from_millis(10);
/// The first sweep does not wait longer.
const FIRST: Duration = Duration::from_secs(600);
/// What was held until then may be held anew on a server whose clock is behind.
const MARGIN: Duration = Duration::from_secs(360);

/// Sweeps again and again, until the server drains.
pub(crate) async fn keep(app: Shared) {
    let mut pause = app.sweep.min(FIRST);
    loop {
        let turn = async {
            tokio::time::sleep(pause).await;
            all(&app).await;
        };
        // A sweep may be given up anywhere: whatever it has removed was of no use.
        if app.draining.run_until_cancelled(turn).await.is_none() {
            return;
        }
        pause = app.sweep;
    }
}

/// Sweeps the workspaces of all tenants, one after another. What fails is told, and tried again the next time.
async fn all(app: &App) {
    let objects = app.runtime.objects();
    let mut last = None;
    loop {
        match objects.tenant(last.as_ref()).await {
            Ok(Some(tenant)) => {
                one(app, &tenant).await;
                last = Some(tenant);
            }
            Ok(None) => return,
            Err(error) => return tracing::warn!(%error, "workspaces were not swept"),
        }
    }
}

async fn one(app: &App, tenant: &Name) {
    // Whose data it is now may have session sandboxes that this server does not know.
    if !app.runtime.engine().is_ready() {
        return;
    }
    let at = Timestamp(SystemClock.now().0.saturating_sub_unsigned(MARGIN.as_micros() as u64));
    let erasures = app.runtime.erasures();
    let kept = match kept(&**erasures.store(), tenant).await {
        Ok(Some(kept)) => kept,
        // A legal hold on the tenant: everything stays.
        Ok(None) => return,
        Err(error) => return tracing::warn!(%tenant, %error, "workspaces were not swept"),
    };
    let erased = match erasures.runs().await {
        Ok(erased) => erased,
        Err(error) => return tracing::warn!(%tenant, %error, "workspaces were not swept"),
    };
    let live = || live(app, tenant).into_iter().chain(kept).collect();
    match sweep(&**app.runtime.objects(), app.runtime.journal(), tenant, &erased, at, live).await {
        Ok(swept) => {
            app.metrics.swept(swept.removed);
            tracing::info!(%tenant, removed = swept.removed, stay = swept.reachable, "workspaces were swept");
        }
        Err(error) => {
            tracing::warn!(%tenant, %error, "workspaces were not swept; nothing was removed, or nothing that is of use")
        }
    }
}

/// Snapshots of sandboxes of persons whom a legal hold covers, which stay however long they were to be held; none at all when one covers
/// the tenant.
async fn kept(store: &dyn ErasureStore, tenant: &Name) -> Result<Option<Vec<TreeId>>, StoreError> {
    let holds = store.holds(Some(tenant), false).await?;
    if holds.iter().any(|hold| hold.what == Held::Tenant) {
        return Ok(None);
    }
    let mut trees = Vec::new();
    for hold in holds.iter().filter(|hold| hold.what == Held::Subject) {
        let theirs = store.kept_trees(tenant, Some(&hold.name)).await?;
        trees.extend(present(store, tenant, &theirs).await?);
    }
    Ok(Some(trees))
}

/// The trees of those snapshots that are there: one whose time is over may have been swept, and it is still listed.
pub(crate) async fn present(
    store: &dyn ErasureStore,
    tenant: &Name,
    kept: &[KeptTree],
) -> Result<Vec<TreeId>, StoreError> {
    let ids: Vec<BlobId> = kept.iter().map(|kept| BlobId(kept.tree.0)).collect();
    let there = store.held_until(tenant, &ids).await?;
    Ok(there.into_iter().map(|(id, _)| TreeId(id.0)).collect())
}

/// Trees of session sandboxes that live.
#[cfg(target_os = "linux")]
pub(crate) fn live(app: &App, tenant: &Name) -> Vec<TreeId> {
    app.sandboxes.all.trees(tenant)
}

/// There are none elsewhere.
#[cfg(not(target_os = "linux"))]
pub(crate) fn live(_app: &App, _tenant: &Name) -> Vec<TreeId> {
    Vec::new()
}

/// Sweeps the workspaces of one tenant. `live` names the trees that are in use and that no fact need name.
async fn sweep(
    objects: &dyn Objects,
    journal: &Arc<dyn Journal>,
    tenant: &Name,
    erased: &HashSet<RunId>,
    at: Timestamp,
    live: impl FnOnce() -> Vec<TreeId>,
) -> Result<Swept, WorkspaceError> {
    let roots = || async {
        let mut roots = named(journal, tenant, erased).await?;
        // Last: one that has begun meanwhile holds its tree.
        roots.extend(live());
        Ok(roots.into_iter().collect())
    };
    stead_workspace::sweep(objects, tenant, at, roots).await
}

/// All trees that facts name, but those of runs whose texts are erased.
pub(crate) async fn named(
    journal: &Arc<dyn Journal>,
    tenant: &Name,
    erased: &HashSet<RunId>,
) -> Result<BTreeSet<TreeId>, StoreError> {
    let mut found = BTreeSet::new();
    let mut filter = RunFilter { tenant: tenant.clone(), limit: RUNS, ..RunFilter::default() };
    loop {
        let page = journal.runs(&filter).await?;
        let Some(last) = page.last() else { return Ok(found) };
        filter.before = Some(last.id);
        // The row of a run that has ended tells its effects; without one there was no action.
        let acted = |row: &&RunRow| !(row.state.status.ended() && row.state.effects == 0);
        for row in page.iter().filter(acted).filter(|row| !erased.contains(&row.id)) {
            found.extend(trees_of(journal, row.id).await.map_err(unread)?);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn unread(error: EngineError) -> StoreError {
    match error {
        EngineError::Store(error) => error,
        error => StoreError { code: error.code(), detail: error.to_string() },
    }
}
