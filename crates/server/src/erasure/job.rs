//! The steps of an erasure. Each may be done again: what was done is found done.

use std::{collections::HashSet, time::Duration};

use stead_engine::{blobs_of, without_texts};
use stead_ports::erasure::Erasure;
#[cfg(target_os = "linux")]
use stead_sandboxes::SandboxesError;

use super::{
    Unfinished, certify, files, is_of,
    lost::is_lost,
    objects,
    plan::{Against, at_work},
};
use crate::http::app::App;

/// How long the log is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn carry_out(app: &App, erasure: &Erasure) -> Result<String, Unfinished> {
    let runtime = &app.runtime;
    let (store, journal) = (runtime.erasures().store(), runtime.journal());
    // What was written is in the log first: its leaves are those of the records as they were.
    if !runtime.log().caught_up(PATIENCE).await {
        return Err(Unfinished::Waits("the audit log has not caught up".to_owned()));
    }
    // Nobody begins with what was said in a session from here on; who has begun since it was looked has it all, and ends first.
    store.leave_sessions(erasure.runs.clone()).await?;
    let mut rows = Vec::with_capacity(erasure.runs.len());
    for run in &erasure.runs {
        rows.extend(journal.run(*run).await?);
    }
    if let Some(Against::AtWork { run, .. }) = at_work(&**journal, &erasure.tenant, &rows).await? {
        return Err(Unfinished::Waits(format!("a run of a session has not ended: {run}")));
    }
    for run in &erasure.runs {
        let erased = without_texts(journal, &erasure.tenant, *run, true).await?;
        for part in erased.parts {
            if !store.erase_run(erasure.id, part).await? {
                return Err(Unfinished::Waits(format!("{run} was changed meanwhile")));
            }
        }
        runtime.cassettes().erase(*run).map_err(|e| Unfinished::File(format!("the cassette of {run}: {e}")))?;
    }
    store.leave_sessions(erasure.runs.clone()).await?;
    // What a restore had no key for is of before it: what the person has got since stays.
    let lost = is_lost(erasure);
    if !lost {
        end_sandboxes(app, erasure).await?;
    }
    store.remove_blobs(erasure.id, &erasure.tenant, blobs_of()).await?;
    objects::remove(app, erasure).await?;
    for kept in store.kept_trees(&erasure.tenant, None).await? {
        if !lost && is_of(&**store, erasure, &kept.owner) {
            store.forget_trees(&erasure.tenant, &kept.owner).await?;
        }
    }
    let runs: HashSet<String> = erasure.runs.iter().map(ToString::to_string).collect();
    let folder = runtime.data_dir().to_owned();
    let redacted = tokio::task::spawn_blocking(move || files::redact(&folder, &runs)).await;
    let redacted = redacted.map_err(|e| Unfinished::File(e.to_string()))?;
    redacted.map_err(|e| Unfinished::File(format!("egress.jsonl: {e}")))?;
    // When no text is left that a backup could take: what a backup of before has of them no key opens any more. What is left of the keys goes
    // with the rest.
    let keys = store.destroy_keys(erasure).await?;
    store.purge().await?;
    certify::certify(app, erasure, keys).await
}

/// Ends the session sandboxes of the person: their files are on this host's disk.
#[cfg(target_os = "linux")]
async fn end_sandboxes(app: &App, erasure: &Erasure) -> Result<(), Unfinished> {
    let store = app.runtime.erasures().store();
    for sandbox in app.sandboxes.all.list(&erasure.tenant) {
        if is_of(&**store, erasure, &sandbox.owner) {
            match app.sandboxes.all.remove(&erasure.tenant, sandbox.id).await {
                // One that has ended meanwhile is as good.
                Ok(()) | Err(SandboxesError::Unknown(_) | SandboxesError::Gone { .. }) => {}
                Err(e) => return Err(Unfinished::File(format!("the sandbox {}: {e}", sandbox.id))),
            }
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
async fn end_sandboxes(_app: &App, _erasure: &Erasure) -> Result<(), Unfinished> {
    Ok(())
}
