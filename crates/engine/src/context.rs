//! What a model saw: the journal folded up to the request of a turn, and from there the very code that serves a live run.

use std::sync::Arc;

use stead_core::{
    context::view,
    fact::{Fact, ModelRequested},
    id::{Name, RunId},
    message::{Message, OutputSchema, ToolDef},
    record::{Body, Source},
    run::{EntryKind, State},
    time::Timestamp,
};

use crate::{
    Engine,
    load::{self, Stopped},
    messages::Messages,
    types::EngineError,
};

/// What a model was given for a turn.
#[derive(Clone, Debug)]
pub struct ContextView {
    /// The run.
    pub run: RunId,
    /// The turn, from 1.
    pub turn: u32,
    /// The attempt: the last of the turn. All attempts of a turn see the same, but for answers that came late meanwhile.
    pub attempt: u32,
    /// When it was requested.
    pub at: Timestamp,
    /// The model, as the manifest names it.
    pub model: Name,
    /// Most tokens of output that were asked for.
    pub max_output_tokens: u64,
    /// The instructions.
    pub instructions: Arc<str>,
    /// The tools on offer.
    pub tools: Arc<[ToolDef]>,
    /// What the answer had to look like.
    pub output: Option<Arc<OutputSchema>>,
    /// Estimated tokens of instructions and tools.
    pub overhead_tokens: u64,
    /// The messages, oldest first.
    pub messages: Vec<SeenMessage>,
    /// Estimated tokens of all messages.
    pub message_tokens: u64,
}

/// A message as the model saw it.
#[derive(Clone, Debug)]
pub struct SeenMessage {
    /// The message.
    pub message: Arc<Message>,
    /// Who said it; `None` for texts without a label.
    pub source: Option<Source>,
    /// Estimated tokens that it took.
    pub tokens: u64,
    /// Whether it is an old result whose text was cleared from the view.
    pub cleared: bool,
    /// The effect whose result it is.
    pub effect: Option<u32>,
    /// Whether it stems from an earlier run of the session.
    pub earlier: bool,
    /// Bytes of the whole text, when the model was shown its beginning only.
    pub cut_from: Option<u64>,
}

impl Engine {
    /// What the model was given in a turn, from the journal. Instructions and tools are those of the run's version.
    ///
    /// # Errors
    /// When the run does not exist or cannot be read, its model was not asked in that turn, or its agent version cannot be
    /// loaded.
    pub async fn context(&self, run: RunId, turn: u32) -> Result<ContextView, EngineError> {
        let journal = self.journal();
        let missing = || EngineError::NotFound { what: format!("turn {turn} of {run}") };
        let requested = |fact: &Fact| match fact {
            Fact::ModelRequested(f) if f.turn == turn => Some(f.clone()),
            _ => None,
        };
        let stopped = load::up_to_last(journal, run, requested).await?;
        let Stopped { state, found, at, earlier } = stopped.ok_or_else(missing)?;
        let agent = self.0.ports.agents.load(&state.tenant, state.version).await;
        let agent = agent.map_err(|e| EngineError::Agent { code: e.code, detail: e.detail })?;
        let mut messages = Messages::default();
        messages.refresh(journal, &state, None).await?;
        let ModelRequested { attempt, model, .. } = found;
        let config = state.config.models.get(usize::from(model));
        Ok(ContextView {
            run,
            turn,
            attempt,
            at,
            model: config.map(|m| m.name.clone()).unwrap_or_default(),
            max_output_tokens: config.map_or(0, |m| m.max_output_tokens),
            instructions: agent.instructions.clone(),
            tools: agent.defs.clone(),
            output: agent.output.as_ref().map(|output| output.schema.clone()),
            overhead_tokens: state.config.overhead_tokens,
            messages: seen(&state, &messages, earlier),
            message_tokens: state.view_tokens,
        })
    }
}

fn seen(state: &State, messages: &Messages, earlier: usize) -> Vec<SeenMessage> {
    let one = |(n, (seen, message)): (usize, (stead_core::context::Seen<'_>, Arc<Message>))| {
        let (entry, cleared) = (seen.entry(), seen.is_cleared());
        SeenMessage {
            message,
            source: entry.payload.source,
            tokens: seen.tokens(),
            cleared,
            effect: match entry.kind {
                EntryKind::Result { effect, .. } => Some(effect),
                _ => None,
            },
            earlier: n < earlier,
            cut_from: match &entry.payload.body {
                Body::Blob { len, preview: Some(_), .. } if !cleared => Some(*len),
                _ => None,
            },
        }
    };
    view(state).zip(messages.view(state)).enumerate().map(one).collect()
}
