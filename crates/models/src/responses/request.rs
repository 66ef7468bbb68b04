//! The request body. Written by `serde` from borrowed text: field order is fixed, arguments and reasoning items are the
//! exact bytes.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use stead_core::message::{Image, Message, OutputSchema, Piece, Reply};
use stead_ports::model::ModelCall;

use crate::{
    settings::{Effort, Settings},
    wire::{Endpoint, image, names, output, unquoted},
};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    instructions: &'a str,
    input: Vec<Item<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Value>,
    max_output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Reasoning>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    include: &'static [&'static str],
    store: bool,
    stream: bool,
}

#[derive(Serialize)]
struct Reasoning {
    effort: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Item<'a> {
    Message { role: &'static str, content: Vec<Content<'a>> },
    Call { r#type: &'static str, call_id: &'a str, name: String, arguments: Cow<'a, str> },
    Result { r#type: &'static str, call_id: &'a str, output: Output<'a> },
    Reasoning(&'a RawValue),
}

/// What a call came to: a text, or parts when there are pictures.
#[derive(Serialize)]
#[serde(untagged)]
enum Output<'a> {
    Text(&'a str),
    Parts(Vec<Content<'a>>),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text { r#type: &'static str, text: &'a str },
    Image { r#type: &'static str, image_url: String },
}

#[derive(Serialize)]
struct Tool<'a> {
    r#type: &'static str,
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
    strict: bool,
}

/// Pictures, and the text that they belong to.
fn parts<'a>(text: &'a str, images: &[Image]) -> Vec<Content<'a>> {
    let image = |i| Content::Image { r#type: "input_image", image_url: image::data_url(i) };
    images.iter().map(image).chain([Content::Text { r#type: "input_text", text }]).collect()
}

/// The body of one attempt, as JSON text.
pub(super) fn body(endpoint: &Endpoint, call: &ModelCall, settings: &Settings) -> Vec<u8> {
    let mut input = Vec::with_capacity(call.messages.len());
    for message in &call.messages {
        match &**message {
            Message::User { text, images } => {
                input.push(Item::Message { role: "user", content: parts(text, images) });
            }
            Message::Tool(r) => {
                let output = match &r.images[..] {
                    [] => Output::Text(&r.content),
                    images => Output::Parts(parts(&r.content, images)),
                };
                input.push(Item::Result { r#type: "function_call_output", call_id: &r.call_id, output });
            }
            Message::Assistant(reply) => said(reply, endpoint.made(reply), &mut input),
        }
    }
    let reasons = reasons(&endpoint.model);
    let body = Body {
        model: &endpoint.model,
        instructions: &call.instructions,
        input,
        tools: call
            .tools
            .iter()
            .map(|t| Tool {
                r#type: "function",
                name: &t.name,
                description: &t.description,
                parameters: &t.schema,
                // Schemas of tools are their own; arguments are checked against them here.
                strict: false,
            })
            .collect(),
        text: call.output.as_deref().map(format),
        max_output_tokens: call.max_output_tokens,
        temperature: settings.temperature,
        reasoning: settings.effort.map(|e: Effort| Reasoning { effort: e.word() }),
        include: if reasons { &["reasoning.encrypted_content"] } else { &[] },
        store: false,
        stream: true,
    };
    serde_json::to_vec(&body).expect("strings and JSON values are always written")
}

/// What the model said earlier, in its order. Reasoning is for its maker alone.
fn said<'a>(reply: &'a Reply, own: bool, input: &mut Vec<Item<'a>>) {
    for piece in reply.pieces() {
        match piece {
            Piece::Reasoning(item) if own => {
                input.extend(serde_json::from_str::<&RawValue>(item).ok().map(Item::Reasoning));
            }
            Piece::Reasoning(_) => {}
            Piece::Text(text) => {
                input.push(Item::Message {
                    role: "assistant",
                    content: vec![Content::Text { r#type: "output_text", text }],
                });
            }
            Piece::Call(call) => input.push(Item::Call {
                r#type: "function_call",
                call_id: &call.id,
                name: names::known(&call.name),
                arguments: unquoted(&call.arguments),
            }),
        }
    }
}

fn format(wanted: &OutputSchema) -> Value {
    json!({ "format": {
        "type": "json_schema",
        "name": names::known(&wanted.name),
        "schema": wanted.schema,
        "strict": output::is_strict(&wanted.schema),
    } })
}

/// Whether a model reasons, and so has reasoning to be asked for. The older families do not, and refuse to be asked.
fn reasons(model: &str) -> bool {
    let old = ["gpt-3", "gpt-4", "chatgpt-"].iter().any(|p| model.starts_with(p));
    !old && !model.contains("-chat")
}
