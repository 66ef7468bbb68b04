//! Anthropic Messages, as `platform.claude.com/docs/en/build-with-claude/streaming` frames it.

use serde_json::{Value, json};
use stead_core::{budget::Usage, code, message::StopReason};
use stead_models::{anthropic::Anthropic, http::Http, secret::Secret, settings::Settings, wire::Bounds};
use stead_ports::model::{Model, Retry};

use super::{
    common::{KEY, ask, question, serve, serve_body, status},
    face::{End, Face, quoted, says, sse},
};

pub(crate) struct Claude;

const REDACTED: &str = r#"{"type":"redacted_thinking","data":"EmwK\u002Bx==","z":1.50}"#;

fn block(at: usize, block: &str) -> String {
    format!(r#"{{"type":"content_block_start","index":{at},"content_block":{block}}}"#)
}

fn delta(at: usize, delta: &str) -> String {
    format!(r#"{{"type":"content_block_delta","index":{at},"delta":{delta}}}"#)
}

fn stop(at: usize) -> String {
    format!(r#"{{"type":"content_block_stop","index":{at}}}"#)
}

impl Face for Claude {
    fn model(&self, url: &str, name: &str, settings: Settings, bounds: Bounds) -> Box<dyn Model> {
        let http = Http::new().unwrap();
        Box::new(Anthropic::new(name, url, name, Some(Secret::new(KEY)), settings, bounds, &http).unwrap())
    }

    fn begin(&self) -> Vec<String> {
        let start = json!({ "type": "message_start", "message": { "id": "msg_1", "type": "message", "role": "assistant",
            "content": [], "model": "m-1", "stop_reason": null, "usage": { "input_tokens": 3,
                "cache_creation_input_tokens": 7, "cache_read_input_tokens": 16, "output_tokens": 1 } } });
        vec![start.to_string(), r#"{"type":"ping"}"#.to_owned()]
    }

    fn text(&self, at: usize, pieces: &[&str]) -> Vec<String> {
        let mut frames = vec![block(at, r#"{"type":"text","text":""}"#)];
        frames.extend(pieces.iter().map(|p| delta(at, &format!(r#"{{"type":"text_delta","text":{}}}"#, quoted(p)))));
        frames.push(stop(at));
        frames
    }

    fn call(&self, at: usize, id: &str, name: &str, pieces: &[&str]) -> Vec<String> {
        let begin = format!(r#"{{"type":"tool_use","id":{},"name":{},"input":{{}}}}"#, quoted(id), quoted(name));
        let mut frames = vec![block(at, &begin), delta(at, r#"{"type":"input_json_delta","partial_json":""}"#)];
        frames.extend(
            pieces.iter().map(|p| delta(at, &format!(r#"{{"type":"input_json_delta","partial_json":{}}}"#, quoted(p)))),
        );
        frames.push(stop(at));
        frames
    }

    fn reasoning(&self, at: usize) -> Option<(Vec<String>, String)> {
        let mut frames = vec![block(at, r#"{"type":"thinking","thinking":"","signature":""}"#)];
        for piece in
            [r#""thinking":"so \"it""#, r#""thinking":"\" is""#, r#""signature":"EqQB+a""#, r#""signature":"/b==""#]
        {
            frames.push(delta(at, &format!("{{{piece}}}")));
        }
        frames.push(stop(at));
        let sent = json!({ "type": "thinking", "thinking": "so \"it\" is", "signature": "EqQB+a/b==" });
        Some((frames, sent.to_string()))
    }

    fn end(&self, end: End) -> Vec<String> {
        let reason = match end {
            End::Done => "end_turn",
            End::Calls => "tool_use",
            End::Length => "max_tokens",
            End::Filtered => "refusal",
        };
        let last = json!({ "type": "message_delta", "delta": { "stop_reason": reason, "stop_sequence": null },
            "usage": { "output_tokens": 9, "output_tokens_details": { "thinking_tokens": 4 } } });
        vec![last.to_string(), r#"{"type":"message_stop"}"#.to_owned()]
    }

    fn usage(&self) -> Usage {
        Usage { input: 26, cached: 16, output: 9, reasoning: 4, cache_write: 7 }
    }

    fn overloaded(&self) -> String {
        json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } }).to_string()
    }

    fn nonsense(&self) -> Vec<String> {
        vec![
            "{}".to_owned(),
            delta(5, r#"{"type":"text_delta","text":"x"}"#),
            stop(5),
            r#"{"type":"content_block_start","index":0}"#.to_owned(),
            block(0, r#"{"type":"tool_use","id":7}"#),
        ]
    }

    fn schema_at(&self) -> &'static str {
        "/output_config/format/schema"
    }

    fn schema_sent(&self, schema: &Value) -> Value {
        let mut sent = schema.clone();
        sent["properties"]["n"].as_object_mut().unwrap().remove("minimum");
        sent
    }
}

async fn reply_to(frames: &[String]) -> Result<stead_core::message::Reply, stead_ports::model::ModelError> {
    let (url, _) = serve_body(sse(frames)).await;
    ask(&*Claude.model(&url, "claude-sonnet-5", Settings::default(), Bounds::default()), question()).await.0
}

#[tokio::test]
async fn redacted_thinking_goes_back_byte_for_byte() {
    let thought = vec![block(0, REDACTED), stop(0)];
    let frames = [Claude.begin(), thought, Claude.call(1, "c", "t", &["{}"]), Claude.end(End::Calls)].concat();
    let reply = reply_to(&frames).await.unwrap();
    assert_eq!(reply.reasoning, [REDACTED]);
}

#[tokio::test]
async fn a_refusal_takes_its_calls_back() {
    let call = Claude.call(0, "c", "t", &["{}"]);
    let reply = reply_to(&[Claude.begin(), call, Claude.end(End::Filtered)].concat()).await.unwrap();
    assert_eq!((reply.stop, reply.calls.len()), (StopReason::Refused, 0));
}

#[tokio::test]
async fn an_input_that_comes_whole_counts_unless_pieces_follow() {
    let begin = block(0, r#"{"type":"tool_use","id":"c","name":"t","input":{"a": 1.50}}"#);
    let frames = [Claude.begin(), vec![begin.clone(), stop(0)], Claude.end(End::Calls)].concat();
    assert_eq!(reply_to(&frames).await.unwrap().calls[0].arguments.get(), r#"{"a": 1.50}"#);
    let piece = delta(0, r#"{"type":"input_json_delta","partial_json":"{\"b\":2}"}"#);
    let frames = [Claude.begin(), vec![begin, piece, stop(0)], Claude.end(End::Calls)].concat();
    assert_eq!(reply_to(&frames).await.unwrap().calls[0].arguments.get(), r#"{"b":2}"#);
}

#[tokio::test]
async fn the_request_names_the_version_and_marks_what_is_to_be_cached() {
    let (url, seen) = serve_body(sse(&says(&Claude, &["a"]))).await;
    let base = url.trim_end_matches("/v1");
    let model = Claude.model(base, "claude-sonnet-5", Settings::default(), Bounds::default());
    ask(&*model, question()).await.0.unwrap();
    let (path, headers, body) = seen.lock().unwrap().take().unwrap();
    assert_eq!(path, "/v1/messages");
    assert_eq!(
        (&headers["x-api-key"], &headers["anthropic-version"]),
        (&KEY.parse().unwrap(), &"2023-06-01".parse().unwrap())
    );
    let mark = json!({ "type": "ephemeral" });
    let expected = json!({
        "model": "claude-sonnet-5", "max_tokens": 77, "stream": true,
        "system": [{ "type": "text", "text": "Be brief.", "cache_control": mark }],
        "tools": [{ "name": "t", "description": "d", "input_schema": { "type": "object" }, "cache_control": mark }],
        "messages": [{ "role": "user", "content": [{ "type": "text", "text": "hi", "cache_control": mark }] }],
    });
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
}

#[tokio::test]
async fn errors_of_the_house_keep_their_meaning() {
    for (kind, code, retry) in [
        ("rate_limit_error", code::MODEL_BUSY, Retry::After(None)),
        ("api_error", code::MODEL_BUSY, Retry::After(None)),
        ("authentication_error", code::MODEL_KEY, Retry::No),
        ("permission_error", code::MODEL_KEY, Retry::No),
        ("invalid_request_error", code::MODEL_REFUSED, Retry::No),
        ("billing_error", code::MODEL_REFUSED, Retry::No),
    ] {
        let frame = json!({ "type": "error", "error": { "type": kind, "message": "words" } }).to_string();
        let e = reply_to(&[Claude.begin(), vec![frame]].concat()).await.unwrap_err();
        assert_eq!((e.code, e.retry, e.charged), (code, retry, true), "{kind}");
    }
    let body = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}"#;
    let (url, _) = serve(move || status(529, &[], body)).await;
    let model = Claude.model(&url, "m", Settings::default(), Bounds::default());
    let e = ask(&*model, question()).await.0.unwrap_err();
    assert_eq!((e.code, e.retry, e.charged), (code::MODEL_BUSY, Retry::After(None), false));
    assert!(e.detail.ends_with("Overloaded"), "{e}");
}
