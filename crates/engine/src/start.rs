//! Starting a run: its name, its place in the session, its first record ([`first`]); only then the answer.

use stead_core::{
    budget::{Amounts, Spend},
    id::{RunId, SessionId},
    run::Admit,
};
use stead_ports::{
    agent::Agent,
    journal::{AppendError, Status},
};

use crate::{
    Engine,
    actor::Boot,
    enter,
    first::{self, Seed},
    sessions::{admission, grant, promote_soon},
    types::{ChildOf, EngineError, StartRun, Started},
};

/// Where a new run of a session stands.
enum Place {
    /// In the foreground, with what it takes over and the records that is.
    Now(Admit, u64),
    /// Behind runs that wait for a foreground that is free.
    Free,
    /// Behind the foreground run.
    Taken,
}

impl Engine {
    /// Starts a run; returns once its first record is durable. With an idempotency key that is taken by the same
    /// request, returns the run of that request.
    ///
    /// # Errors
    /// When the agent cannot be loaded, the input does not fit its schema, the key belongs to another request, or too much
    /// is waiting.
    pub async fn start(&self, start: StartRun) -> Result<Started, EngineError> {
        self.start_told(start, |_| ()).await
    }

    /// The same; `told` hears the run's name before anything of it exists. Should an earlier request have started it, the
    /// run has another name.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub async fn start_told(&self, start: StartRun, told: impl FnOnce(RunId)) -> Result<Started, EngineError> {
        let (run, session) = self.name(&start);
        told(run);
        self.start_named(start, run, session).await
    }

    /// Starts a run and waits for its end: one look less at the store than `start` and `wait`.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub async fn start_and_wait(&self, start: StartRun) -> Result<Started, EngineError> {
        let (run, session) = self.name(&start);
        let mut turn = self.0.waiters.wait(run);
        let started = self.start_named(start, run, session).await?;
        if started.existing {
            self.wait(started.run, false).await?;
            return Ok(started);
        }
        while !turn.news().await?.ended() {
            turn = self.0.waiters.wait(run);
            // It may have ended, or the engine may have stopped, before this caller was in line again.
            if self.journal().run(run).await?.is_some_and(|r| r.state.status.ended()) {
                return Ok(started);
            }
            if self.0.is_dead() {
                return Err(EngineError::Draining);
            }
        }
        Ok(started)
    }

    fn name(&self, start: &StartRun) -> (RunId, Option<SessionId>) {
        match start.parent {
            // A child's names derive from the effect, so that starting it again finds it.
            Some(ChildOf { parent, .. }) => {
                let (run, session) = stead_core::id::EffectId { run: parent.run, n: parent.effect }.child();
                (run, Some(session))
            }
            None => (self.0.new_run(), start.session),
        }
    }

    /// Starts a run in a task of its own: a caller that goes away in the middle leaves no run behind that is durable and
    /// that nobody works on.
    async fn start_named(
        &self,
        start: StartRun,
        run: RunId,
        session: Option<SessionId>,
    ) -> Result<Started, EngineError> {
        let engine = self.clone();
        let task = tokio::spawn(async move { engine.start_as(start, run, session).await });
        match task.await {
            Ok(started) => started,
            Err(gone) if gone.is_panic() => std::panic::resume_unwind(gone.into_panic()),
            Err(_) => Err(EngineError::Draining),
        }
    }

    async fn start_as(
        &self,
        mut start: StartRun,
        run: RunId,
        session: Option<SessionId>,
    ) -> Result<Started, EngineError> {
        self.0.has_room()?;
        let agent = self.agent_of(&start).await?;
        if let Some(before) = self.admit(&agent, &start).await? {
            return Ok(before);
        }
        self.may_start(&mut start, &agent.name, run).await?;
        match session {
            Some(session) if start.parent.is_none() => self.start_in(start, run, session, agent).await,
            _ => {
                let session = session.unwrap_or_else(|| SessionId(self.0.ports.clock.new_ulid()));
                let admit = Admit { base: None, grant: grant(&agent.session_limits, Spend::ZERO, Amounts::default()) };
                self.create(start, run, session, agent, Some((admit, 0))).await
            }
        }
    }

    /// Starts a run in a session that may be busy.
    async fn start_in(
        &self,
        start: StartRun,
        run: RunId,
        session: SessionId,
        agent: std::sync::Arc<Agent>,
    ) -> Result<Started, EngineError> {
        let sessions = &self.0.sessions;
        let _guard = sessions.lock(session).await;
        let ahead = sessions.line_up(&**self.journal(), session, self.0.options.max_session_queue).await?;
        let place = match self.place_in(&start, session, &agent, ahead).await {
            Ok(Place::Now(admit, tail)) => {
                sessions.step_out(session);
                return self.create(start, run, session, agent, Some((admit, tail))).await;
            }
            Ok(place) => place,
            Err(error) => {
                sessions.step_out(session);
                return Err(error);
            }
        };
        let started = self.create(start, run, session, agent, None).await;
        match &started {
            Ok(started) if !started.existing => {}
            // Perhaps it was written: then it must be found.
            Err(EngineError::Append(AppendError::Unknown(_)) | EngineError::Store(_)) => {}
            _ => sessions.step_out(session),
        }
        if matches!(place, Place::Free) {
            promote_soon(self, session);
        }
        started
    }

    async fn place_in(
        &self,
        start: &StartRun,
        session: SessionId,
        agent: &Agent,
        ahead: u32,
    ) -> Result<Place, EngineError> {
        let row = self.journal().session(session).await?.filter(|r| r.tenant == start.tenant);
        let row = row.ok_or_else(|| EngineError::NotFound { what: session.to_string() })?;
        if row.agent != agent.name {
            return Err(EngineError::Conflict {
                why: format!("{session} belongs to agent `{}`, not to `{}`", row.agent, agent.name),
            });
        }
        match row.active {
            Some(_) => Ok(Place::Taken),
            None if ahead > 0 => Ok(Place::Free),
            None => admission(self, &row, agent).await.map(|(admit, tail)| Place::Now(admit, tail)),
        }
    }

    async fn create(
        &self,
        start: StartRun,
        run: RunId,
        session: SessionId,
        agent: std::sync::Arc<Agent>,
        admit: Option<(Admit, u64)>,
    ) -> Result<Started, EngineError> {
        // Whoever hears of the run before this is done finds its mailbox, and nobody loads it a second time.
        let mailbox = self.0.reserve(run);
        let created = first::write(self, Seed { start, run, session, agent, admit }).await;
        match (created, mailbox) {
            (Ok((started, Some(born))), Some(mailbox)) => {
                enter::spawn(self.clone(), run, mailbox, Boot::New(Box::new(born)), None);
                Ok(started)
            }
            (created, mailbox) => {
                if let Some(mailbox) = mailbox {
                    self.0.unreserve(self, run, mailbox);
                }
                let (started, born) = created?;
                if born.is_some() || started.existing {
                    self.0.rouse(self, started.run);
                }
                Ok(started)
            }
        }
    }

    /// A run that was there already.
    pub(crate) async fn existing(&self, run: RunId) -> Result<Started, EngineError> {
        let row = self.journal().run(run).await?.ok_or_else(|| EngineError::NotFound { what: run.to_string() })?;
        let queued = row.state.status == Status::Queued;
        Ok(Started { run, session: row.session, queued, existing: true })
    }
}
