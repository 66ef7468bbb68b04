//! `rehearsal:auto`: no script at all. It calls every tool once with arguments made from its schema, then sums up.
//! A smoke test for an agent's tools: it shows that each can be reached, not that it is used with sense.

use stead_core::{
    id::Name,
    message::{Reply, ToolResult},
};
use stead_ports::{
    BoxFuture,
    model::{DeltaSink, Model, ModelCall, ModelError},
};

use super::{
    NOTICE,
    answer::{reply, tool_call},
    compile::Pace,
    conversation::Conversation,
    model::speak,
    sample,
};

/// Most calls of one reply; more tools wait for the next turn.
const MAX_CALLS: usize = 32;
/// Most characters of a tool's result in the summary.
const MAX_SHOWN: usize = 200;

/// A model that tries every tool.
#[derive(Debug)]
pub struct Auto {
    name: Name,
}

impl Default for Auto {
    fn default() -> Self {
        Self { name: "rehearsal:auto".into() }
    }
}

impl Model for Auto {
    fn name(&self) -> &Name {
        &self.name
    }

    fn scripted(&self) -> bool {
        true
    }

    fn call(&self, call: ModelCall, deltas: DeltaSink) -> BoxFuture<'_, Result<Reply, ModelError>> {
        Box::pin(async move {
            let reply = answer(&call);
            speak(Pace::default(), &reply, &deltas).await;
            Ok(reply)
        })
    }
}

/// Calls what has not answered since the user last spoke; sums up when nothing is left.
fn answer(call: &ModelCall) -> Reply {
    let conversation = Conversation::new(&call.messages);
    let mut calls = Vec::new();
    for tool in call.tools.iter() {
        if calls.len() < MAX_CALLS && !conversation.since_user().any(|r| r.name == tool.name) {
            // A schema that nothing satisfies still gets a call: the refusal is part of the rehearsal.
            let arguments = sample::sample(&tool.schema).map_or_else(|| "{}".to_owned(), |v| v.to_string());
            calls.push(tool_call(call.turn, calls.len(), &tool.name, arguments));
        }
    }
    let text = if calls.is_empty() { summary(&conversation) } else { String::new() };
    reply(text, calls, call)
}

fn summary(conversation: &Conversation<'_>) -> String {
    let mut lines: Vec<String> = conversation.since_user().map(line).collect();
    if lines.is_empty() {
        return format!("This is a {NOTICE}. It calls every tool once; this agent has none.");
    }
    lines.insert(0, format!("This is a {NOTICE}. It called every tool once:"));
    lines.join("\n- ")
}

fn line(result: &ToolResult) -> String {
    let mut content: String = result.content.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if let Some((cut, _)) = content.char_indices().nth(MAX_SHOWN) {
        content.truncate(cut);
        content.push('…');
    }
    format!("{}: {}{content}", result.name, if result.error { "error: " } else { "" })
}
