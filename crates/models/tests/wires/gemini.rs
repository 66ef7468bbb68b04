//! Gemini, as `ai.google.dev/api/generate-content` frames it.

use serde_json::{Value, json};
use stead_core::{
    budget::Usage,
    code,
    message::{Message, Reply, StopReason},
    time::Span,
};
use stead_models::{gemini::Gemini, http::Http, secret::Secret, settings::Settings, wire::Bounds};
use stead_ports::model::{Model, ModelError, Retry};

use super::{
    common::{KEY, ask, question, serve, serve_body, status},
    face::{End, Face, quoted, says, sse},
    request::conversation,
};

pub(crate) struct Google;

const SIGNATURE: &str = "CiQB0e+Kb/x==";

fn part(part: &str) -> String {
    format!(
        r#"{{"candidates":[{{"content":{{"parts":[{part}],"role":"model"}},"index":0}}],"usageMetadata":{{"promptTokenCount":20}},"modelVersion":"m-1"}}"#
    )
}

impl Face for Google {
    fn model(&self, url: &str, name: &str, settings: Settings, bounds: Bounds) -> Box<dyn Model> {
        let http = Http::new().unwrap();
        Box::new(Gemini::new(name, url, name, Some(Secret::new(KEY)), settings, bounds, &http).unwrap())
    }

    fn begin(&self) -> Vec<String> {
        Vec::new()
    }

    fn text(&self, _: usize, pieces: &[&str]) -> Vec<String> {
        pieces.iter().map(|p| part(&format!(r#"{{"text":{}}}"#, quoted(p)))).collect()
    }

    fn call(&self, _: usize, id: &str, name: &str, pieces: &[&str]) -> Vec<String> {
        let (id, name, args) = (quoted(id), quoted(name), pieces.concat());
        vec![part(&format!(r#"{{"functionCall":{{"id":{id},"name":{name},"args":{args}}}}}"#))]
    }

    fn reasoning(&self, _: usize) -> Option<(Vec<String>, String)> {
        // A signature without a part; those on parts are tested below.
        let frame = part(&format!(r#"{{"text":"","thoughtSignature":"{SIGNATURE}"}}"#));
        Some((vec![frame], format!(r#"{{"text":"","thoughtSignature":"{SIGNATURE}"}}"#)))
    }

    fn end(&self, end: End) -> Vec<String> {
        let reason = match end {
            End::Done | End::Calls => "STOP",
            End::Length => "MAX_TOKENS",
            End::Filtered => "SAFETY",
        };
        let last = json!({ "candidates": [{ "content": { "parts": [{ "text": "" }], "role": "model" },
            "finishReason": reason, "index": 0 }], "modelVersion": "m-1", "usageMetadata": { "promptTokenCount": 20,
            "cachedContentTokenCount": 16, "candidatesTokenCount": 5, "thoughtsTokenCount": 4, "totalTokenCount": 29 } });
        vec![last.to_string()]
    }

    fn usage(&self) -> Usage {
        Usage { input: 20, cached: 16, output: 9, reasoning: 4, cache_write: 0 }
    }

    fn overloaded(&self) -> String {
        json!({ "error": { "code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE" } }).to_string()
    }

    fn nonsense(&self) -> Vec<String> {
        vec![
            r#"{"candidates":7}"#.to_owned(),
            r#"{"candidates":[{"index":1}]}"#.to_owned(),
            part(r#"{"text":7}"#),
            part(r#"{"functionCall":{"name":"t","args":{"#).replace("]}}]", ""),
            r#"{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL","index":0}]}"#.to_owned(),
        ]
    }

    fn schema_at(&self) -> &'static str {
        "/generationConfig/responseJsonSchema"
    }

    fn schema_sent(&self, schema: &Value) -> Value {
        schema.clone()
    }

    fn has_pieces(&self) -> bool {
        false
    }
}

async fn reply_to(frames: &[String]) -> Result<Reply, ModelError> {
    let (url, _) = serve_body(sse(frames)).await;
    ask(&*Google.model(&url, "gemini-3-pro", Settings::default(), Bounds::default()), question()).await.0
}

/// The contents that `model` is sent after that reply.
async fn contents_after(reply: Reply, model: &str) -> Value {
    let (url, seen) = serve_body(sse(&says(&Google, &["a"]))).await;
    let mut call = question();
    call.messages.push(std::sync::Arc::new(Message::Assistant(reply)));
    let model = Google.model(&url, model, Settings::default(), Bounds::default());
    ask(&*model, call).await.0.unwrap();
    let (_, _, body) = seen.lock().unwrap().take().unwrap();
    serde_json::from_slice::<Value>(&body).unwrap()["contents"].take()
}

#[tokio::test]
async fn a_signature_stays_on_its_part() {
    let signed = |inner: &str, n: u8| part(&format!(r#"{{{inner},"thoughtSignature":"{SIGNATURE}{n}"}}"#));
    let frames = vec![
        part(r#"{"text":"Let "}"#),
        part(r#"{"text":"a thought","thought":true}"#),
        signed(r#""text":"me""#, 1),
        part(r#"{"text":" see."}"#),
        signed(r#""functionCall":{"name":"t","args":{"b":1.50, "a":2}}"#, 2),
        part(r#"{"functionCall":{"name":"t","args":{}}}"#),
    ];
    let (url, seen) = serve_body(sse(&[frames, Google.end(End::Calls)].concat())).await;
    let model = Google.model(&url, "gemini-3-pro", Settings::default(), Bounds::default());
    let reply = ask(&*model, question()).await.0.unwrap();
    assert_eq!((reply.text.as_str(), reply.calls[1].id.as_str()), ("Let me see.", "call_2_1"));
    let mut call = question();
    call.messages.push(std::sync::Arc::new(Message::Assistant(reply)));
    ask(&*model, call).await.0.unwrap();
    let (path, _, body) = seen.lock().unwrap().take().unwrap();
    assert_eq!(path, "/v1/models/gemini-3-pro:streamGenerateContent?alt=sse");
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(text.contains(r#""args":{"b":1.50, "a":2}"#), "{text}");
    let body: Value = serde_json::from_str(&text).unwrap();
    let call = |n: u8, args: Value| json!({ "id": format!("call_2_{n}"), "name": "t", "args": args });
    let expected = json!([
        { "text": "Let " },
        { "text": "me", "thoughtSignature": format!("{SIGNATURE}1") },
        { "text": " see." },
        { "functionCall": call(0, json!({ "b": 1.50, "a": 2 })), "thoughtSignature": format!("{SIGNATURE}2") },
        { "functionCall": call(1, json!({})) },
    ]);
    assert_eq!(body["contents"][1]["parts"], expected);
}

#[tokio::test]
async fn a_call_of_another_model_is_signed_with_the_word_for_it_where_one_is_wanted() {
    let call = Google.call(0, "c", "t", &["{}"]);
    let reply = reply_to(&[call, Google.end(End::Calls)].concat()).await.unwrap();
    let newer = contents_after(reply.clone(), "gemini-3-flash").await;
    assert_eq!(newer[1]["parts"][0]["thoughtSignature"], "skip_thought_signature_validator");
    let older = contents_after(reply, "gemini-2.5-flash").await;
    assert_eq!(older[1]["parts"][0].get("thoughtSignature"), None);
}

#[tokio::test]
async fn a_blocked_prompt_is_filtered_and_not_cut() {
    let blocked = json!({ "promptFeedback": { "blockReason": "SAFETY" }, "usageMetadata": { "promptTokenCount": 5 } });
    let reply = reply_to(&[blocked.to_string()]).await.unwrap();
    assert_eq!((reply.stop, reply.usage.input), (StopReason::Filtered, 5));
}

#[tokio::test]
async fn the_hint_of_an_error_is_followed_and_a_wrong_key_is_known() {
    let busy = json!({ "error": { "code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": [
        { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37.5s" }] } });
    let wrong = json!({ "error": { "code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT", "details": [
        { "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID" }] } });
    for (code, body, expected, retry) in [
        (429, busy.clone(), code::MODEL_BUSY, Retry::After(Some(Span::from_millis(37_500)))),
        (429, json!([busy]), code::MODEL_BUSY, Retry::After(Some(Span::from_millis(37_500)))),
        (400, wrong, code::MODEL_KEY, Retry::No),
    ] {
        let body = body.to_string();
        let (url, _) = serve(move || status(code, &[], &body)).await;
        let model = Google.model(&url, "gemini-3-pro", Settings::default(), Bounds::default());
        let e = ask(&*model, question()).await.0.unwrap_err();
        assert_eq!((e.code, e.retry), (expected, retry), "{e}");
    }
}

#[tokio::test]
async fn the_request_carries_the_conversation_in_turns() {
    let (url, seen) = serve_body(sse(&says(&Google, &["a"]))).await;
    let model = Google.model(&url, "models/gemini-2.5-pro", Settings::default(), Bounds::default());
    ask(&*model, conversation()).await.0.unwrap();
    let (path, headers, body) = seen.lock().unwrap().take().unwrap();
    assert_eq!(path, "/v1/models/gemini-2.5-pro:streamGenerateContent?alt=sse");
    assert_eq!(headers["x-goog-api-key"], KEY);
    let call = |id: &str, name: &str, args: Value| json!({ "functionCall": { "id": id, "name": name, "args": args } });
    let answer = |id: &str, name: &str, response: Value| json!({ "functionResponse": { "id": id, "name": name, "response": response } });
    let expected = json!({
        "systemInstruction": { "parts": [{ "text": "Be brief." }] },
        "contents": [
            { "role": "user", "parts": [{ "text": "hi" }] },
            { "role": "model", "parts": [{ "text": "Wait." }, call("c1", "t", json!({ "b": 1.0, "a": 3 })),
                call("c2", "bad_name_", json!({ "INVALID_JSON": "{\"cut" }))] },
            { "role": "user", "parts": [answer("c1", "t", json!({ "output": "ok" })),
                answer("c2", "bad_name_", json!({ "error": "no" })), { "text": "and?" }] },
        ],
        "tools": [{ "functionDeclarations": [
            { "name": "t", "description": "d", "parametersJsonSchema": { "type": "object" } }] }],
        "generationConfig": { "maxOutputTokens": 77 },
    });
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
}
