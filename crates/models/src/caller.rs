//! `caller`: the model of a run whose only call comes from outside, word for word. Its input is the call; it says exactly
//! that call, and once it has been made, how it ended. No AI, and no state: what it says follows from the conversation, so
//! that an attempt that was lost is made again and costs nothing.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stead_core::{
    budget::{Price, Usage},
    code,
    id::Name,
    message::{Message, Reply, StopReason, ToolCall},
};
use stead_ports::{
    BoxFuture,
    model::{DeltaSink, Model, ModelCall, ModelError, Retry},
};

/// What it says of a call that returned.
pub const DONE: &str = "done";

/// The input of a run: the call that is to be made.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The tool's full name.
    pub tool: String,
    /// The exact JSON text of the arguments.
    pub arguments: Box<RawValue>,
}

/// See the module.
#[derive(Debug)]
pub struct Caller(Name);

impl Caller {
    /// What it costs: nothing, and that is known.
    pub const PRICE: Price = Price { input: 0, cached: 0, output: 0, cache_write: None };
}

impl Default for Caller {
    fn default() -> Self {
        Self("caller".into())
    }
}

impl Model for Caller {
    fn name(&self) -> &Name {
        &self.0
    }

    fn scripted(&self) -> bool {
        true
    }

    fn call(&self, call: ModelCall, _: DeltaSink) -> BoxFuture<'_, Result<Reply, ModelError>> {
        Box::pin(std::future::ready(said(&call)))
    }
}

fn said(call: &ModelCall) -> Result<Reply, ModelError> {
    let reply = Reply { usage: Usage::default(), ..Reply::default() };
    match call.messages.last().map(AsRef::as_ref) {
        Some(Message::User { text, .. }) => {
            let call: Call = serde_json::from_str(text).map_err(|e| no_call(&e))?;
            let call = ToolCall { id: "call".into(), name: call.tool, arguments: call.arguments };
            Ok(Reply { calls: vec![call], stop: StopReason::ToolCalls, ..reply })
        }
        Some(Message::Tool(result)) if result.error => Ok(Reply { text: result.content.clone(), ..reply }),
        Some(Message::Tool(_)) => Ok(Reply { text: DONE.into(), ..reply }),
        Some(Message::Assistant(_)) | None => Err(no_call(&"there is no input")),
    }
}

fn no_call(why: &dyn std::fmt::Display) -> ModelError {
    let detail = format!("the input of a run of this agent is a call, and this is none: {why}");
    ModelError { code: code::MODEL_REFUSED, detail, retry: Retry::No, charged: false }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use stead_core::{id::RunId, message::ToolResult};

    use super::*;

    fn ask(messages: Vec<Message>) -> Result<Reply, ModelError> {
        said(&ModelCall {
            run: RunId(1),
            turn: 1,
            attempt: 1,
            instructions: "".into(),
            messages: messages.into_iter().map(Arc::new).collect(),
            tools: Arc::new([]),
            max_output_tokens: 0,
            output: None,
            raw: None,
            begun: None,
        })
    }

    #[test]
    fn the_input_is_the_call_byte_for_byte_and_then_its_end_is_told() {
        let user = Message::user(r#"{"tool":"t","arguments":{"a": 1.0}}"#);
        let reply = ask(vec![user.clone()]).unwrap();
        assert_eq!((reply.calls[0].name.as_str(), reply.calls[0].arguments.get()), ("t", r#"{"a": 1.0}"#));
        let result = |content: &str, error| {
            Message::Tool(ToolResult {
                call_id: "call".into(),
                name: "t".into(),
                content: content.into(),
                error,
                images: Vec::new(),
            })
        };
        assert_eq!(ask(vec![user.clone(), result("much", false)]).unwrap().text, DONE);
        assert_eq!(ask(vec![user, result("denied", true)]).unwrap().text, "denied");
    }

    #[test]
    fn what_is_no_call_fails_the_run_at_once() {
        let error = ask(vec![Message::user("Good morning")]).unwrap_err();
        assert_eq!((error.code, error.retry, error.charged), (code::MODEL_REFUSED, Retry::No, false));
    }
}
