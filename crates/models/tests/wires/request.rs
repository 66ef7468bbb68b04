//! What goes out: the exact conversation, in each provider's words, and what the manifest asks of the model.

use std::sync::Arc;

use serde_json::{Value, json, value::RawValue};
use stead_core::message::{Image, Message, Reply, ToolCall, ToolResult};
use stead_models::{
    settings::{Effort, Settings},
    wire::Bounds,
};
use stead_ports::model::ModelCall;

use super::{
    anthropic::Claude,
    chat::Chat,
    common::{ask, question, serve_body},
    face::{Face, says, sse},
    gemini::Google,
    responses::Responding,
};

/// A turn with two calls, one of them spoilt, their results, and a word after them.
pub(crate) fn conversation() -> ModelCall {
    let call = |id: &str, name: &str, arguments: &str| ToolCall {
        id: id.into(),
        name: name.into(),
        arguments: RawValue::from_string(arguments.into()).unwrap(),
    };
    let result = |id: &str, name: &str, content: &str, error| {
        Message::Tool(ToolResult {
            call_id: id.into(),
            name: name.into(),
            content: content.into(),
            error,
            images: Vec::new(),
        })
    };
    let calls = vec![call("c1", "t", r#"{"b":1.00, "a":2, "a":3}"#), call("c2", "bad name!", r#""{\"cut""#)];
    let mut question = question();
    question.messages.extend([
        Arc::new(Message::Assistant(Reply { text: "Wait.".into(), calls, ..Reply::default() })),
        Arc::new(result("c1", "t", "ok", false)),
        Arc::new(result("c2", "bad name!", "no", true)),
        Arc::new(Message::user("and?")),
    ]);
    question
}

async fn sent(face: &dyn Face, name: &str, settings: Settings, call: ModelCall) -> (Value, String) {
    let (url, seen) = serve_body(sse(&says(face, &["a"]))).await;
    ask(&*face.model(&url, name, settings, Bounds::default()), call).await.0.unwrap();
    let (_, _, body) = seen.lock().unwrap().take().unwrap();
    (serde_json::from_slice(&body).unwrap(), String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn arguments_go_back_as_the_same_bytes_on_every_wire() {
    for (face, name) in faces() {
        let (_, text) = sent(face, name, Settings::default(), conversation()).await;
        let inline = r#"{"b":1.00, "a":2, "a":3}"#;
        let quoted = serde_json::to_string(inline).unwrap();
        assert!(text.contains(inline) || text.contains(&quoted), "{text}");
    }
}

#[tokio::test]
async fn the_responses_wire_is_told_the_whole_conversation() {
    let (body, _) = sent(&Responding, "gpt-5-mini", Settings::default(), conversation()).await;
    let text =
        |role: &str, kind: &str, text: &str| json!({ "role": role, "content": [{ "type": kind, "text": text }] });
    let call = |id: &str, name: &str, arguments: &str| json!({ "type": "function_call", "call_id": id, "name": name, "arguments": arguments });
    let output = |id: &str, output: &str| json!({ "type": "function_call_output", "call_id": id, "output": output });
    let expected = json!({
        "model": "gpt-5-mini",
        "instructions": "Be brief.",
        "input": [
            text("user", "input_text", "hi"),
            text("assistant", "output_text", "Wait."),
            call("c1", "t", r#"{"b":1.00, "a":2, "a":3}"#),
            call("c2", "bad_name_", r#"{"cut"#),
            output("c1", "ok"),
            output("c2", "no"),
            text("user", "input_text", "and?"),
        ],
        "tools": [{ "type": "function", "name": "t", "description": "d", "parameters": { "type": "object" }, "strict": false }],
        "max_output_tokens": 77,
        "include": ["reasoning.encrypted_content"],
        "store": false,
        "stream": true,
    });
    assert_eq!(body, expected);
    let (body, _) = sent(&Responding, "gpt-4.1", Settings::default(), question()).await;
    assert_eq!(body.get("include"), None);
}

#[tokio::test]
async fn the_anthropic_wire_is_told_the_whole_conversation() {
    let (body, _) = sent(&Claude, "claude-sonnet-5", Settings::default(), conversation()).await;
    let expected = json!([
        { "role": "user", "content": [{ "type": "text", "text": "hi" }] },
        { "role": "assistant", "content": [
            { "type": "text", "text": "Wait." },
            { "type": "tool_use", "id": "c1", "name": "t", "input": { "b": 1.0, "a": 3 } },
            { "type": "tool_use", "id": "c2", "name": "bad_name_", "input": { "INVALID_JSON": "{\"cut" } },
        ] },
        { "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": "c1", "content": "ok" },
            { "type": "tool_result", "tool_use_id": "c2", "content": "no", "is_error": true },
            { "type": "text", "text": "and?", "cache_control": { "type": "ephemeral" } },
        ] },
    ]);
    assert_eq!(body["messages"], expected);
}

#[tokio::test]
async fn temperature_and_effort_are_said_in_each_providers_words() {
    let settings = Settings { temperature: Some(0.7), effort: Some(Effort::Low) };
    for (face, name, temperature, effort, word) in [
        (&Chat as &dyn Face, "gpt-5", "/temperature", "/reasoning_effort", json!("low")),
        (&Responding, "gpt-5", "/temperature", "/reasoning/effort", json!("low")),
        (&Claude, "claude-opus-4-6", "/temperature", "/output_config/effort", json!("low")),
        (&Claude, "claude-opus-4-6", "/temperature", "/thinking/type", json!("adaptive")),
        (
            &Google,
            "gemini-3-pro",
            "/generationConfig/temperature",
            "/generationConfig/thinkingConfig/thinkingLevel",
            json!("low"),
        ),
    ] {
        let (body, _) = sent(face, name, settings, question()).await;
        assert_eq!(body.pointer(temperature), Some(&json!(0.7)), "{body}");
        assert_eq!(body.pointer(effort), Some(&word), "{body}");
        let (body, _) = sent(face, name, Settings::default(), question()).await;
        assert_eq!((body.pointer(temperature), body.pointer(effort)), (None, None), "{body}");
    }
}

#[tokio::test]
async fn a_budget_of_thought_is_not_asked_for_amid_the_calls_of_another_model() {
    let settings = Settings { effort: Some(Effort::High), ..Settings::default() };
    let amid = || {
        let mut call = conversation();
        call.max_output_tokens = 4_000;
        call.messages.pop();
        call
    };
    let (body, _) = sent(&Claude, "claude-sonnet-4-5", settings, amid()).await;
    assert_eq!(body.get("thinking"), None);
    let (body, _) = sent(&Claude, "claude-sonnet-4-6", settings, amid()).await;
    assert_eq!(body["thinking"], json!({ "type": "adaptive" }));
    let mut after = amid();
    after.messages.push(Arc::new(Message::user("and?")));
    let (body, _) = sent(&Claude, "claude-sonnet-4-5", settings, after).await;
    assert_eq!(body["thinking"], json!({ "type": "enabled", "budget_tokens": 3_000 }));
}

#[tokio::test]
async fn an_empty_text_is_said_in_words_where_it_would_be_refused() {
    for face in [&Claude as &dyn Face, &Google] {
        let mut call = question();
        call.messages = vec![Arc::new(Message::user(" "))];
        let (_, text) = sent(face, "m", Settings::default(), call).await;
        assert!(text.contains("(nothing)"), "{text}");
    }
}

#[tokio::test]
async fn pictures_go_with_the_text_in_each_providers_form() {
    let image = Image { media: "image/png".into(), content: vec![0xfb, 0xff, 1].into() };
    let url = "data:image/png;base64,+/8B";
    for ((face, name), place, expected) in faces()
        .into_iter()
        .zip([
            ("/messages/1/content/0", json!({ "type": "image_url", "image_url": { "url": url } })),
            ("/input/0/content/0", json!({ "type": "input_image", "image_url": url })),
            (
                "/messages/0/content/0",
                json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "+/8B" } }),
            ),
            ("/contents/0/parts/0", json!({ "inlineData": { "mimeType": "image/png", "data": "+/8B" } })),
        ])
        .map(|(face, (place, expected))| (face, place, expected))
    {
        let mut call = question();
        call.messages = vec![Arc::new(Message::User { text: "What is it?".into(), images: vec![image.clone()] })];
        let (body, text) = sent(face, name, Settings::default(), call).await;
        assert_eq!(body.pointer(place), Some(&expected), "{body}");
        assert!(text.contains("What is it?"), "{text}");
    }
}

#[tokio::test]
async fn pictures_that_a_tool_returns_go_with_its_result_where_the_wire_takes_them() {
    let image = Image { media: "image/png".into(), content: vec![0xfb, 0xff, 1].into() };
    let shown = |call: &mut ModelCall| {
        for message in &mut call.messages {
            if let Message::Tool(result) = Arc::make_mut(message)
                && !result.error
            {
                result.images = vec![image.clone()];
            }
        }
    };
    let url = "data:image/png;base64,+/8B";
    let source = json!({ "type": "base64", "media_type": "image/png", "data": "+/8B" });
    let inline = json!({ "inlineData": { "mimeType": "image/png", "data": "+/8B" } });
    for ((face, name), (place, expected)) in faces().into_iter().zip([
        // Named in the text alone: a tool's message takes nothing else here.
        ("/messages/3/content", json!("ok")),
        (
            "/input/4/output",
            json!([{ "type": "input_image", "image_url": url }, { "type": "input_text", "text": "ok" }]),
        ),
        (
            "/messages/2/content/0/content",
            json!([{ "type": "image", "source": source }, { "type": "text", "text": "ok" }]),
        ),
        // After the results of both calls, before what the user says then.
        ("/contents/2/parts/2", inline),
    ]) {
        let mut call = conversation();
        shown(&mut call);
        let (body, text) = sent(face, name, Settings::default(), call).await;
        assert_eq!(body.pointer(place), Some(&expected), "{body}");
        assert_eq!(text.matches("+/8B").count(), usize::from(!text.contains("\"role\":\"tool\"")), "{text}");
    }
}

fn faces() -> [(&'static dyn Face, &'static str); 4] {
    [(&Chat, "gpt-5"), (&Responding, "gpt-5"), (&Claude, "claude-sonnet-5"), (&Google, "gemini-3-pro")]
}
