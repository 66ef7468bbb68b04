//! What an engine does first, and what it keeps doing beside the runs.

use std::time::Duration;

use stead_core::code;

use crate::{
    Engine, actor::Msg, approvals, lease::TTL, sessions::promote_surely, switches, types::EngineError, usage, wake,
};

/// Rows read at once.
const PAGE: u32 = 1_000;

/// Loads what a process before left under way, and starts the engine's own tasks.
pub(crate) async fn begin(engine: &Engine) -> Result<(), EngineError> {
    let journal = engine.journal();
    approvals::fill(engine).await?;
    usage::fill(engine).await?;
    engine.0.sessions.count(&**journal).await?;
    switches::begin(engine).await?;
    if engine.0.options.at_rest {
        return Ok(());
    }
    let mut after = None;
    loop {
        let page = journal.unfinished(after, PAGE).await?;
        for run in &page {
            // Its inbox first: a child may have ended while nobody was there.
            engine.0.tell(engine, *run, Msg::Inbox)?;
        }
        after = page.last().copied();
        if page.len() < PAGE as usize {
            break;
        }
    }
    background(engine, unstrand(engine.clone()));
    if let Some(next) = journal.next_wake().await? {
        engine.0.wakes.at(next);
    }
    background(engine, wake::run(engine.clone()));
    if engine.0.lease.lease.ttl.is_some() {
        background(engine, renew(engine.clone()));
    }
    Ok(())
}

/// Sessions whose next run was not told before the process ended.
async fn unstrand(engine: Engine) {
    loop {
        let page = match engine.journal().stranded(PAGE).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "the sessions that wait could not be read; trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        for session in &page {
            promote_surely(&engine, *session).await;
        }
        if page.len() < PAGE as usize {
            return;
        }
        // Those just told are listed until they have gone.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Runs a task until the engine stops.
pub(crate) fn background(engine: &Engine, task: impl Future<Output = ()> + Send + 'static) {
    let engine = engine.clone();
    tokio::spawn(async move {
        let stopped = engine.0.stopped.notified();
        if engine.0.is_dead() {
            return;
        }
        tokio::select! {
            () = stopped => {}
            () = task => {}
        }
    });
}

/// Keeps the lease; an engine that cannot stops at once.
async fn renew(engine: Engine) {
    let every = Duration::from_micros(TTL.0 / 3);
    loop {
        tokio::time::sleep(every).await;
        let clock = &engine.0.ports.clock;
        let asked = clock.boot_micros();
        match engine.journal().renew(engine.0.lease.lease, TTL).await {
            Ok(()) => engine.0.lease.renewed(asked),
            Err(error) if error.code == code::DATA_LOCKED => {
                tracing::error!(%error, "the lease is lost; this engine stops");
                return engine.0.die();
            }
            // The gate closes by itself while the store is away; only a lease that is gone ends the engine.
            Err(error) => tracing::warn!(%error, "the lease could not be renewed; trying again"),
        }
    }
}
