//! What a run asked its models and what they replied, turn by turn: the journal folded once, and from there the very code that
//! serves a live run. So a cassette that is made afterwards asks what the run asked.

use std::sync::Arc;

use stead_core::{
    fact::{Fact, ModelRequested},
    id::{Name, RunId, VersionId},
    message::{Message, Reply},
    record::Payload,
    run::State,
};

use crate::{Engine, load, messages::Messages, types::EngineError, view};

/// A run with its exchanges.
#[derive(Clone, Debug)]
pub struct Exchanges {
    /// The agent.
    pub agent: Name,
    /// Its version.
    pub version: VersionId,
    /// Each request that was replied to, in order.
    pub all: Vec<Exchanged>,
}

/// A request that was replied to.
#[derive(Clone, Debug)]
pub struct Exchanged {
    /// The turn, from 1.
    pub turn: u32,
    /// The model, as the manifest names it.
    pub model: Name,
    /// Most tokens of output that were asked for.
    pub max_output_tokens: u64,
    /// The messages, oldest first; those of earlier runs of the session among them.
    pub messages: Vec<Arc<Message>>,
    /// The reply.
    pub reply: Reply,
}

/// A request with the state that it was made from, and its reply.
struct Found {
    asked: State,
    request: ModelRequested,
    reply: Payload,
}

impl Engine {
    /// What a run asked and was replied, so far.
    ///
    /// # Errors
    /// When the run does not exist or its journal cannot be read.
    pub async fn exchanges(&self, run: RunId) -> Result<Exchanges, EngineError> {
        let journal = self.journal();
        let row = journal.run(run).await?.ok_or_else(|| EngineError::NotFound { what: run.to_string() })?;
        let mut found: Vec<Found> = Vec::new();
        let mut asked: Option<(State, ModelRequested)> = None;
        load::each(journal, run, |state, record| {
            for fact in &record.facts {
                match fact {
                    Fact::ModelReplied(f) => {
                        let reply = record.payloads.get(usize::from(f.payload));
                        if let (Some((asked, request)), Some(reply)) = (asked.take(), reply) {
                            found.push(Found { asked, request, reply: reply.clone() });
                        }
                    }
                    Fact::ModelRequested(f) => asked = Some((state.clone(), f.clone())),
                    _ => {}
                }
            }
        })
        .await?;
        let mut messages = Messages::default();
        let mut all = Vec::with_capacity(found.len());
        for Found { asked, request, reply } in found {
            messages.refresh(journal, &asked, None).await?;
            let model = asked.config.models.get(usize::from(request.model));
            all.push(Exchanged {
                turn: request.turn,
                model: model.map(|m| m.name.clone()).unwrap_or_default(),
                max_output_tokens: model.map_or(0, |m| m.max_output_tokens),
                messages: messages.view(&asked),
                reply: view::reply(journal, &asked, &reply).await?,
            });
        }
        Ok(Exchanges { agent: row.agent, version: row.version, all })
    }
}
