//! `relay`: a model of an agent whose loop runs elsewhere. A run of such an agent is one call of a model: its input is what a client asks
//! it, word for word, and its answer is what the model said, with the tool calls that the client will make by itself. Here those are
//! words, and no effects.
//!
//! Not here: what clients send and get ([`Relayed`] is neither), and who may ask.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use stead_core::{
    code,
    id::Name,
    message::{Message, OutputSchema, Reply, StopReason, ToolCall, ToolDef, ToolResult},
};
use stead_ports::{
    BoxFuture,
    model::{DeltaSink, Model, ModelCall, ModelError, Retry},
};

/// The input of a run: what a client asks a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relayed {
    /// The model, as the client names it.
    pub model: String,
    /// What the model is told before everything else.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instructions: String,
    /// The conversation, as the client tells it.
    pub messages: Vec<Turn>,
    /// Tools that the client runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolDef>,
    /// What the answer must look like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputSchema>,
    /// Most tokens of the answer; never more than the agent's own bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
}

/// A message of a client's conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Turn {
    /// Somebody says something to the model.
    User(String),
    /// The model said something.
    Assistant {
        /// The text.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        text: String,
        /// The calls.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        calls: Vec<Called>,
    },
    /// A tool of the client answered.
    Tool {
        /// The id of the call.
        id: String,
        /// The tool.
        name: String,
        /// What it said.
        content: String,
        /// Whether that is an error, as the client says it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        error: bool,
    },
}

/// A call of a tool that a client runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Called {
    /// Its id.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The arguments' JSON text.
    pub arguments: String,
}

/// The answer of a run: what the model said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// The text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Calls that the client makes by itself: nobody here decides on them, and nobody here knows whether they happened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ungoverned: Vec<Called>,
    /// Why the model stopped.
    pub stop: StopReason,
    /// The model that answered.
    pub model: String,
}

/// A model that is asked what clients ask.
pub struct Relay(Arc<dyn Model>);

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Relay").field(self.0.name()).finish()
    }
}

impl Relay {
    /// Asks that model.
    pub fn new(model: Arc<dyn Model>) -> Self {
        Self(model)
    }
}

/// Whether a client that says `asked` means the model of that name: with its provider, or without.
pub fn is_meant(asked: &str, name: &str) -> bool {
    asked == name || name.split_once(':').is_some_and(|(_, model)| model == asked)
}

impl Model for Relay {
    fn name(&self) -> &Name {
        self.0.name()
    }

    fn scripted(&self) -> bool {
        self.0.scripted()
    }

    fn account(&self) -> Option<&Name> {
        self.0.account()
    }

    fn call(&self, call: ModelCall, deltas: DeltaSink) -> BoxFuture<'_, Result<Reply, ModelError>> {
        Box::pin(async move {
            let call = asked(call)?;
            let reply = self.0.call(call, deltas).await?;
            answered(self.0.name(), reply)
        })
    }
}

/// The call that a client wants made.
fn asked(call: ModelCall) -> Result<ModelCall, ModelError> {
    let Some(Message::User { text, .. }) = call.messages.last().map(AsRef::as_ref) else {
        return Err(no_request(&"there is no input"));
    };
    let relayed: Relayed = serde_json::from_str(text).map_err(|e| no_request(&e))?;
    let messages = relayed.messages.into_iter().map(|turn| message(turn).map(Arc::new)).collect::<Result<_, _>>()?;
    let mut tools = relayed.tools;
    tools.sort_by(|a, b| a.name.cmp(&b.name));
    let most = call.max_output_tokens;
    // What its operator says comes first.
    let instructions = match (&*call.instructions, relayed.instructions) {
        ("", theirs) => theirs.into(),
        (_, theirs) if theirs.is_empty() => call.instructions.clone(),
        (ours, theirs) => format!("{ours}\n\n{theirs}").into(),
    };
    Ok(ModelCall {
        instructions,
        messages,
        tools: tools.into(),
        output: relayed.output.map(Arc::new),
        max_output_tokens: relayed.max_output_tokens.map_or(most, |wanted| wanted.min(most)),
        ..call
    })
}

fn message(turn: Turn) -> Result<Message, ModelError> {
    Ok(match turn {
        Turn::User(text) => Message::user(text),
        Turn::Assistant { text, calls } => {
            let call = |Called { id, name, arguments }| {
                let arguments = RawValue::from_string(arguments).map_err(|e| no_request(&e))?;
                Ok::<_, ModelError>(ToolCall { id, name, arguments })
            };
            let calls = calls.into_iter().map(call).collect::<Result<Vec<_>, _>>()?;
            let stop = if calls.is_empty() { StopReason::End } else { StopReason::ToolCalls };
            Message::Assistant(Reply { text, calls, stop, ..Reply::default() })
        }
        Turn::Tool { id, name, content, error } => {
            Message::Tool(ToolResult { call_id: id, name, content, error, images: Vec::new() })
        }
    })
}

/// What the model said as the answer of a run, which makes no call by itself.
fn answered(name: &Name, reply: Reply) -> Result<Reply, ModelError> {
    let call =
        |c: &ToolCall| Called { id: c.id.clone(), name: c.name.clone(), arguments: c.arguments.get().to_owned() };
    let said = Answered {
        text: reply.text,
        ungoverned: reply.calls.iter().map(call).collect(),
        stop: reply.stop,
        model: name.to_string(),
    };
    let text = serde_json::to_string(&said).map_err(|e| no_request(&e))?;
    // The calls are no reason to go on.
    let stop = if reply.stop == StopReason::ToolCalls { StopReason::End } else { reply.stop };
    Ok(Reply { text, stop, usage: reply.usage, model: reply.model, ..Reply::default() })
}

fn no_request(why: &dyn std::fmt::Display) -> ModelError {
    let detail = format!("the input of a run of this agent is what a client asks a model, and this is none: {why}");
    ModelError { code: code::MODEL_REFUSED, detail, retry: Retry::No, charged: false }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use stead_core::id::RunId;

    use super::*;

    fn call(text: &str) -> ModelCall {
        ModelCall {
            run: RunId(1),
            turn: 1,
            attempt: 1,
            instructions: "the agent's own".into(),
            messages: vec![Arc::new(Message::user(text))],
            tools: Arc::new([]),
            max_output_tokens: 100,
            output: None,
            raw: None,
            begun: None,
        }
    }

    #[test]
    fn the_model_is_asked_what_the_client_asks_and_nothing_more() {
        let relayed = Relayed {
            model: "m".into(),
            instructions: "Be kind.".into(),
            messages: vec![
                Turn::User("Hi".into()),
                Turn::Assistant {
                    text: String::new(),
                    calls: vec![Called { id: "a".into(), name: "f".into(), arguments: r#"{"x": 1.0}"#.into() }],
                },
                Turn::Tool { id: "a".into(), name: "f".into(), content: "no such city".into(), error: true },
            ],
            max_output_tokens: Some(1_000),
            ..Relayed::default()
        };
        let asked = asked(call(&serde_json::to_string(&relayed).unwrap())).unwrap();
        assert_eq!(
            (&*asked.instructions, asked.max_output_tokens, asked.messages.len()),
            ("the agent's own\n\nBe kind.", 100, 3)
        );
        let Message::Assistant(reply) = &*asked.messages[1] else { panic!("{:?}", asked.messages) };
        assert_eq!(reply.calls[0].arguments.get(), r#"{"x": 1.0}"#);
        let Message::Tool(result) = &*asked.messages[2] else { panic!("{:?}", asked.messages) };
        assert!(result.error && result.content == "no such city");
    }

    #[test]
    fn a_request_that_says_nothing_of_errors_reads_and_writes_as_before() {
        let before = r#"{"tool":{"id":"a","name":"f","content":"7"}}"#;
        let turn: Turn = serde_json::from_str(before).unwrap();
        assert!(matches!(turn, Turn::Tool { error: false, .. }));
        assert_eq!(serde_json::to_string(&turn).unwrap(), before);
    }

    #[test]
    fn what_is_no_request_fails_at_once() {
        for text in ["Hi", "{}", r#"{"model":"m","messages":[],"more":1}"#] {
            let e = asked(call(text)).unwrap_err();
            assert_eq!((e.code, e.retry), (code::MODEL_REFUSED, Retry::No));
        }
    }

    #[test]
    fn calls_are_words_and_no_effects() {
        let arguments = RawValue::from_string("{}".into()).unwrap();
        let calls = vec![ToolCall { id: "a".into(), name: "f".into(), arguments }];
        let reply = Reply { text: "Wait.".into(), calls, stop: StopReason::ToolCalls, ..Reply::default() };
        let reply = answered(&"openai:m".into(), reply).unwrap();
        assert!(reply.calls.is_empty() && reply.stop == StopReason::End);
        let said: Answered = serde_json::from_str(&reply.text).unwrap();
        assert_eq!((said.text.as_str(), said.ungoverned[0].name.as_str()), ("Wait.", "f"));
        assert!(is_meant("m", "openai:m") && is_meant("openai:m", "openai:m") && !is_meant("openai", "openai:m"));
    }
}
