//! How a run comes into memory: its task waits for a place, loads it, and lives. And what becomes of a run that cannot be
//! loaded or cannot go on: tried again by itself, or set aside alone. What a loaded run does is [`crate::actor`].

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use stead_core::{
    code,
    id::{ActivationId, RunId},
    time::Span,
};
use stead_ports::journal::Status;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::{
    Engine,
    actor::{Actor, Ask, Boot, Born, Msg},
    ear::Ear,
    load::{Loaded, load},
    sessions::promote_surely,
    types::EngineError,
    unloadable::agent_of,
    usage,
};

/// Starts the task of a run; `first` is what it hears first.
pub(crate) fn spawn(engine: Engine, run: RunId, mailbox: mpsc::Receiver<Msg>, boot: Boot, first: Option<Msg>) {
    let stopped = engine.0.stopped.clone();
    tokio::spawn(async move {
        let stop = stopped.notified();
        if engine.0.is_dead() {
            return;
        }
        let life = AssertUnwindSafe(live(engine.clone(), run, Ear::new(mailbox, first), boot)).catch_unwind();
        tokio::select! {
            () = stop => {}
            outcome = life => {
                if outcome.is_err() {
                    let error = EngineError::Quarantined { run, why: "its task panicked".into() };
                    set_aside(&engine, run, &error);
                    engine.0.died(run);
                }
            }
        }
    });
}

async fn live(engine: Engine, run: RunId, mut ear: Ear, mut boot: Boot) {
    let _slot = match place(&engine, &mut ear).await {
        Ok(slot) => slot,
        // A run just made has promised its first call in its first record, and gives it back before the process ends.
        Err(EngineError::Draining) if matches!(boot, Boot::New(_)) => None,
        Err(error) => {
            refuse_all(&engine, run, &mut ear, &error);
            return;
        }
    };
    loop {
        let left_alone = engine.0.aside.contains(run);
        let born = match boot {
            Boot::New(born) => Ok(*born),
            Boot::Load => awaken(&engine, run).await,
        };
        let error = match born {
            Ok(born) => {
                if left_alone {
                    // Loaded before the time of its next try, which would have told it so.
                    ear.heard.push_back(Msg::Admit);
                }
                let mut actor = Actor::new(engine.clone(), run, born, ear);
                let Err(error) = actor.work().await else {
                    if actor.state.life.ended() {
                        engine.0.aside.back(run);
                    } else if let Some(error) = actor.off_for_now() {
                        set_aside(&engine, run, &error);
                    }
                    return;
                };
                for reply in actor.acks {
                    let _ = reply.send(Err(error.clone()));
                }
                ear = actor.ear;
                error
            }
            Err(error) => error,
        };
        set_aside(&engine, run, &error);
        if !refuse_all(&engine, run, &mut ear, &error) {
            return;
        }
        boot = Boot::Load;
    }
}

/// A place in memory. A stop does not wait for one: those who hold all places may be waiting for it.
async fn place(engine: &Engine, ear: &mut Ear) -> Result<Option<OwnedSemaphorePermit>, EngineError> {
    /// Messages taken out of the mailbox while waiting.
    const HEARD: usize = 256;
    let Ear { mailbox, heard } = ear;
    let mut slot = std::pin::pin!(engine.0.slots.clone().acquire_owned());
    loop {
        if heard.iter().any(|m| matches!(m, Msg::Ask(Ask::Stop(_) | Ask::Heed, ..))) {
            return Ok(None);
        }
        tokio::select! {
            biased;
            slot = &mut slot => return slot.map(Some).map_err(|_| EngineError::Draining),
            msg = mailbox.recv(), if heard.len() < HEARD => match msg {
                // Any of the others is said by being loaded at all, but for one `Admit`.
                Some(msg @ (Msg::Ask(..) | Msg::Admit)) => heard.push_back(msg),
                Some(_) => {}
                None => return Err(EngineError::Draining),
            },
        }
    }
}

/// What follows from a run that could not be loaded, or whose task met an error: nothing, another try, or the run is
/// left alone until the process restarts.
fn set_aside(engine: &Engine, run: RunId, error: &EngineError) {
    let pause = match error {
        EngineError::NotFound { .. } | EngineError::Draining => return,
        _ if engine.0.is_draining() => return,
        EngineError::Quarantined { .. } => None,
        EngineError::Store(e) if e.code == code::DATA_DAMAGED => None,
        EngineError::Agent { .. } => Some(Span::from_secs(60)),
        _ => Some(Span::from_secs(1)),
    };
    let engine = engine.clone();
    let Some(pause) = pause else {
        tracing::error!(%run, %error, "the run is set aside until the process restarts");
        engine.0.waiters.wake(run, &Err(error.clone()));
        engine.0.aside.for_good(run, error.clone());
        tokio::spawn(async move {
            // If it was the first in its session's queue, the next one goes.
            if let Ok(Some(row)) = engine.journal().run(run).await {
                promote_surely(&engine, row.session).await;
            }
        });
        return;
    };
    match error.code() {
        // As many as there are may hold at once.
        code::DISABLED => tracing::debug!(%run, %error, "the run holds, to be looked at again"),
        _ => tracing::warn!(%run, %error, "the run leaves memory, to be tried again"),
    }
    let clock = &engine.0.ports.clock;
    let again = clock.now().after(pause);
    if !engine.0.aside.until(run, error.clone(), again) {
        return;
    }
    let time = clock.sleep_until(again);
    tokio::spawn(async move {
        time.await;
        if engine.0.aside.due(run, again) {
            let _ = engine.0.tell(&engine, run, Msg::Admit);
        }
    });
}

/// A run that cannot go on answers everyone so, and leaves; or keeps what came in afterwards and is a reason to try
/// again.
fn refuse_all(engine: &Engine, run: RunId, ear: &mut Ear, error: &EngineError) -> bool {
    let final_word = matches!(error, EngineError::Draining) || engine.0.aside.quarantine(run).is_some();
    let refuse = |msg| {
        if let Msg::Ask(_, _, reply) = msg {
            let _ = reply.send(Err(error.clone()));
        }
    };
    std::mem::take(&mut ear.heard).into_iter().for_each(refuse);
    loop {
        match engine.0.leave(run, &mut ear.mailbox) {
            Ok(()) => return false,
            Err(msg) if final_word || engine.0.is_draining() => refuse(msg),
            Err(msg) => {
                ear.heard.push_back(msg);
                return true;
            }
        }
    }
}

async fn awaken(engine: &Engine, run: RunId) -> Result<Born, EngineError> {
    let ports = &engine.0.ports;
    let missing = || EngineError::NotFound { what: run.to_string() };
    let loaded = load(&ports.journal, run).await?.ok_or_else(missing)?;
    if loaded.row.state.status == Status::Running {
        usage::tell_anew(&ports.journal, engine.0.lease.lease, run).await?;
    }
    engine.0.sessions.learn(&*ports.journal, loaded.state.session).await?;
    let (agent, unloadable) = agent_of(engine, &loaded.row, &loaded.state).await;
    match &unloadable {
        // Nothing of it is tried at rest, and so nothing tried again.
        Some(error) if !engine.0.options.at_rest => set_aside(engine, run, error),
        _ => engine.0.aside.back(run),
    }
    let activation = fresh_activation(engine);
    let Loaded { row, state, prev, tail } = loaded;
    Ok(Born { state, prev, activation, agent, unloadable, row: row.state, tail })
}

/// A number that no activation before has had.
pub(crate) fn fresh_activation(engine: &Engine) -> ActivationId {
    let r = engine.0.ports.clock.random();
    ActivationId(u64::from_be_bytes([r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7]]))
}
