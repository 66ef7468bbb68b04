//! A run whose agent version cannot be loaded now: its key is not set in this process, its secret was removed, an operator
//! allows less than it needs. It comes into memory without its agent and only holds: nothing of it is dispatched, and what
//! people say that needs no agent (stop, kill, pause, deny) is recorded. So no run is trapped by what it was made of.

use std::sync::Arc;

use stead_core::{
    budget::Limits,
    record::Actor as By,
    run::{Command, Debt, State, wake_at},
    time::Span,
};
use stead_ports::{agent::Agent, journal::RunRow};

use crate::{
    Engine,
    actor::{Actor, Ask},
    flights::Key,
    pay::key,
    types::EngineError,
};

/// An agent that can do nothing, in the place of the one that cannot be loaded.
pub(crate) fn stand_in(row: &RunRow, state: &State) -> Arc<Agent> {
    Arc::new(Agent {
        name: row.agent.clone(),
        version: state.version,
        instructions: "".into(),
        config: (*state.config).clone(),
        session_limits: Limits::default(),
        models: Vec::new(),
        model_timeout: Span(0),
        input: None,
        output: None,
        provenance: None,
        ask_below: None,
        relays: false,
        tools: Vec::new(),
        defs: Arc::from([]),
    })
}

/// The agent of a run, or what stands in for it and why.
pub(crate) async fn agent_of(engine: &Engine, row: &RunRow, state: &State) -> (Arc<Agent>, Option<EngineError>) {
    // One that has ended only says so.
    if state.life.ended() {
        return (stand_in(row, state), None);
    }
    match engine.0.ports.agents.load(&state.tenant, state.version).await {
        Ok(agent) => (agent, None),
        Err(e) => (stand_in(row, state), Some(EngineError::Agent { code: e.code, detail: e.detail })),
    }
}

impl Actor {
    /// Why what is asked cannot be done without the agent. What lets a run go on is said to one that can; at rest nothing
    /// begins anyway, and what is asked is there for the process that begins it.
    pub(crate) fn refuses(&self, ask: &Ask) -> Option<&EngineError> {
        let goes_on = matches!(ask, Ask::Resume | Ask::Approve { approved: true, .. });
        self.unloadable.as_ref().filter(|_| goes_on && !self.engine.0.options.at_rest)
    }

    /// Whether what children have to say is left for when the agent is there: how much of it a model is shown, that agent
    /// says. A run that is being stopped shows nothing to a model any more.
    pub(crate) fn leaves_inbox(&self) -> bool {
        self.unloadable.is_some() && self.state.stop.is_none()
    }

    /// What a run without its agent does by itself: its questions and its time run out, and its children are stopped with it.
    pub(crate) async fn pay_without_agent(&mut self) -> Result<(), EngineError> {
        let alone = self.unloadable.is_some() || self.is_off();
        if !alone || self.draining || self.engine.0.is_draining() {
            return Ok(());
        }
        let now = self.engine.0.ports.clock.now();
        if wake_at(&self.state, now).is_some_and(|at| at <= now) {
            self.commit(Command::Tick, By::Runtime).await?;
        }
        for debt in self.debts() {
            if let Debt::StopChild { effect, child, mode } = debt
                && key(&debt).is_some_and(|key: Key| !self.flights.has(key))
                && !self.stopped.contains(&(effect, mode))
            {
                self.stop_child(effect, child, mode);
            }
        }
        Ok(())
    }
}
