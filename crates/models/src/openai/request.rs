//! The request body. Written by `serde` from borrowed text: field order is fixed, arguments are the exact bytes.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json};
use stead_core::message::{Message, OutputSchema, Piece, Reply, ToolCall};
use stead_ports::model::ModelCall;

use super::{Dialect, LimitKey, OutputKey, fold::Thought};
use crate::wire::{Endpoint, image, names, output, unquoted};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Line<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
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
        content: Cow<'a, str>,
    },
    User {
        content: Said<'a>,
    },
    Assistant {
        content: &'a str,
        #[serde(skip_serializing_if = "String::is_empty")]
        reasoning_content: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<Call<'a>>,
    },
    Tool {
        tool_call_id: Cow<'a, str>,
        content: &'a str,
    },
}

/// What a user says: a text, or parts when there are pictures. Servers that know no parts are spared them.
#[derive(Serialize)]
#[serde(untagged)]
enum Said<'a> {
    Text(&'a str),
    Parts(Vec<UserPart<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum UserPart<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl },
}

#[derive(Serialize)]
struct ImageUrl {
    url: String,
}

#[derive(Serialize)]
struct Call<'a> {
    id: Cow<'a, str>,
    r#type: &'static str,
    function: CallFunction<'a>,
}

#[derive(Serialize)]
struct CallFunction<'a> {
    name: String,
    arguments: Cow<'a, str>,
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
    parameters: &'a Value,
}

/// The body of one attempt, as JSON text.
pub(super) fn body(endpoint: &Endpoint, call: &ModelCall, dialect: &Dialect) -> Vec<u8> {
    let mut messages = Vec::with_capacity(call.messages.len() + 1);
    let instructions: Cow<'_, str> = match &call.output {
        Some(o) if dialect.output != OutputKey::Schema => output::told(&call.instructions, &o.schema).into(),
        _ => (&*call.instructions).into(),
    };
    if !instructions.is_empty() {
        messages.push(Line::System { content: instructions });
    }
    messages.extend(call.messages.iter().map(|m| line(m, endpoint, dialect)));
    let limit = |key: LimitKey| (dialect.limit_key == key).then_some(call.max_output_tokens);
    let body = Body {
        model: &endpoint.model,
        messages,
        tools: call
            .tools
            .iter()
            .map(|t| Tool {
                r#type: "function",
                function: ToolFunction { name: &t.name, description: &t.description, parameters: &t.schema },
            })
            .collect(),
        response_format: call.output.as_deref().and_then(|o| format(o, dialect.output)),
        max_completion_tokens: limit(LimitKey::MaxCompletionTokens),
        max_tokens: limit(LimitKey::MaxTokens),
        temperature: dialect.settings.temperature,
        reasoning_effort: dialect.settings.effort.map(crate::settings::Effort::word),
        stream: true,
        stream_options: dialect.ask_usage.then_some(StreamOptions { include_usage: true }),
    };
    serde_json::to_vec(&body).expect("strings and JSON values are always written")
}

fn format(wanted: &OutputSchema, key: OutputKey) -> Option<Value> {
    match key {
        OutputKey::Schema => Some(json!({
            "type": "json_schema",
            "json_schema": {
                "name": names::known(&wanted.name),
                "schema": wanted.schema,
                "strict": output::is_strict(&wanted.schema),
            },
        })),
        OutputKey::Json => Some(json!({ "type": "json_object" })),
        OutputKey::Words => None,
    }
}

fn line<'a>(message: &'a Message, endpoint: &Endpoint, dialect: &Dialect) -> Line<'a> {
    match message {
        Message::User { text, images } if images.is_empty() => Line::User { content: Said::Text(text) },
        Message::User { text, images } => {
            let images = images.iter().map(|i| UserPart::ImageUrl { image_url: ImageUrl { url: image::data_url(i) } });
            Line::User { content: Said::Parts(images.chain([UserPart::Text { text }]).collect()) }
        }
        // A message of a tool takes text alone here, and many servers of this wire see nothing: pictures are named in it.
        Message::Tool(r) => Line::Tool { tool_call_id: id(&r.call_id, dialect), content: &r.content },
        Message::Assistant(r) => Line::Assistant {
            content: &r.text,
            reasoning_content: if dialect.echo_reasoning && endpoint.made(r) { thoughts(r) } else { String::new() },
            tool_calls: r.calls.iter().map(|c| call(c, dialect)).collect(),
        },
    }
}

fn thoughts(reply: &Reply) -> String {
    let thought = |piece: Piece<'_>| match piece {
        Piece::Reasoning(item) => serde_json::from_str::<Thought>(item).ok(),
        _ => None,
    };
    reply.pieces().into_iter().filter_map(thought).map(|t| t.reasoning_content).collect()
}

fn id<'a>(id: &'a str, dialect: &Dialect) -> Cow<'a, str> {
    if dialect.short_ids { names::nine(id).into() } else { id.into() }
}

fn call<'a>(call: &'a ToolCall, dialect: &Dialect) -> Call<'a> {
    let function = CallFunction { name: names::known(&call.name), arguments: unquoted(&call.arguments) };
    Call { id: id(&call.id, dialect), r#type: "function", function }
}
