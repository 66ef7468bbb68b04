//! Working memory on its way to a model: the machine's view of the conversation, with the texts put in. A run's own task and
//! whoever asks later what a model saw read it here, so that the two cannot differ.

use std::sync::Arc;

use stead_core::{
    context::{CLEARED, Seen, view},
    message::{Message, Reply, ToolResult},
    run::{Entry, EntryKind, State},
};
use stead_ports::journal::Journal;

use crate::{files, payload, types::EngineError, view::reply};

/// The conversation as models read it, entry by entry.
#[derive(Default)]
pub(crate) struct Messages(Vec<Arc<Message>>);

impl Messages {
    /// Forgets all of it: the conversation is another.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Reads the entries that have joined the conversation since the last call. `fresh` is the reply just received, which
    /// spares reading it back.
    pub(crate) async fn refresh(
        &mut self,
        journal: &Arc<dyn Journal>,
        state: &State,
        fresh: Option<&Reply>,
    ) -> Result<(), EngineError> {
        while let Some(entry) = state.transcript.get(self.0.len()) {
            let message = self.message(journal, state, entry, fresh).await?;
            self.0.push(Arc::new(message));
        }
        Ok(())
    }

    async fn message(
        &self,
        journal: &Arc<dyn Journal>,
        state: &State,
        entry: &Entry,
        fresh: Option<&Reply>,
    ) -> Result<Message, EngineError> {
        let text = async || {
            let bytes = payload::open(journal, &state.tenant, &entry.payload).await?;
            Ok::<_, EngineError>(String::from_utf8_lossy(&bytes).into_owned())
        };
        Ok(match entry.kind {
            EntryKind::Reply => {
                // The reply at hand is the conversation's last.
                let is_last = state.transcript.iter().skip(self.0.len() + 1).all(|e| e.kind != EntryKind::Reply);
                Message::Assistant(match fresh {
                    Some(fresh) if is_last => fresh.clone(),
                    _ => reply(journal, state, &entry.payload).await?,
                })
            }
            EntryKind::Result { call, error, .. } => {
                let content = text().await?;
                let (call_id, name) = self.call_of(call);
                let images = files::pictures(journal, &state.tenant, &entry.payload.artifacts).await?;
                Message::Tool(ToolResult { call_id, name, content, error, images })
            }
            EntryKind::User => {
                let mut text = text().await?;
                let images = files::put(journal, &state.tenant, &entry.payload.artifacts, &mut text).await?;
                Message::User { text, images }
            }
            EntryKind::Rejected => Message::user(answer_rejected(&text().await?)),
            EntryKind::Note => Message::user(format!(
                "[notice from the runtime] A late answer to an earlier action: {}",
                text().await?
            )),
        })
    }

    /// The entry at that place, if it has been read.
    pub(crate) fn get(&self, index: usize) -> Option<&Message> {
        self.0.get(index).map(|message| &**message)
    }

    /// Id and name of a call of the last reply read so far.
    fn call_of(&self, index: u16) -> (String, String) {
        let reply = self.0.iter().rev().find_map(|m| match &**m {
            Message::Assistant(reply) => Some(reply),
            _ => None,
        });
        reply
            .and_then(|r| r.calls.get(usize::from(index)))
            .map_or_else(|| (format!("call_{index}"), String::new()), |c| (c.id.clone(), c.name.clone()))
    }

    /// The messages that the next model call sees.
    pub(crate) fn view(&self, state: &State) -> Vec<Arc<Message>> {
        view(state)
            .zip(&self.0)
            .map(|(seen, message)| match (seen, &**message) {
                (Seen::Cleared(_), Message::Tool(result)) => {
                    let (content, images) = (CLEARED.to_owned(), Vec::new());
                    Arc::new(Message::Tool(ToolResult { content, images, ..result.clone() }))
                }
                _ => message.clone(),
            })
            .collect()
    }
}

/// What the model reads of an answer that was not accepted, for that reason.
pub fn answer_rejected(why: &str) -> String {
    format!(
        "[notice from the runtime] Your answer was not accepted: {why}\nGive the whole answer again: one JSON value that \
         satisfies the schema, and nothing before or after it."
    )
}
