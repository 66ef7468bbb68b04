//! What an engine does first, and what it keeps doing beside the runs.

use std::time::Duration;

use crate::{Engine, actor::Msg, lease::TTL, sessions::promote, types::EngineError, wake};

/// Rows read at once.
const PAGE: u32 = 1_000;

/// Loads what a process before left under way, and starts the engine's own tasks.
pub(crate) async fn begin(engine: &Engine) -> Result<(), EngineError> {
    let journal = engine.journal();
    engine.0.sessions.count(&**journal).await?;
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
    for session in journal.stranded(u32::MAX).await? {
        promote(engine, session).await?;
    }
    if let Some(next) = journal.next_wake().await? {
        engine.0.wakes.at(next);
    }
    background(engine, wake::run(engine.clone()));
    if engine.0.lease.lease.ttl.is_some() {
        background(engine, renew(engine.clone()));
    }
    Ok(())
}

/// Runs a task until the engine stops.
fn background(engine: &Engine, task: impl Future<Output = ()> + Send + 'static) {
    let stopped = engine.0.stopped.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = stopped.notified() => {}
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
            // The gate closes by itself while the store is away; only a lease that is gone ends the engine.
            Err(error) if !engine.0.lease.valid(&**clock) => {
                tracing::error!(%error, "the lease is lost; this engine stops");
                return engine.0.die();
            }
            Err(error) => tracing::warn!(%error, "the lease could not be renewed; trying again"),
        }
    }
}
