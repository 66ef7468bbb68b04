//! A run's task hears its conversation before policies are asked about what follows from it.

use std::sync::atomic::Ordering::Relaxed;

use stead_core::message::Message;
use stead_core::run::{EntryKind, Planning};

use crate::{
    actor::Actor,
    hearing::{Hearing, Spoken, task},
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
        while let Some(entry) = self.state.transcript.get(hearing.len()) {
            let Some(message) = self.messages.get(hearing.len()) else { break };
            let own = match message {
                Message::User { .. } if entry.kind == EntryKind::User && !entry.payload.artifacts.is_empty() => {
                    let text = payload::open(&journal, &self.state.tenant, &entry.payload).await?;
                    String::from_utf8_lossy(&text).into_owned()
                }
                Message::User { text, .. } => text.clone(),
                _ => String::new(),
            };
            hearing.hear(&agent, provenance, &self.state, Spoken { entry, message, own: &own });
        }
        if hearing.tainted_since(before) {
            self.tainted.store(true, Relaxed);
        }
        if hearing.lacks_plan(&self.state)
            && let Planning::Drawn(payload) = &self.state.planning
        {
            let text = payload::open_whole(&journal, &self.state.tenant, payload).await?;
            if let Err(errors) = hearing.take_plan(provenance, &task(&self.state), &String::from_utf8_lossy(&text)) {
                // Without its plan the run asks a human for whatever the plan would have let through.
                let why = errors.first().map(ToString::to_string).unwrap_or_default();
                tracing::error!(run = %self.run, why, "the run's plan cannot be read any more");
            }
        }
        self.hearing = Some(hearing);
        Ok(())
    }
}
