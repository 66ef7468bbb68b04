//! OpenAI Responses, as `platform.openai.com/docs/api-reference/responses-streaming` frames it.

use serde_json::{Value, json};
use stead_core::{budget::Usage, code, message::StopReason};
use stead_models::{http::Http, responses::Responses, secret::Secret, settings::Settings, wire::Bounds};
use stead_ports::model::{Model, Retry};

use super::{
    common::{KEY, ask, question, serve_body},
    face::{End, Face, quoted, says, sse},
};

pub(crate) struct Responding;

/// An item with spelling that a parser would lose: the order of keys, a number, an escape.
const REASONING: &str =
    r#"{"id":"rs_1","type":"reasoning","summary":[],"encrypted_content":"gAAA\u002Bb==","z":1.50,"a":null}"#;

fn event(kind: &str, at: usize, more: &str) -> String {
    format!(r#"{{"type":"{kind}","sequence_number":7,"output_index":{at},{more}}}"#)
}

impl Face for Responding {
    fn model(&self, url: &str, name: &str, settings: Settings, bounds: Bounds) -> Box<dyn Model> {
        let http = Http::new().unwrap();
        Box::new(Responses::new(name, url, name, Some(Secret::new(KEY)), settings, bounds, &http).unwrap())
    }

    fn begin(&self) -> Vec<String> {
        vec![
            r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","model":"m-1","output":[],"usage":null}}"#
                .to_owned(),
            r#"{"type":"response.in_progress","sequence_number":1,"response":{"id":"resp_1","model":"m-1"}}"#.to_owned(),
        ]
    }

    fn text(&self, at: usize, pieces: &[&str]) -> Vec<String> {
        let whole = quoted(&pieces.concat());
        let added = r#""item":{"id":"msg_1","type":"message","status":"in_progress","role":"assistant","content":[]}"#;
        let done = format!(
            r#""item":{{"id":"msg_1","type":"message","role":"assistant","content":[{{"type":"output_text","annotations":[],"text":{whole}}}]}}"#
        );
        let mut frames = vec![event("response.output_item.added", at, added)];
        frames.extend(
            pieces.iter().map(|p| {
                event("response.output_text.delta", at, &format!(r#""content_index":0,"delta":{}"#, quoted(p)))
            }),
        );
        frames.push(event("response.output_text.done", at, &format!(r#""content_index":0,"text":{whole}"#)));
        frames.push(event("response.output_item.done", at, &done));
        frames
    }

    fn call(&self, at: usize, id: &str, name: &str, pieces: &[&str]) -> Vec<String> {
        let (id, name, whole) = (quoted(id), quoted(name), quoted(&pieces.concat()));
        let item = |arguments: &str| {
            format!(
                r#""item":{{"id":"fc_1","type":"function_call","call_id":{id},"name":{name},"arguments":{arguments}}}"#
            )
        };
        let mut frames = vec![event("response.output_item.added", at, &item("\"\""))];
        frames.extend(
            pieces
                .iter()
                .map(|p| event("response.function_call_arguments.delta", at, &format!(r#""delta":{}"#, quoted(p)))),
        );
        frames.push(event("response.function_call_arguments.done", at, &format!(r#""arguments":{whole}"#)));
        frames.push(event("response.output_item.done", at, &item(&whole)));
        frames
    }

    fn reasoning(&self, at: usize) -> Option<(Vec<String>, String)> {
        let added = r#""item":{"id":"rs_1","type":"reasoning","summary":[]}"#;
        let frames = vec![
            event("response.output_item.added", at, added),
            event("response.output_item.done", at, &format!(r#""item":{REASONING}"#)),
        ];
        Some((frames, REASONING.to_owned()))
    }

    fn end(&self, end: End) -> Vec<String> {
        let (kind, details) = match end {
            End::Done | End::Calls => ("completed", Value::Null),
            End::Length => ("incomplete", json!({ "reason": "max_output_tokens" })),
            End::Filtered => ("incomplete", json!({ "reason": "content_filter" })),
        };
        let response = json!({ "type": format!("response.{kind}"), "response": {
            "id": "resp_1", "model": "m-1", "status": kind, "error": null, "incomplete_details": details, "output": [],
            "usage": { "input_tokens": 20, "input_tokens_details": { "cached_tokens": 16, "cache_write_tokens": 3 }, "output_tokens": 9,
                "output_tokens_details": { "reasoning_tokens": 4 }, "total_tokens": 29 } } });
        vec![response.to_string()]
    }

    fn usage(&self) -> Usage {
        Usage { input: 20, cached: 16, output: 9, reasoning: 4, cache_write: 3 }
    }

    fn overloaded(&self) -> String {
        json!({ "type": "response.failed", "response": { "error": { "code": "server_error", "message": "busy" } } })
            .to_string()
    }

    fn nonsense(&self) -> Vec<String> {
        vec![
            "{}".to_owned(),
            event("response.output_text.delta", 0, r#""delta":{}"#),
            event("response.output_item.done", 0, r#""item":7"#),
            r#"{"type":"response.completed"}"#.to_owned(),
        ]
    }

    fn schema_at(&self) -> &'static str {
        "/text/format/schema"
    }

    fn schema_sent(&self, schema: &Value) -> Value {
        schema.clone()
    }
}

async fn reply_to(frames: &[String]) -> Result<stead_core::message::Reply, stead_ports::model::ModelError> {
    let (url, _) = serve_body(sse(frames)).await;
    ask(&*Responding.model(&url, "gpt-5", Settings::default(), Bounds::default()), question()).await.0
}

#[tokio::test]
async fn the_end_of_an_item_has_the_last_word() {
    let mut frames = Responding.call(0, "c", "t", &[r#"{"a":"#, "1}"]);
    // A piece was lost on the way; the item tells the whole.
    frames.remove(2);
    let reply = reply_to(&[Responding.begin(), frames, Responding.end(End::Calls)].concat()).await.unwrap();
    assert_eq!(reply.calls[0].arguments.get(), r#"{"a":1}"#);
    // Gateways that send nothing but the end.
    let output = json!([{ "type": "message", "content": [{ "type": "output_text", "text": "all" }] },
        { "type": "function_call", "call_id": "c", "name": "t", "arguments": "{\"b\":1.0}" }]);
    let end = json!({ "type": "response.completed", "response": { "output": output } }).to_string();
    let reply = reply_to(&[end]).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.calls[0].arguments.get()), ("all", r#"{"b":1.0}"#));
    assert!(reply.usage.tokens() > 0);
}

#[tokio::test]
async fn a_refusal_and_an_error_event_are_told_apart() {
    let refusal = event("response.refusal.delta", 0, r#""delta":"I will not.""#);
    let reply = reply_to(&[Responding.begin(), vec![refusal], Responding.end(End::Done)].concat()).await.unwrap();
    assert_eq!((reply.stop, reply.text.as_str()), (StopReason::Refused, "I will not."));
    let error = r#"{"type":"error","code":"rate_limit_exceeded","message":"slow","param":null}"#.to_owned();
    let e = reply_to(&[Responding.begin(), vec![error]].concat()).await.unwrap_err();
    assert_eq!((e.code, e.retry, e.charged), (code::MODEL_BUSY, Retry::After(None), true));
    let failed =
        json!({ "type": "response.failed", "response": { "error": { "code": "invalid_prompt", "message": "no" } } });
    let e = reply_to(&[failed.to_string()]).await.unwrap_err();
    assert_eq!((e.code, e.retry), (code::MODEL_REFUSED, Retry::No));
    assert_eq!(reply_to(&says(&Responding, &["a"])).await.unwrap().text, "a");
}
