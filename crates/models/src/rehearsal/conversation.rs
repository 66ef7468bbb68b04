//! The conversation as rules look at it: who had the last word, and what tools said. Borrowed, computed per call.

use std::sync::Arc;

use serde_json::Value;
use stead_core::message::{Message, ToolResult};

/// A view of the messages of one call.
pub(super) struct Conversation<'a> {
    messages: &'a [Arc<Message>],
    /// Where the tool results after the last reply begin; the number of messages when there are none.
    tail: usize,
    user: Option<&'a str>,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(messages: &'a [Arc<Message>]) -> Self {
        let results = messages.iter().rev().take_while(|m| matches!(***m, Message::Tool(_))).count();
        let user = messages.iter().rev().find_map(|m| match &**m {
            Message::User { text, .. } => Some(text.as_str()),
            _ => None,
        });
        Self { messages, tail: messages.len() - results, user }
    }

    /// The latest text of the user; the empty text when there is none.
    pub(super) fn user(&self) -> &'a str {
        self.user.unwrap_or("")
    }

    /// Whether the user had the last word.
    pub(super) fn user_spoke(&self) -> bool {
        self.messages.last().is_none_or(|m| matches!(**m, Message::User { .. }))
    }

    /// The tool results that nobody has answered yet, in order.
    pub(super) fn fresh(&self) -> impl Iterator<Item = &'a ToolResult> {
        self.messages[self.tail..].iter().filter_map(|m| as_result(m))
    }

    /// The latest result of that tool in the whole conversation.
    pub(super) fn latest(&self, tool: &str) -> Option<&'a ToolResult> {
        self.messages.iter().rev().filter_map(|m| as_result(m)).find(|r| r.name == tool)
    }

    /// Results of the tools since the user last spoke, in order.
    pub(super) fn since_user(&self) -> impl Iterator<Item = &'a ToolResult> {
        let from = self.messages.iter().rposition(|m| matches!(**m, Message::User { .. })).map_or(0, |i| i + 1);
        self.messages[from..].iter().filter_map(|m| as_result(m))
    }
}

fn as_result(message: &Message) -> Option<&ToolResult> {
    match message {
        Message::Tool(r) => Some(r),
        _ => None,
    }
}

/// A tool's content as JSON, or as a JSON string when it is prose.
pub(super) fn content_value(content: &str) -> Value {
    serde_json::from_str(content).unwrap_or_else(|_| Value::String(content.to_owned()))
}
