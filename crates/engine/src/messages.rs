//! Working memory on its way to a model: the machine's view of the conversation, with the texts put in.

use std::sync::Arc;

use stead_core::{
    context::{CLEARED, Seen, view},
    message::{Message, Reply, ToolResult},
    run::{Entry, EntryKind},
};

use crate::{actor::Actor, payload, types::EngineError, view::reply};

impl Actor {
    /// Reads the entries that have joined the conversation since the last call.
    pub(crate) async fn refresh_messages(&mut self) -> Result<(), EngineError> {
        while let Some(entry) = self.state.transcript.get(self.messages.len()).cloned() {
            let message = self.message(&entry).await?;
            self.messages.push(Arc::new(message));
        }
        Ok(())
    }

    async fn message(&mut self, entry: &Entry) -> Result<Message, EngineError> {
        let journal = &self.engine.0.ports.journal;
        Ok(match entry.kind {
            EntryKind::Reply => Message::Assistant(self.reply_at(entry).await?),
            EntryKind::Result { call, error, .. } => {
                let content = self.text(entry).await?;
                let (call_id, name) = self.call_of(call);
                Message::Tool(ToolResult { call_id, name, content, error })
            }
            EntryKind::User => Message::User { text: self.text(entry).await? },
            EntryKind::Note => {
                let bytes = payload::open(journal, &self.state.tenant, &entry.payload).await?;
                let text = String::from_utf8_lossy(&bytes);
                Message::User { text: format!("[notice from the runtime] A late answer to an earlier action: {text}") }
            }
        })
    }

    async fn text(&mut self, entry: &Entry) -> Result<String, EngineError> {
        let bytes = payload::open(&self.engine.0.ports.journal, &self.state.tenant, &entry.payload).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The reply of the next entry; the one just received is at hand if no other reply follows.
    async fn reply_at(&mut self, entry: &Entry) -> Result<Reply, EngineError> {
        let is_last = self.state.transcript.iter().skip(self.messages.len() + 1).all(|e| e.kind != EntryKind::Reply);
        match &self.fresh_reply {
            Some(fresh) if is_last => Ok(fresh.clone()),
            _ => reply(&self.engine.0.ports.journal, &self.state, &entry.payload).await,
        }
    }

    /// Id and name of a call of the last reply read so far.
    fn call_of(&self, index: u16) -> (String, String) {
        let reply = self.messages.iter().rev().find_map(|m| match &**m {
            Message::Assistant(reply) => Some(reply),
            _ => None,
        });
        reply
            .and_then(|r| r.calls.get(usize::from(index)))
            .map_or_else(|| (format!("call_{index}"), String::new()), |c| (c.id.clone(), c.name.clone()))
    }

    /// The messages that the next model call sees.
    pub(crate) fn view_messages(&self) -> Vec<Arc<Message>> {
        view(&self.state)
            .zip(&self.messages)
            .map(|(seen, message)| match (seen, &**message) {
                (Seen::Cleared(_), Message::Tool(result)) => {
                    Arc::new(Message::Tool(ToolResult { content: CLEARED.to_owned(), ..result.clone() }))
                }
                _ => message.clone(),
            })
            .collect()
    }
}
