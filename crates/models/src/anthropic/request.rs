//! The request body. Written by `serde` from borrowed text: field order is fixed, arguments are the exact bytes.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use stead_core::message::{Image, Message, Piece, Reply, ToolResult};
use stead_ports::model::ModelCall;

use super::thinking::{Thinking, adapts, takes_schema, thinking};
use crate::{
    settings::Settings,
    wire::{Endpoint, as_object, image, names, output},
};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<Line<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<Value>,
    stream: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

/// What a result holds: a text, or blocks when there are pictures.
#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(&'a str),
    Blocks(Vec<Block<'a>>),
}

/// A block of a message; `type` is a field, so that the last one can carry a mark of the cache.
#[derive(Serialize)]
#[serde(untagged)]
enum Block<'a> {
    Text {
        r#type: &'static str,
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Mark>,
    },
    Use {
        r#type: &'static str,
        id: String,
        name: String,
        input: Cow<'a, RawValue>,
    },
    Result {
        r#type: &'static str,
        tool_use_id: String,
        content: Content<'a>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Mark>,
    },
    Image {
        r#type: &'static str,
        source: Source<'a>,
    },
    /// A reasoning item, as it came.
    Theirs(&'a RawValue),
}

#[derive(Serialize)]
struct Source<'a> {
    r#type: &'static str,
    media_type: &'a str,
    data: String,
}

/// Up to here the prompt is kept in the provider's cache, for five minutes after its last use.
#[derive(Clone, Copy, Serialize)]
struct Mark {
    r#type: &'static str,
}

const MARK: Mark = Mark { r#type: "ephemeral" };

#[derive(Serialize)]
struct Tool<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<Mark>,
}

/// The body of one attempt, as JSON text.
pub(super) fn body(endpoint: &Endpoint, call: &ModelCall, settings: &Settings) -> Vec<u8> {
    let model = &*endpoint.model;
    let schema = call.output.as_deref().map(|o| &o.schema);
    let native = schema.filter(|_| takes_schema(model)).and_then(output::for_anthropic);
    let instructions: Cow<'_, str> = match schema {
        Some(schema) if native.is_none() => output::told(&call.instructions, schema).into(),
        _ => (&*call.instructions).into(),
    };
    let effort = settings.effort.filter(|_| adapts(model) || goes_on_thinking(endpoint, call));
    let Thinking { thinking, effort } = thinking(model, effort, call.max_output_tokens);
    let mut config = serde_json::Map::new();
    config.extend(effort.map(|e| ("effort".to_owned(), json!(e))));
    config.extend(native.map(|schema| ("format".to_owned(), json!({ "type": "json_schema", "schema": schema }))));
    let last = call.tools.len().saturating_sub(1);
    let body = Body {
        model,
        max_tokens: call.max_output_tokens,
        tools: call
            .tools
            .iter()
            .enumerate()
            .map(|(at, t)| Tool {
                name: &t.name,
                description: &t.description,
                input_schema: &t.schema,
                cache_control: (at == last).then_some(MARK),
            })
            .collect(),
        system: Some(&*instructions)
            .filter(|i| !i.trim().is_empty())
            .map(|i| text(i, Some(MARK)))
            .into_iter()
            .collect(),
        messages: lines(endpoint, call),
        temperature: settings.temperature,
        thinking,
        output_config: (!config.is_empty()).then_some(Value::Object(config)),
        stream: true,
    };
    serde_json::to_vec(&body).expect("strings and JSON values are always written")
}

/// Whether thinking with a budget may be asked for: amid a turn's calls only when the turn began with a thought of the
/// model's own. The API refuses one that another model began.
fn goes_on_thinking(endpoint: &Endpoint, call: &ModelCall) -> bool {
    let amid_calls = matches!(call.messages.last().map(|m| &**m), Some(Message::Tool(_)));
    let last = call.messages.iter().rev().find_map(|m| match &**m {
        Message::Assistant(reply) => Some(reply),
        _ => None,
    });
    !amid_calls || last.is_none_or(|reply| endpoint.made(reply))
}

/// The conversation, its last block marked.
fn lines<'a>(endpoint: &Endpoint, call: &'a ModelCall) -> Vec<Line<'a>> {
    let mut lines: Vec<Line<'a>> = Vec::with_capacity(call.messages.len());
    for message in &call.messages {
        let (role, blocks) = match &**message {
            Message::User { text: said, images } => {
                // Before the text, whose block can carry the mark of the cache.
                ("user", images.iter().map(picture).chain([text(said, None)]).collect())
            }
            Message::Tool(r) => ("user", vec![result(r)]),
            Message::Assistant(reply) => ("assistant", said(reply, endpoint.made(reply))),
        };
        match lines.last_mut() {
            Some(line) if line.role == role => line.content.extend(blocks),
            _ if blocks.is_empty() => {}
            _ => lines.push(Line { role, content: blocks }),
        }
    }
    if let Some(Block::Text { cache_control, .. } | Block::Result { cache_control, .. }) =
        lines.last_mut().and_then(|l| l.content.last_mut())
    {
        *cache_control = Some(MARK);
    }
    lines
}

/// What the model said earlier, in its order. Thinking is for its maker alone.
fn said(reply: &Reply, own: bool) -> Vec<Block<'_>> {
    let block = |piece| match piece {
        Piece::Reasoning(item) => {
            if own {
                serde_json::from_str::<&RawValue>(item).ok().map(Block::Theirs)
            } else {
                None
            }
        }
        Piece::Text(said) => (!said.trim().is_empty()).then(|| text(said, None)),
        Piece::Call(call) => Some(Block::Use {
            r#type: "tool_use",
            id: names::known(&call.id),
            name: names::known(&call.name),
            input: as_object(&call.arguments),
        }),
    };
    reply.pieces().into_iter().filter_map(block).collect()
}

fn text(said: &str, cache_control: Option<Mark>) -> Block<'_> {
    Block::Text { r#type: "text", text: names::said(said), cache_control }
}

fn picture(image: &Image) -> Block<'_> {
    let source = Source { r#type: "base64", media_type: &image.media, data: image::base64(image) };
    Block::Image { r#type: "image", source }
}

fn result(r: &ToolResult) -> Block<'_> {
    Block::Result {
        r#type: "tool_result",
        tool_use_id: names::known(&r.call_id),
        content: match &r.images[..] {
            [] => Content::Text(&r.content),
            // A failure is told in text alone.
            images if !r.error => Content::Blocks(images.iter().map(picture).chain([text(&r.content, None)]).collect()),
            _ => Content::Text(&r.content),
        },
        is_error: r.error,
        cache_control: None,
    }
}
