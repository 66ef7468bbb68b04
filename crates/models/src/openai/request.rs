//! The request body. Written by `serde` from borrowed text: field order is fixed, arguments are the exact bytes.

use serde::Serialize;
use serde_json::value::RawValue;
use stead_core::message::{Message, ToolCall};
use stead_ports::model::ModelCall;

use super::model::{LimitKey, Options};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Line<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "snake_case")]
enum Line<'a> {
    System {
        content: &'a str,
    },
    User {
        content: &'a str,
    },
    Assistant {
        content: &'a str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<Call<'a>>,
    },
    Tool {
        tool_call_id: &'a str,
        content: &'a str,
    },
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    r#type: &'static str,
    function: CallFunction<'a>,
}

#[derive(Serialize)]
struct CallFunction<'a> {
    name: String,
    arguments: std::borrow::Cow<'a, str>,
}

#[derive(Serialize)]
struct Tool<'a> {
    r#type: &'static str,
    function: ToolFunction<'a>,
}

#[derive(Serialize)]
struct ToolFunction<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a serde_json::Value,
}

/// The body of one attempt, as JSON text.
pub(super) fn body(model: &str, call: &ModelCall, options: &Options) -> Vec<u8> {
    let mut messages = Vec::with_capacity(call.messages.len() + 1);
    if !call.instructions.is_empty() {
        messages.push(Line::System { content: &call.instructions });
    }
    messages.extend(call.messages.iter().map(|m| line(m)));
    let limit = |key: LimitKey| (options.limit_key == key).then_some(call.max_output_tokens);
    let body = Body {
        model,
        messages,
        tools: call
            .tools
            .iter()
            .map(|t| Tool {
                r#type: "function",
                function: ToolFunction { name: &t.name, description: &t.description, parameters: &t.schema },
            })
            .collect(),
        max_completion_tokens: limit(LimitKey::MaxCompletionTokens),
        max_tokens: limit(LimitKey::MaxTokens),
        stream: true,
        stream_options: options.ask_usage.then_some(StreamOptions { include_usage: true }),
    };
    serde_json::to_vec(&body).expect("strings and JSON values are always written")
}

fn line(message: &Message) -> Line<'_> {
    match message {
        Message::User { text } => Line::User { content: text },
        Message::Tool(r) => Line::Tool { tool_call_id: &r.call_id, content: &r.content },
        Message::Assistant(r) => Line::Assistant { content: &r.text, tool_calls: r.calls.iter().map(call).collect() },
    }
}

fn call(call: &ToolCall) -> Call<'_> {
    let function = CallFunction { name: known_name(&call.name), arguments: unwrapped(&call.arguments) };
    Call { id: &call.id, r#type: "function", function }
}

/// A name that the endpoint takes back. A model can invent a name that its own provider refuses in a request
/// (`[a-zA-Z0-9_-]{1,64}`); sent as it was, it would make every later turn of the run fail.
fn known_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).take(64).collect()
}

/// The arguments as the model wrote them: an object's text, or what a JSON string wraps (see [`super`]).
fn unwrapped(arguments: &RawValue) -> std::borrow::Cow<'_, str> {
    match serde_json::from_str::<String>(arguments.get()) {
        Ok(text) => text.into(),
        Err(_) => arguments.get().into(),
    }
}
