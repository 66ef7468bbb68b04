//! The door for inputs: what a run is asked satisfies the schema of its version before anything of the run exists. Every
//! door of a run leads through here: a caller's start, a session's next run, a child.

use std::sync::Arc;

use serde_json::value::RawValue;
use stead_ports::{
    agent::{Agent, Handed},
    input::Misfit,
};

use crate::{
    Engine,
    types::{EngineError, StartRun, Started},
};

impl Engine {
    /// Whether the input of a run fits the schema of its version: for what a door must do before it starts the run.
    /// Starting it looks again.
    ///
    /// # Errors
    /// [`EngineError::Input`], or the agent cannot be loaded.
    pub async fn fits(&self, start: &StartRun) -> Result<(), EngineError> {
        let agent = self.agent_of(start).await?;
        self.admit(&agent, start).await.map(drop)
    }

    /// Lets an input that fits pass. One that does not may be a request that was made before, when its version was live
    /// and it did fit: that run is given back.
    pub(crate) async fn admit(&self, agent: &Agent, start: &StartRun) -> Result<Option<Started>, EngineError> {
        let Err(misfit) = check(agent, &start.input) else { return Ok(None) };
        if let Some((key, digest)) = &start.idempotency
            && let Some((run, first)) = self.journal().by_key(&start.tenant, key).await?
            && first == *digest
        {
            return self.existing(run).await.map(Some);
        }
        Err(EngineError::Input(Arc::new(misfit)))
    }

    pub(crate) async fn agent_of(&self, start: &StartRun) -> Result<Arc<Agent>, EngineError> {
        let agent = self.0.ports.agents.load(&start.tenant, start.version).await;
        agent.map_err(|e| EngineError::Agent { code: e.code, detail: e.detail })
    }
}

fn check(agent: &Agent, input: &str) -> Result<(), Misfit> {
    agent.input.as_ref().map_or(Ok(()), |schema| (schema.check)(input))
}

/// What a call of an agent says to it.
#[derive(serde::Deserialize)]
struct Arguments<T> {
    input: T,
}

/// The input of the child that a call with these arguments starts.
pub(crate) fn handed(arguments: &RawValue, what: Handed) -> Result<String, serde_json::Error> {
    match what {
        Handed::Arguments => Ok(arguments.get().to_owned()),
        Handed::Text => serde_json::from_str::<Arguments<String>>(arguments.get()).map(|a| a.input),
        Handed::Value => {
            serde_json::from_str::<Arguments<Box<RawValue>>>(arguments.get()).map(|a| a.input.get().to_owned())
        }
    }
}
