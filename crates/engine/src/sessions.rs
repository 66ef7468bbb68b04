//! One foreground run for each session; the others wait in order.
//!
//! The session row in the store is the truth (`Claim` and `Release` are part of appends). Here is only what spares
//! looking: which sessions have runs waiting, and a lock for each session that is being changed.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use parking_lot::Mutex;
use stead_core::{
    budget::{Amounts, Budget, Limits, Spend},
    id::SessionId,
    record::Actor as By,
    run::{Admit, Command, Life},
};
use stead_ports::{
    agent::Agent,
    journal::{AppendError, IndexChange, Journal, SessionChange, SessionRow, Status},
};

use crate::{
    Engine,
    actor::{Actor, Msg},
    durable::OnTrouble,
    load::carry_of,
    types::EngineError,
};

/// See the module.
#[derive(Default)]
pub(crate) struct Sessions {
    locks: Mutex<HashMap<SessionId, Arc<tokio::sync::Mutex<()>>>>,
    waiting: Mutex<HashMap<SessionId, u32>>,
    /// Runs that a process before left waiting, in sessions that nobody has looked at since.
    unseen: AtomicU64,
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
    fn queued(&self, session: SessionId) {
        *self.waiting.lock().entry(session).or_default() += 1;
    }

    /// How many wait.
    fn waiting(&self, session: SessionId) -> u32 {
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

    /// A run has ended: it waits no more if it did, and the next one may go.
    pub(crate) fn ended(&self, engine: &Engine, session: SessionId, was: Life) {
        if was == Life::Queued {
            self.unqueued(session);
        }
        if self.waiting(session) > 0 {
            promote_soon(engine, session);
        }
    }

    /// Learns how many runs a process before left waiting; after a start. Whose they are is found out session by
    /// session, before anything is done there.
    pub(crate) async fn count(&self, journal: &dyn Journal) -> Result<(), EngineError> {
        let queued = journal.count(None).await?.into_iter().find(|(status, _)| *status == Status::Queued);
        self.unseen.store(queued.map_or(0, |(_, n)| n), SeqCst);
        Ok(())
    }

    /// Looks at a session before anything is done there; see [`Sessions::count`].
    pub(crate) async fn learn(&self, journal: &dyn Journal, session: SessionId) -> Result<(), EngineError> {
        if self.unseen.load(SeqCst) == 0 {
            return Ok(());
        }
        let _guard = self.lock(session).await;
        self.learn_locked(journal, session).await
    }

    /// The same for one who holds the session's lock.
    async fn learn_locked(&self, journal: &dyn Journal, session: SessionId) -> Result<(), EngineError> {
        if self.unseen.load(SeqCst) == 0 || self.waiting(session) > 0 {
            return Ok(());
        }
        let found = journal.queued(session, u32::MAX).await?.len();
        if found > 0 {
            self.waiting.lock().insert(session, u32::try_from(found).unwrap_or(u32::MAX));
            let less = |unseen: u64| Some(unseen.saturating_sub(found as u64));
            let _ = self.unseen.fetch_update(SeqCst, SeqCst, less);
        }
        Ok(())
    }

    /// A caller that holds the session's lock stands in line, and hears how many stand before it. It stands there
    /// before it looks at the session's row: so the run that ends meanwhile sees that somebody waits.
    pub(crate) async fn line_up(
        &self,
        journal: &dyn Journal,
        session: SessionId,
        most: u32,
    ) -> Result<u32, EngineError> {
        self.learn_locked(journal, session).await?;
        let ahead = self.waiting(session);
        if ahead >= most {
            return Err(EngineError::Overloaded { limit: most as usize });
        }
        self.queued(session);
        Ok(ahead)
    }

    /// The caller leaves the line again: it need not wait, or has nothing to wait with.
    pub(crate) fn step_out(&self, session: SessionId) {
        self.unqueued(session);
    }
}

/// Tells the session's next run to take the foreground, if that is free.
pub(crate) async fn promote(engine: &Engine, session: SessionId) -> Result<(), EngineError> {
    /// Runs set aside that may stand before the one that can go.
    const LOOK: u32 = 100;
    let _guard = engine.0.sessions.lock(session).await;
    let journal = engine.journal();
    if journal.session(session).await?.is_some_and(|s| s.active.is_some()) {
        return Ok(());
    }
    let queue = journal.queued(session, LOOK).await?;
    if queue.is_empty() {
        // Whoever was counted was never written.
        engine.0.sessions.waiting.lock().remove(&session);
    }
    for next in queue {
        match engine.0.tell(engine, next, Msg::Admit) {
            Err(EngineError::Quarantined { .. }) => {}
            other => return other,
        }
    }
    Ok(())
}

/// The same, until it has been done.
pub(crate) async fn promote_surely(engine: &Engine, session: SessionId) {
    while let Err(error) = promote(engine, session).await {
        if engine.0.is_draining() {
            return;
        }
        tracing::warn!(%session, %error, "the session's next run could not be told; trying again");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The same, beside the caller.
pub(crate) fn promote_soon(engine: &Engine, session: SessionId) {
    let engine = engine.clone();
    tokio::spawn(async move { promote_surely(&engine, session).await });
}

/// A run ends and leaves its session, whose head it becomes.
pub(crate) fn release(budget: &Budget) -> SessionChange {
    let used = Amounts { cpu: budget.boxes.cpu, traffic: budget.boxes.traffic, ..budget.counted() };
    SessionChange::Release { head: true, spent: budget.spent, used }
}

/// What the session still grants.
pub(crate) fn grant(limits: &Limits, spent: Spend, used: Amounts) -> Limits {
    let mut budget = Budget::new(limits.clone());
    budget.spent = spent;
    // Unknown spending under a money limit leaves nothing: unknown is never 0.
    budget.remaining(used)
}

/// What a run takes over from its session, and how many records it is since a snapshot of that.
pub(crate) async fn admission(engine: &Engine, row: &SessionRow, agent: &Agent) -> Result<(Admit, u64), EngineError> {
    let limits = &agent.session_limits;
    // Who has the loop tells all of the conversation each time.
    let (base, tail) = match row.head.filter(|_| !agent.relays) {
        Some(head) => {
            let (carry, tail) = match engine.0.carries.get(head) {
                Some(left) => left,
                None => {
                    let left = carry_of(engine.journal(), head).await?;
                    engine.0.carries.put(head, left.clone());
                    left
                }
            };
            (Some((head, Box::new(carry))), tail)
        }
        None => (None, 0),
    };
    Ok((Admit { base, grant: grant(limits, row.spent, row.used) }, tail))
}

impl Actor {
    /// Remembers what an ended run leaves to the next one of its session, when there is or may soon be one: a session
    /// that has had two runs, or in which somebody waits.
    pub(crate) fn hand_on(&self) {
        let (carries, sessions) = (&self.engine.0.carries, &self.engine.0.sessions);
        if let Some(base) = self.state.base {
            carries.forget(base);
        }
        if self.state.base.is_some() || sessions.waiting(self.state.session) > 0 {
            carries.put(self.run, (self.state.carry(), self.tail));
        }
    }

    /// Takes the session's foreground, if it is this run's turn and the place is free.
    pub(crate) async fn admit(&mut self) -> Result<(), EngineError> {
        // While nothing may begin, the queue stays as it is for the next process.
        if self.state.life != Life::Queued || self.holds() {
            return Ok(());
        }
        let (engine, session) = (self.engine.clone(), self.state.session);
        let _guard = engine.0.sessions.lock(session).await;
        let missing = || EngineError::NotFound { what: session.to_string() };
        let row = engine.journal().session(session).await?.ok_or_else(missing)?;
        if row.active.is_some() {
            // This one is told again when that ends.
            return Ok(());
        }
        let (admit, tail) = admission(&engine, &row, &self.agent).await?;
        self.tail += tail;
        // What cannot be recorded now holds up everyone who wants something of the session: it is let go and tried later.
        let index = IndexChange { session: Some(SessionChange::Claim), ..IndexChange::default() };
        match self.commit_with(Command::Admit(admit), By::Runtime, index, OnTrouble::Tell).await {
            // A run that ended at once has been taken out of the line already.
            Ok(()) if self.state.life == Life::Live => engine.0.sessions.unqueued(session),
            Ok(()) | Err(EngineError::Append(AppendError::SessionBusy { .. }) | EngineError::Conflict { .. }) => {}
            Err(other) => return Err(other),
        }
        // The conversation now begins with the session's.
        self.messages.clear();
        self.hearing = None;
        self.fresh_reply = None;
        Ok(())
    }
}
