//! One foreground run for each session; the others wait in order.
//!
//! The session row in the store is the truth (`Claim` and `Release` are part of appends). Here is only what spares
//! looking: which sessions have runs waiting, and a lock for each session that is being changed.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use stead_core::{
    budget::{Limits, MicroUsd, Spend},
    id::SessionId,
    record::Actor as By,
    run::{Admit, Command, Life},
};
use stead_ports::journal::{AppendError, IndexChange, Journal, RunFilter, SessionChange, SessionRow, Status};

use crate::{
    Engine,
    actor::{Actor, Msg},
    load::carry_of,
    types::EngineError,
};

/// See the module.
#[derive(Default)]
pub(crate) struct Sessions {
    locks: Mutex<HashMap<SessionId, Arc<tokio::sync::Mutex<()>>>>,
    waiting: Mutex<HashMap<SessionId, u32>>,
}

impl Sessions {
    /// Excludes others from changing the session's foreground.
    pub(crate) async fn lock(&self, session: SessionId) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock();
            // Locks that nobody holds or waits for are dropped on the way; the map stays as small as its use.
            if locks.len() > 1_024 {
                locks.retain(|_, l| Arc::strong_count(l) > 1);
            }
            locks.entry(session).or_default().clone()
        };
        lock.lock_owned().await
    }

    /// A run waits for the session.
    pub(crate) fn queued(&self, session: SessionId) {
        *self.waiting.lock().entry(session).or_default() += 1;
    }

    /// How many wait.
    pub(crate) fn waiting(&self, session: SessionId) -> u32 {
        self.waiting.lock().get(&session).copied().unwrap_or(0)
    }

    /// One of those that waited does not wait any more.
    fn unqueued(&self, session: SessionId) {
        let mut waiting = self.waiting.lock();
        if let Some(n) = waiting.get_mut(&session) {
            *n -= 1;
            if *n == 0 {
                waiting.remove(&session);
            }
        }
    }

    /// A run has ended: if it held the session, the next one may go; if it was waiting, it waits no more.
    pub(crate) fn ended(&self, engine: &Engine, session: SessionId, held: bool) {
        if !held {
            self.unqueued(session);
        } else if self.waiting(session) > 0 {
            let engine = engine.clone();
            tokio::spawn(async move {
                if let Err(error) = promote(&engine, session).await {
                    tracing::warn!(%session, %error, "the session's next run could not be admitted");
                }
            });
        }
    }

    /// Counts the runs that wait in the store; after a start.
    pub(crate) async fn count(&self, journal: &dyn Journal) -> Result<(), EngineError> {
        let mut filter = RunFilter { status: vec![Status::Queued], limit: 1_000, ..RunFilter::default() };
        loop {
            let page = journal.runs(&filter).await?;
            for row in &page {
                self.queued(row.session);
            }
            match page.last() {
                Some(last) if page.len() == filter.limit as usize => filter.before = Some(last.id),
                _ => return Ok(()),
            }
        }
    }
}

/// Tells the session's next run to take the foreground, if that is free.
pub(crate) async fn promote(engine: &Engine, session: SessionId) -> Result<(), EngineError> {
    let _guard = engine.0.sessions.lock(session).await;
    let journal = engine.journal();
    if journal.session(session).await?.is_some_and(|s| s.active.is_some()) {
        return Ok(());
    }
    if let Some(next) = journal.queued(session, 1).await?.first() {
        engine.0.tell(engine, *next, Msg::Admit)?;
    }
    Ok(())
}

/// What the session still grants.
pub(crate) fn grant(limits: &Limits, spent: Spend) -> Limits {
    Limits {
        tokens: limits.tokens.map(|l| l.saturating_sub(spent.tokens)),
        // Unknown spending under a money limit leaves nothing: unknown is never 0.
        usd: limits.usd.map(|l| MicroUsd(spent.usd.map_or(0, |s| l.0.saturating_sub(s.0)))),
        ..limits.clone()
    }
}

/// What a run takes over from its session.
pub(crate) async fn admission(engine: &Engine, row: &SessionRow, limits: &Limits) -> Result<Admit, EngineError> {
    let base = match row.head {
        Some(head) => Some((head, Box::new(carry_of(engine.journal(), head).await?))),
        None => None,
    };
    Ok(Admit { base, grant: grant(limits, row.spent) })
}

impl Actor {
    /// Takes the session's foreground, if it is this run's turn and the place is free.
    pub(crate) async fn admit(&mut self) -> Result<(), EngineError> {
        if self.state.life != Life::Queued {
            return Ok(());
        }
        let (engine, session) = (self.engine.clone(), self.state.session);
        let _guard = engine.0.sessions.lock(session).await;
        let missing = || EngineError::NotFound { what: session.to_string() };
        let row = engine.journal().session(session).await?.ok_or_else(missing)?;
        let admit = admission(&engine, &row, &self.agent.session_limits).await?;
        let index = IndexChange { session: Some(SessionChange::Claim), ..IndexChange::default() };
        match self.commit_with(Command::Admit(admit), By::Runtime, index).await {
            Ok(()) => engine.0.sessions.unqueued(session),
            // Another run holds it; this one is told again when that ends.
            Err(EngineError::Append(AppendError::SessionBusy { .. }) | EngineError::Conflict { .. }) => {}
            Err(other) => return Err(other),
        }
        // The conversation now begins with the session's.
        self.messages.clear();
        self.fresh_reply = None;
        Ok(())
    }
}
