//! Starting a run: decide its first record, make it durable together with its row and its place in the session, and
//! only then answer.

use stead_core::{
    id::{RunId, SessionId},
    record::{Header, Record, Source, VERSION},
    run::{Admit, Decision, GENESIS, Inputs, NewRun, wake_at},
};
use stead_ports::{
    agent::Agent,
    journal::{self, Append, AppendError, IndexChange, SessionChange, Status, partition},
};

use crate::{
    Engine,
    actor::{Boot, Born, fresh_activation, is_soon},
    commit::title,
    payload::Sealer,
    sessions::{admission, grant},
    types::{EngineError, StartRun, Started},
    view,
};

impl Engine {
    /// Starts a run; returns once its first record is durable. With an idempotency key that is taken by the same
    /// request, returns the run of that request.
    ///
    /// # Errors
    /// When the agent cannot be loaded, the key belongs to another request, or too much is waiting.
    pub async fn start(&self, start: StartRun) -> Result<Started, EngineError> {
        let (run, session) = self.name(&start);
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
        loop {
            match turn.await {
                Ok(status) if status.ended() => return Ok(started),
                Ok(_) => turn = self.0.waiters.wait(run),
                Err(_) => return Err(EngineError::Draining),
            }
            // It may have ended before this caller was in line again.
            if self.journal().run(run).await?.is_some_and(|r| r.state.status.ended()) {
                return Ok(started);
            }
        }
    }

    fn name(&self, start: &StartRun) -> (RunId, Option<SessionId>) {
        match start.parent {
            // A child's names derive from the effect, so that starting it again finds it.
            Some((parent, _)) => {
                let (run, session) = stead_core::id::EffectId { run: parent.run, n: parent.effect }.child();
                (run, Some(session))
            }
            None => (self.0.ports.clock.new_run(), start.session),
        }
    }

    async fn start_named(
        &self,
        start: StartRun,
        run: RunId,
        session: Option<SessionId>,
    ) -> Result<Started, EngineError> {
        self.0.has_room()?;
        let agent = self.0.ports.agents.load(&start.tenant, start.version).await;
        let agent = agent.map_err(|e| EngineError::Agent { code: e.code, detail: e.detail })?;
        if start.parent.is_some() || session.is_none() {
            let session = session.unwrap_or_else(|| SessionId(self.0.ports.clock.new_ulid()));
            let admit = Admit { base: None, grant: grant(&agent.session_limits, stead_core::budget::Spend::ZERO) };
            return self.create(start, run, session, agent, Some(admit)).await;
        }
        let session = session.unwrap_or(SessionId(0));
        self.start_in(start, run, session, agent).await
    }

    /// Starts a run in a session that may be busy.
    async fn start_in(
        &self,
        start: StartRun,
        run: RunId,
        session: SessionId,
        agent: std::sync::Arc<Agent>,
    ) -> Result<Started, EngineError> {
        let _guard = self.0.sessions.lock(session).await;
        let row = self.journal().session(session).await?;
        let row = row.filter(|r| r.tenant == start.tenant);
        let row = row.ok_or_else(|| EngineError::NotFound { what: session.to_string() })?;
        if row.agent != agent.name {
            return Err(EngineError::Conflict {
                why: format!("{session} belongs to agent `{}`, not to `{}`", row.agent, agent.name),
            });
        }
        let waiting = self.0.sessions.waiting(session);
        let limit = self.0.options.max_session_queue;
        if waiting >= limit {
            return Err(EngineError::Overloaded { limit: limit as usize });
        }
        if row.active.is_none() && waiting == 0 {
            let admit = admission(self, &row, &agent.session_limits).await?;
            return self.create(start, run, session, agent, Some(admit)).await;
        }
        let started = self.create(start, run, session, agent, None).await?;
        if !started.existing {
            self.0.sessions.queued(session);
        }
        Ok(started)
    }

    async fn create(
        &self,
        start: StartRun,
        run: RunId,
        session: SessionId,
        agent: std::sync::Arc<Agent>,
        admit: Option<Admit>,
    ) -> Result<Started, EngineError> {
        let ports = &self.0.ports;
        let mut sealer = Sealer::default();
        let source = if start.parent.is_some() { Source::Agent } else { Source::User };
        let title = title(&start.input);
        let input = sealer.seal(&*ports.journal, &start.tenant, start.input, source, usize::MAX);
        let mut config = agent.config.clone();
        config.limits = config.limits.tighten(&start.limits);
        let (parent, hops) = start.parent.unzip();
        let queued = admit.is_none();
        let new = NewRun {
            run,
            tenant: start.tenant.clone(),
            session,
            agent: agent.name.clone(),
            version: agent.version,
            parent,
            hops: hops.unwrap_or(0),
            config,
            input,
            admit,
        };
        let activation = fresh_activation(self);
        let Decision { facts, payloads, state, at } = new.decide(Inputs { now: ports.clock.now(), activation });
        let header = Header {
            v: VERSION,
            run,
            seq: 0,
            at,
            activation,
            epoch: self.0.lease.lease.epoch,
            tenant: start.tenant.clone(),
            actor: start.actor,
            salt: ports.clock.random(),
            subject_key: None,
        };
        let record = Record { header, facts, payloads };
        let encoded = record.encode(GENESIS);
        let row = view::run_state(&state, wake_at(&state, at), is_soon(&state, at));
        let ended = state.life.ended();
        let change = match (queued, ended) {
            (true, _) => None,
            // A run can end with its first record, when its limits allow not even one call.
            (false, true) => Some(SessionChange::Release { head: true, spent: state.budget.spent }),
            (false, false) => Some(SessionChange::Claim),
        };
        let index = IndexChange {
            create: Some(journal::NewRun {
                tenant: start.tenant,
                session,
                agent: agent.name.clone(),
                version: agent.version,
                parent: parent.map(|p| p.run),
                idempotency: start.idempotency,
                title,
            }),
            run: Some(row.clone()),
            session: change,
            ..IndexChange::default()
        };
        let append = Append {
            run,
            partition: partition(session),
            seq: 0,
            epoch: self.0.lease.lease.epoch,
            record: encoded.bytes,
            leaf: encoded.leaf,
            at,
            blobs: sealer.blobs,
            index: Some(Box::new(index)),
        };
        match ports.journal.append(append).await {
            Ok(()) => {}
            Err(AppendError::Exists { run, same: true }) => return self.existing(run).await,
            Err(AppendError::Exists { run, same: false }) => return Err(EngineError::KeyReused { run }),
            // A child that was started before a crash.
            Err(AppendError::Conflict { next }) if next > 0 && parent.is_some() => return self.existing(run).await,
            // Whether it was written is not known; if it was, it is found and goes on.
            Err(AppendError::Unknown(why)) => match self.existing(run).await {
                Ok(started) => return Ok(Started { existing: false, ..started }),
                Err(_) => return Err(AppendError::Unknown(why).into()),
            },
            Err(AppendError::Fenced { current }) => {
                self.0.die();
                return Err(AppendError::Fenced { current }.into());
            }
            Err(other) => return Err(other.into()),
        }
        self.0.counters.record(&record.facts);
        if ended {
            self.0.waiters.wake(run, row.status);
        } else if !queued {
            self.0.launch(
                self,
                run,
                Boot::New(Box::new(Born { state, prev: encoded.leaf, activation, agent, row, tail: 1 })),
            );
        }
        Ok(Started { run, session, queued, existing: false })
    }

    /// A run that was there already; it is woken in case nobody has since.
    async fn existing(&self, run: RunId) -> Result<Started, EngineError> {
        let row = self.journal().run(run).await?.ok_or_else(|| EngineError::NotFound { what: run.to_string() })?;
        if row.state.status == Status::Running {
            self.0.tell(self, run, crate::actor::Msg::Wake)?;
        }
        let queued = row.state.status == Status::Queued;
        Ok(Started { run, session: row.session, queued, existing: true })
    }
}
