//! The request body. Written by `serde` from borrowed text: field order is fixed, arguments are the exact bytes.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Value, value::RawValue};
use stead_core::message::{Image, Message, Piece, Reply, ToolCall, ToolResult};
use stead_ports::model::ModelCall;

use super::{generation, signature::Signature};
use crate::{
    settings::Settings,
    wire::{Endpoint, as_object, image, names, output},
};

/// Stands for the signature of a call that another model made.
const OF_ANOTHER: &str = "skip_thought_signature_validator";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Content<'a>>,
    contents: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[Tools<'a>; 1]>,
    generation_config: Config<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    max_output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<&'a Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tools<'a> {
    function_declarations: Vec<Declaration<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'a> {
    name: &'a str,
    description: &'a str,
    parameters_json_schema: &'a Value,
}

#[derive(Serialize)]
struct Content<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    role: &'static str,
    parts: Vec<Part<'a>>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inline_data: Option<Picture<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_response: Option<Response<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Picture<'a> {
    mime_type: &'a str,
    data: String,
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    name: String,
    args: Cow<'a, RawValue>,
}

#[derive(Serialize)]
struct Response<'a> {
    id: &'a str,
    name: String,
    response: Answer<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer<'a> {
    Output(&'a str),
    Error(&'a str),
}

/// The body of one attempt, as JSON text.
pub(super) fn body(endpoint: &Endpoint, call: &ModelCall, settings: &Settings) -> Vec<u8> {
    let model = &*endpoint.model;
    let schema = call.output.as_deref().map(|o| &o.schema);
    let native = schema.filter(|_| call.tools.is_empty() || generation::takes_schema_beside_tools(model));
    let instructions: Cow<'_, str> = match schema {
        Some(schema) if native.is_none() => output::told(&call.instructions, schema).into(),
        _ => (&*call.instructions).into(),
    };
    let declarations: Vec<Declaration<'_>> = call
        .tools
        .iter()
        .map(|t| Declaration { name: &t.name, description: &t.description, parameters_json_schema: &t.schema })
        .collect();
    let body = Body {
        system_instruction: (!instructions.is_empty())
            .then(|| Content { role: "", parts: vec![text_part(instructions)] }),
        contents: contents(endpoint, call),
        tools: (!declarations.is_empty()).then_some([Tools { function_declarations: declarations }]),
        generation_config: Config {
            max_output_tokens: call.max_output_tokens,
            temperature: settings.temperature,
            thinking_config: generation::thinking(model, settings.effort),
            response_mime_type: native.map(|_| "application/json"),
            response_json_schema: native,
        },
    };
    serde_json::to_vec(&body).expect("strings and JSON values are always written")
}

/// The conversation. Results of one turn's calls, and what a user says after them, are one content: roles alternate.
fn contents<'a>(endpoint: &Endpoint, call: &'a ModelCall) -> Vec<Content<'a>> {
    let mut contents: Vec<Content<'a>> = Vec::with_capacity(call.messages.len());
    // Pictures that tools returned follow the results of all calls of the turn, which must not be torn apart.
    let mut pictures: Vec<Part<'a>> = Vec::new();
    for message in &call.messages {
        if !matches!(**message, Message::Tool(_)) {
            show(&mut contents, &mut pictures);
        }
        let (role, parts) = match &**message {
            Message::User { text, images } => {
                ("user", images.iter().map(picture).chain([text_part(names::said(text).into())]).collect())
            }
            Message::Tool(r) => {
                pictures.extend(r.images.iter().map(picture));
                ("user", vec![result(r)])
            }
            Message::Assistant(reply) => ("model", said(reply, endpoint)),
        };
        match contents.last_mut() {
            Some(content) if content.role == role => content.parts.extend(parts),
            _ if parts.is_empty() => {}
            _ => contents.push(Content { role, parts }),
        }
    }
    show(&mut contents, &mut pictures);
    contents
}

fn show<'a>(contents: &mut [Content<'a>], pictures: &mut Vec<Part<'a>>) {
    if let Some(results) = contents.last_mut() {
        results.parts.append(pictures);
    }
}

/// What the model said earlier, each signature on its part. Signatures are for their maker alone.
fn said<'a>(reply: &'a Reply, endpoint: &Endpoint) -> Vec<Part<'a>> {
    let own = endpoint.made(reply);
    let mut parts = Vec::new();
    let mut signed: Option<String> = None;
    for piece in reply.pieces() {
        match piece {
            Piece::Reasoning(item) => {
                let Some(signature) = Signature::of_item(item).filter(|_| own) else { continue };
                if signature.alone {
                    let thought_signature = Some(signature.thought_signature);
                    parts.push(Part { text: Some("".into()), thought_signature, ..Part::default() });
                } else {
                    signed = Some(signature.thought_signature);
                }
            }
            Piece::Text(text) => {
                parts.push(Part { thought_signature: signed.take(), ..text_part(text.into()) });
            }
            Piece::Call(call) => {
                parts.push(Part {
                    function_call: Some(function_call(call)),
                    thought_signature: signed.take(),
                    ..Part::default()
                });
            }
        }
    }
    // The first call of a turn must be signed; of parallel ones the others are not.
    if generation::wants_signatures(&endpoint.model)
        && let Some(first) = parts.iter_mut().find(|p| p.function_call.is_some())
        && first.thought_signature.is_none()
    {
        first.thought_signature = Some(OF_ANOTHER.to_owned());
    }
    parts
}

fn text_part(text: Cow<'_, str>) -> Part<'_> {
    Part { text: Some(text), ..Part::default() }
}

fn picture(image: &Image) -> Part<'_> {
    let inline_data = Some(Picture { mime_type: &image.media, data: image::base64(image) });
    Part { inline_data, ..Part::default() }
}

fn function_call(call: &ToolCall) -> Call<'_> {
    Call { id: &call.id, name: names::known(&call.name), args: as_object(&call.arguments) }
}

fn result(r: &ToolResult) -> Part<'_> {
    let response = if r.error { Answer::Error(&r.content) } else { Answer::Output(&r.content) };
    let function_response = Some(Response { id: &r.call_id, name: names::known(&r.name), response });
    Part { function_response, ..Part::default() }
}
