//! The content of workspaces of erased runs: what no other run, no sandbox and no other person's snapshot leads to goes.
//!
//! **What is held.** Whoever makes content holds it for an hour, until a fact names it; runs that have ended hold theirs for the rest of that
//! hour. So what is held is removed all the same where nobody else can be about to name it: no other run of the tenant is at work, no
//! sandbox lives, and no request with files is under way. Where somebody can, the erasure waits until the hold ends.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use stead_core::{
    id::{BlobId, Name, RunId, TreeId},
    time::Timestamp,
};
use stead_engine::trees_of;
use stead_ports::{
    clock::Clock as _,
    erasure::{Erasure, ErasureStore, KeptTree},
    journal::{Journal, Status},
    objects::Objects,
};
use stead_workspace::{WorkspaceError, reachable, tree::Directory};

use super::{Unfinished, is_of, lost::is_lost};
use crate::{
    clock::SystemClock,
    http::app::{ATTACHING, App},
    sweep,
};

/// Where all of it is.
pub(super) struct Kept<'k> {
    pub(super) journal: &'k Arc<dyn Journal>,
    pub(super) store: &'k Arc<dyn ErasureStore>,
    pub(super) objects: &'k Arc<dyn Objects>,
}

/// What was struck out, and until when the rest of it is held.
#[derive(Debug, Default)]
pub(super) struct Struck {
    pub(super) ids: Vec<BlobId>,
    pub(super) waits: Option<Timestamp>,
    /// Some were held anew while they were looked at.
    pub(super) anew: bool,
}

/// Removes them, and what this host's cache has of them.
pub(super) async fn remove(app: &App, erasure: &Erasure) -> Result<(), Unfinished> {
    let (runtime, tenant) = (&app.runtime, &erasure.tenant);
    let kept = Kept { journal: runtime.journal(), store: runtime.erasures().store(), objects: runtime.objects() };
    // Nobody puts files of a request into a workspace meanwhile.
    let alone = app.attaching.clone().acquire_many_owned(ATTACHING as u32).await;
    let _alone = alone.map_err(|e| Unfinished::File(e.to_string()))?;
    let erased = runtime.erasures().runs().await?;
    let living = sweep::live(app, tenant);
    let counts = runtime.journal().count(Some(tenant)).await?;
    let at_work = !living.is_empty() || counts.iter().any(|(status, n)| *status == Status::Running && *n > 0);
    let struck = strike(&kept, erasure, &erased, living, at_work).await?;
    forget(app, tenant, struck.ids).await?;
    match struck.waits {
        Some(until) => {
            let seconds = until.since(SystemClock.now()).0 / 1_000_000 + 1;
            Err(Unfinished::Waits(format!(
                "files of a workspace are held for at most {seconds} s more, because others of the tenant are at work"
            )))
        }
        None if struck.anew => Err(Unfinished::Waits("files of a workspace were held anew meanwhile".to_owned())),
        None => Ok(()),
    }
}

/// Removes what only erased runs lead to.
pub(super) async fn strike(
    kept: &Kept<'_>,
    erasure: &Erasure,
    erased: &HashSet<RunId>,
    living: Vec<TreeId>,
    at_work: bool,
) -> Result<Struck, Unfinished> {
    let (Kept { journal, store, objects }, tenant) = (kept, &erasure.tenant);
    let snapshots = store.kept_trees(tenant, None).await?;
    let (theirs, others): (Vec<KeptTree>, Vec<KeptTree>) =
        snapshots.into_iter().partition(|kept| !is_lost(erasure) && is_of(&***store, erasure, &kept.owner));
    let mut trees: BTreeSet<TreeId> = theirs.iter().map(|kept| kept.tree).collect();
    for run in &erasure.runs {
        trees.extend(trees_of(journal, *run).await?);
    }
    if trees.is_empty() {
        return Ok(Struck::default());
    }
    let mut gone = HashSet::new();
    for tree in trees {
        match reachable(&***objects, tenant, vec![tree]).await {
            Ok(found) => gone.extend(found),
            // What was removed before is not there any more.
            Err(WorkspaceError::Missing(_)) => {}
            Err(e) => return Err(e.into()),
        }
    }
    let candidates: Vec<BlobId> = gone.into_iter().collect();
    let held = store.held_until(tenant, &candidates).await?;
    let mut roots = sweep::named(journal, tenant, erased).await?;
    roots.extend(living);
    roots.extend(sweep::present(&***store, tenant, &others).await?);
    let stay = reachable(&***objects, tenant, roots.into_iter().collect()).await?;
    let empty = objects.address(tenant, &Directory::default().encode());
    let (now, mut struck, mut remove) = (SystemClock.now(), Struck::default(), Vec::new());
    for (id, until) in held.into_iter().filter(|(id, _)| *id != empty && !stay.contains(id)) {
        if at_work && until > now {
            struck.waits = struck.waits.max(Some(until));
        } else {
            remove.push((id, until));
        }
    }
    struck.ids = remove.iter().map(|(id, _)| *id).collect();
    struck.anew = store.remove_held(tenant, remove).await? < struck.ids.len() as u64;
    Ok(struck)
}

/// Removes them from the cache of this host.
async fn forget(app: &App, tenant: &Name, ids: Vec<BlobId>) -> Result<(), Unfinished> {
    let (shop, tenant) = (app.runtime.shop().clone(), tenant.clone());
    let done = tokio::task::spawn_blocking(move || shop.forget(&tenant, &ids)).await;
    let done = done.map_err(|e| Unfinished::File(e.to_string()))?;
    done.map_err(|e| Unfinished::File(format!("the cache of workspaces: {e}")))
}
