//! A run's task hears its conversation before policies are asked about what follows from it.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use stead_core::{
    message::Message,
    run::{EntryKind, Planning, State},
};
use stead_ports::{
    agent::{Agent, Provenance},
    journal::Journal,
};

use crate::{
    Engine,
    actor::Actor,
    hearing::{Hearing, Spoken, task},
    kin,
    messages::Messages,
    payload,
    types::EngineError,
};

impl Actor {
    /// Hears what has joined the conversation; nothing when the manifest asks for no provenance. `replied` says that a reply is at hand
    /// which the conversation does not have yet.
    pub(crate) async fn listen(&mut self, replied: bool) -> Result<(), EngineError> {
        let agent = self.agent.clone();
        let Some(provenance) = &agent.provenance else { return Ok(()) };
        let journal = self.engine.0.ports.journal.clone();
        let fresh = self.fresh_reply.as_ref().filter(|_| !replied);
        self.messages.refresh(&journal, &self.state, fresh).await?;
        let mut hearing = self.hearing.take().unwrap_or_else(|| Hearing::new(&agent));
        let before = hearing.len();
        hear(&self.engine, &mut hearing, &self.messages, (&agent, provenance), &self.state).await?;
        if hearing.tainted_since(before) {
            self.tainted.store(true, Relaxed);
        }
        self.hearing = Some(hearing);
        Ok(())
    }
}

/// Hears what a conversation has that was not heard yet, as far as its messages have been read, with what its relatives have sent, and
/// takes in the run's plan.
pub(crate) async fn hear(
    engine: &Engine,
    hearing: &mut Hearing,
    messages: &Messages,
    (agent, provenance): (&Agent, &Provenance),
    state: &State,
) -> Result<(), EngineError> {
    let journal = engine.journal();
    if hearing.len() < state.transcript.len() {
        kin::join(engine, hearing, (agent, provenance), state).await?;
    }
    hear_own(journal, hearing, messages, (agent, provenance), state).await?;
    if hearing.lacks_plan(state)
        && let Planning::Drawn(payload) = &state.planning
    {
        let text = payload::open_whole(journal, &state.tenant, payload).await?;
        if let Err(errors) = hearing.take_plan(provenance, &task(state), &String::from_utf8_lossy(&text)) {
            // Without its plan the run asks a human for whatever the plan would have let through.
            let why = errors.first().map(ToString::to_string).unwrap_or_default();
            tracing::error!(run = %state.run, why, "the run's plan cannot be read any more");
        }
    }
    Ok(())
}

/// The conversation alone.
pub(crate) async fn hear_own(
    journal: &Arc<dyn Journal>,
    hearing: &mut Hearing,
    messages: &Messages,
    (agent, provenance): (&Agent, &Provenance),
    state: &State,
) -> Result<(), EngineError> {
    while let Some(entry) = state.transcript.get(hearing.len()) {
        let Some(message) = messages.get(hearing.len()) else { break };
        let own = match message {
            Message::User { .. } if entry.kind == EntryKind::User && !entry.payload.artifacts.is_empty() => {
                let text = payload::open(journal, &state.tenant, &entry.payload).await?;
                String::from_utf8_lossy(&text).into_owned()
            }
            Message::User { text, .. } => text.clone(),
            _ => String::new(),
        };
        hearing.hear(agent, provenance, state, Spoken { entry, message, own: &own });
    }
    Ok(())
}
