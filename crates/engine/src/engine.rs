//! The handle: what callers do with an engine. Each call finds the run's actor, loads it if need be, and waits for its
//! answer; an answer to a command means that its facts are durable.

use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
    time::Duration,
};

use stead_core::{
    fact::{Fact, StopMode},
    id::{EffectId, Name, RunId, TreeId},
    record::Actor,
    ruling::{Person, Signed},
    sandbox::BoxLimits,
};
use stead_ports::{
    audit::AuditStore,
    journal::{Journal, Status},
};
use tokio::sync::oneshot;

use crate::{
    actor::{Ask, Msg},
    inner::Inner,
    load::{load, records},
    log::{Log, LogKey},
    types::{EngineError, Options, Ports, RunView, Stats},
    view,
};

/// A running engine; clones are handles to the same one.
#[derive(Clone)]
pub struct Engine(pub(crate) Arc<Inner>);

/// An engine that whoever has this does not keep: for what the engine's own ports hold.
#[derive(Clone)]
pub struct WeakEngine(Weak<Inner>);

impl WeakEngine {
    /// The engine, as long as somebody else has it.
    pub fn upgrade(&self) -> Option<Engine> {
        self.0.upgrade().map(Engine)
    }
}

impl Engine {
    /// The same without keeping it.
    pub fn downgrade(&self) -> WeakEngine {
        WeakEngine(Arc::downgrade(&self.0))
    }
}

/// As [`Engine::trees`], of a journal that no engine works on.
///
/// # Errors
/// As [`Engine::trees`].
pub async fn trees_of(journal: &Arc<dyn Journal>, run: RunId) -> Result<BTreeSet<TreeId>, EngineError> {
    let records = records(journal, run).await?;
    let actions = records.iter().flat_map(|record| &record.facts).filter_map(Fact::action);
    let changes = actions.filter_map(|action| action.workspace);
    Ok(changes.flat_map(|change| change.before.into_iter().chain([change.after])).collect())
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("stats", &self.stats()).finish()
    }
}

impl Engine {
    /// Takes the lease, loads the runs that a process before left under way, and begins to work.
    ///
    /// # Errors
    /// When the store cannot be owned or read.
    pub async fn open(ports: Ports, options: Options) -> Result<Self, EngineError> {
        let engine = Self(Inner::open(ports, options).await?);
        if let Err(error) = crate::recover::begin(&engine).await {
            // What it has taken up already must not go on behind the back of a caller that has no engine.
            engine.drain(Duration::ZERO).await;
            return Err(error);
        }
        Ok(engine)
    }

    /// The journal, for lists.
    pub fn journal(&self) -> &Arc<dyn Journal> {
        &self.0.ports.journal
    }

    /// Keeps the audit log from now on: integrates what the journal has and gets, under this engine's lease, until it is drained.
    /// To be called once; another call gives the log of the first.
    pub fn keep_log(&self, store: Arc<dyn AuditStore>, key: LogKey) -> Log {
        let (lease, clock) = (self.0.lease.lease, self.0.ports.clock.clone());
        self.0.log.get_or_init(|| Log::keep(store, key, lease, clock)).clone()
    }

    pub(crate) fn rooms(&self) -> &crate::stream::Rooms {
        &self.0.rooms
    }

    /// Nothing new starts in the run, nor in its children, until it is resumed.
    ///
    /// # Errors
    /// When the run does not exist, has ended, or is being stopped, or when the store cannot write.
    pub async fn pause(&self, run: RunId, actor: Actor) -> Result<(), EngineError> {
        self.with_children(run, &|reply| Msg::Ask(Ask::Pause, actor.clone(), reply)).await
    }

    /// The run and its children go on.
    ///
    /// # Errors
    /// When the run does not exist or has ended, or when the store cannot write.
    pub async fn resume(&self, run: RunId, actor: Actor) -> Result<(), EngineError> {
        self.with_children(run, &|reply| Msg::Ask(Ask::Resume, actor.clone(), reply)).await
    }

    /// The person on whose behalf a run works did something about it: they let it, and all runs of its chain, go on for a while.
    ///
    /// # Errors
    /// When the run does not exist or has ended, when it works for somebody else, or when the store cannot write.
    pub async fn renew(&self, run: RunId, by: Name) -> Result<(), EngineError> {
        let missing = || EngineError::NotFound { what: run.to_string() };
        let state = load(self.journal(), run).await?.ok_or_else(missing)?.state;
        let actor = Actor::User(by.clone());
        let renew = |reply| Msg::Ask(Ask::Renew(by.clone()), actor.clone(), reply);
        // The first of the chain passes it on to all that are under way; those above one that waits for it may have ended.
        match state.behalf.above.first() {
            Some(first) => match self.with_children(first.run, &renew).await {
                Err(EngineError::Conflict { .. } | EngineError::NotFound { .. } | EngineError::Quarantined { .. }) => {}
                other => other?,
            },
            None => return self.with_children(run, &renew).await,
        }
        self.with_children(run, &renew).await
    }

    /// Sets other limits for the boxes of a run: of those that run now as far as their tier can, and of all that start later. What a limit
    /// leaves open stays as it was.
    ///
    /// # Errors
    /// When the run does not exist or has ended, or when the store cannot write.
    pub async fn limit_boxes(&self, run: RunId, limits: BoxLimits, actor: Actor) -> Result<(), EngineError> {
        self.ask(run, |reply| Msg::Ask(Ask::Limit(Box::new(limits)), actor, reply)).await.map(drop)
    }

    /// Stops a run. Returns once the dispatch gate of the run and of every child below it is closed: from then on no
    /// new effect of them starts.
    ///
    /// # Errors
    /// When the run does not exist or has ended. [`EngineError::Unrecorded`] when the store cannot write: then the stop is
    /// not acknowledged, though a part of what it is about may have been stopped.
    pub async fn stop(&self, run: RunId, mode: StopMode, actor: Actor) -> Result<(), EngineError> {
        self.with_children(run, &|reply| Msg::Ask(Ask::Stop(mode), actor.clone(), reply)).await
    }

    /// Does the same to a run and to the children it has under way. A child that has ended meanwhile is fine.
    async fn with_children(
        &self,
        run: RunId,
        msg: &(dyn Fn(oneshot::Sender<Result<Vec<RunId>, EngineError>>) -> Msg + Sync),
    ) -> Result<(), EngineError> {
        let mut todo = self.ask(run, msg).await?;
        while let Some(child) = todo.pop() {
            match self.ask(child, msg).await {
                Ok(more) => todo.extend(more),
                // One that has ended, or is set aside, begins nothing either.
                Err(EngineError::Conflict { .. } | EngineError::NotFound { .. } | EngineError::Quarantined { .. }) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// Sends a message that is answered with the run's children under way.
    pub(crate) async fn ask(
        &self,
        run: RunId,
        msg: impl FnOnce(oneshot::Sender<Result<Vec<RunId>, EngineError>>) -> Msg,
    ) -> Result<Vec<RunId>, EngineError> {
        let (tx, rx) = oneshot::channel();
        self.0.tell(self, run, msg(tx))?;
        rx.await.unwrap_or(Err(EngineError::Draining))
    }

    /// Answers an approval. Whoever brings a signature has compared it with [`Engine::question`]; whether it lets the action go is
    /// looked at again when that is decided, and before it is sent.
    ///
    /// # Errors
    /// When nobody is asked about this effect (any more), or when the store cannot write.
    pub async fn approve(
        &self,
        effect: EffectId,
        approved: bool,
        by: Person,
        note: Option<String>,
        signed: Option<Box<Signed>>,
    ) -> Result<(), EngineError> {
        let who = Actor::User(by.name.clone());
        let ask = Ask::Approve { effect: effect.n, approved, by, note, signed };
        self.ask(effect.run, |reply| Msg::Ask(ask, who, reply)).await.map(drop)
    }

    /// A run as it stands.
    ///
    /// # Errors
    /// When the run does not exist or cannot be read.
    pub async fn view(&self, run: RunId) -> Result<RunView, EngineError> {
        let journal = self.journal();
        let missing = || EngineError::NotFound { what: run.to_string() };
        let loaded = load(journal, run).await?.ok_or_else(missing)?;
        view::build(journal, loaded.row, &loaded.state).await
    }

    /// The workspace as the run left it, or has it now; `None` as long as nothing was written.
    ///
    /// # Errors
    /// When the run does not exist or cannot be read.
    pub async fn workspace(&self, run: RunId) -> Result<Option<TreeId>, EngineError> {
        let missing = || EngineError::NotFound { what: run.to_string() };
        Ok(load(self.journal(), run).await?.ok_or_else(missing)?.state.tree)
    }

    /// Every tree that a fact of the run names, before and after each action: what must stay for as long as its journal does.
    ///
    /// # Errors
    /// When the run does not exist, cannot be read or is damaged.
    pub async fn trees(&self, run: RunId) -> Result<BTreeSet<TreeId>, EngineError> {
        trees_of(self.journal(), run).await
    }

    /// Waits until the run has ended or, with `or_waiting`, until only a human can move it.
    ///
    /// # Errors
    /// When the run does not exist or cannot be read.
    pub async fn wait(&self, run: RunId, or_waiting: bool) -> Result<RunView, EngineError> {
        loop {
            // First in line, then a look: what happens in between is not missed.
            let turn = self.0.waiters.wait(run);
            let row = self.journal().run(run).await?;
            let row = row.ok_or_else(|| EngineError::NotFound { what: run.to_string() })?;
            if row.state.status.ended() {
                return self.view(run).await;
            }
            if or_waiting && matches!(row.state.status, Status::Waiting | Status::Paused) {
                let view = self.view(run).await?;
                if !view.approvals.is_empty() || row.state.status == Status::Paused {
                    return Ok(view);
                }
            }
            if self.0.is_draining() {
                return Err(EngineError::Draining);
            }
            if let Some(error) = self.0.aside.quarantine(run) {
                return Err(error);
            }
            // Nobody waits for a run that nobody works on.
            if row.state.status == Status::Running {
                self.0.rouse(self, run);
            }
            turn.news().await?;
        }
    }

    /// Counters and gauges.
    pub fn stats(&self) -> Stats {
        let (loaded, registered) = self.0.loaded();
        self.0.counters.read(loaded, registered.saturating_sub(loaded), self.0.providers.stats())
    }

    /// Whether this engine still owns what it writes to.
    pub fn is_ready(&self) -> bool {
        !self.0.is_draining() && self.0.lease.valid(&*self.0.ports.clock)
    }

    /// Takes no new runs; runs under way finish what has been sent, up to `deadline`, and stop at their next durable
    /// point; gives the lease back. Nothing is lost: the next process goes on from there.
    pub async fn drain(&self, deadline: Duration) {
        self.0.drain(deadline).await;
    }
}
