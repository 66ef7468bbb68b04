//! What is peculiar to Chat Completions: servers differ more on it than on any other wire.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, Response, header},
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json, value::RawValue};
use stead_core::{
    budget::Usage,
    code,
    message::{Message, OutputSchema, Reply, StopReason, ToolCall, ToolResult},
    time::Span,
};
use stead_models::{
    http::Http,
    openai::{Dialect, LimitKey, OpenAi, OutputKey},
    secret::Secret,
    wire::Bounds,
};
use stead_ports::model::{Delta, Model, ModelError, Retry};
use tokio::net::TcpListener;

use super::common::{KEY, Seen, ask, event_stream, question, raw, serve, status};

/// Events as a provider frames them.
fn events(frames: &[Value]) -> String {
    frames.iter().map(|f| format!("data: {f}\n\n")).chain(["data: [DONE]\n\n".to_owned()]).collect()
}

fn delta(delta: Value) -> Value {
    json!({ "model": "gpt-test-1", "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] })
}

fn finish(reason: &str) -> Value {
    json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] })
}

fn tool(index: u32, id: &str, name: &str, arguments: &str) -> Value {
    delta(json!({ "tool_calls": [{ "index": index, "id": id, "type": "function",
        "function": { "name": name, "arguments": arguments } }] }))
}

fn more(index: u32, arguments: &str) -> Value {
    delta(json!({ "tool_calls": [{ "index": index, "function": { "arguments": arguments } }] }))
}

fn speaking(url: &str, dialect: Dialect, bounds: Bounds) -> OpenAi {
    let http = Http::new().unwrap();
    OpenAi::new("openai:gpt-test", url, "gpt-test", Some(Secret::new(KEY)), dialect, bounds, &http).unwrap()
}

fn model(url: &str, bounds: Bounds) -> OpenAi {
    speaking(url, Dialect::default(), bounds)
}

async fn ask_with(url: &str, bounds: Bounds) -> (Result<Reply, ModelError>, Vec<Delta>) {
    ask(&model(url, bounds), question()).await
}

/// The reply to a body of events.
async fn reply_to(body: String) -> Result<Reply, ModelError> {
    let (url, _) = serve(move || event_stream(body.clone())).await;
    ask_with(&url, Bounds::default()).await.0
}

/// The error for a response with that status, headers and body.
async fn failure_of(code: u16, headers: &'static [(&'static str, &'static str)], body: &'static str) -> ModelError {
    let (url, _) = serve(move || status(code, headers, body)).await;
    ask_with(&url, Bounds::default()).await.0.unwrap_err()
}

/// Headers and body of what the server was asked last.
fn asked(seen: &Seen) -> (HeaderMap, Value) {
    let (_, headers, body) = seen.lock().unwrap().take().unwrap();
    (headers, serde_json::from_slice(&body).unwrap())
}

fn facts(e: &ModelError) -> (stead_core::code::Code, Retry, bool) {
    (e.code, e.retry, e.charged)
}

#[tokio::test]
async fn text_is_streamed_and_the_reply_is_whole() {
    let body = events(&[
        delta(json!({ "role": "assistant", "content": "" })),
        delta(json!({ "content": "Gr" })),
        delta(json!({ "content": "üße" })),
        finish("stop"),
        json!({ "choices": [], "usage": { "prompt_tokens": 20, "completion_tokens": 9,
            "prompt_tokens_details": { "cached_tokens": 16 }, "completion_tokens_details": { "reasoning_tokens": 4 } } }),
    ]);
    let (url, _) = serve(move || event_stream(body.clone())).await;
    let (reply, deltas) = ask_with(&url, Bounds::default()).await;
    let reply = reply.unwrap();
    assert_eq!((reply.text.as_str(), reply.stop, reply.model.as_str()), ("Grüße", StopReason::End, "gpt-test-1"));
    assert_eq!(reply.usage, Usage { input: 20, cached: 16, output: 9, reasoning: 4, cache_write: 0 });
    assert_eq!(deltas, [Delta::Text("Gr".into()), Delta::Text("üße".into())]);
}

#[tokio::test]
async fn the_request_carries_the_exact_conversation() {
    let (url, seen) = serve(|| event_stream(events(&[finish("stop")]))).await;
    let call = |id: &str, name: &str, arguments: &str| ToolCall {
        id: id.into(),
        name: name.into(),
        arguments: RawValue::from_string(arguments.into()).unwrap(),
    };
    let calls = vec![call("c1", "t", r#"{"b":1.00, "a":2, "a":3}"#), call("c2", "bad name!", r#""{\"cut""#)];
    let mut question = question();
    question.messages.extend([
        Arc::new(Message::Assistant(Reply { text: "Wait.".into(), calls, ..Reply::default() })),
        Arc::new(Message::Tool(ToolResult {
            call_id: "c1".into(),
            name: "t".into(),
            content: "ok".into(),
            error: false,
            images: Vec::new(),
        })),
        Arc::new(Message::Tool(ToolResult {
            call_id: "c2".into(),
            name: "x".into(),
            content: "no".into(),
            error: true,
            images: Vec::new(),
        })),
    ]);
    model(&url, Bounds::default()).call(question, Arc::new(|_| ())).await.unwrap();
    let (headers, body) = asked(&seen);
    assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
    let expected = json!({
        "model": "gpt-test",
        "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": "hi" },
            { "role": "assistant", "content": "Wait.", "tool_calls": [
                { "id": "c1", "type": "function", "function": { "name": "t", "arguments": r#"{"b":1.00, "a":2, "a":3}"# } },
                { "id": "c2", "type": "function", "function": { "name": "bad_name_", "arguments": r#"{"cut"# } },
            ] },
            { "role": "tool", "tool_call_id": "c1", "content": "ok" },
            { "role": "tool", "tool_call_id": "c2", "content": "no" },
        ],
        "tools": [{ "type": "function", "function": { "name": "t", "description": "d", "parameters": { "type": "object" } } }],
        "max_completion_tokens": 77,
        "stream": true,
        "stream_options": { "include_usage": true },
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn an_older_server_gets_the_limit_under_its_own_name() {
    let (url, seen) = serve(|| event_stream(events(&[finish("stop")]))).await;
    let dialect = Dialect { limit_key: LimitKey::MaxTokens, ask_usage: false, ..Dialect::default() };
    speaking(&url, dialect, Bounds::default()).call(question(), Arc::new(|_| ())).await.unwrap();
    let (_, body) = asked(&seen);
    assert_eq!(body["max_tokens"], 77);
    assert!(body.get("max_completion_tokens").is_none() && body.get("stream_options").is_none());
}

#[tokio::test]
async fn each_dialect_is_spoken() {
    let (url, seen) = serve(|| event_stream(events(&[finish("stop")]))).await;
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } } });
    let mut call = question();
    call.output = Some(Arc::new(OutputSchema { name: "an answer".into(), schema: schema.clone() }));
    let made =
        ToolCall { id: "call_2_0".into(), name: "t".into(), arguments: RawValue::from_string("{}".into()).unwrap() };
    call.messages.push(Arc::new(Message::Assistant(Reply { calls: vec![made], ..Reply::default() })));
    let result = ToolResult {
        call_id: "call_2_0".into(),
        name: "t".into(),
        content: "ok".into(),
        error: false,
        images: Vec::new(),
    };
    call.messages.push(Arc::new(Message::Tool(result)));
    for (output, format, in_words) in [
        (
            OutputKey::Schema,
            Some(json!({ "type": "json_schema",
            "json_schema": { "name": "an_answer", "schema": schema, "strict": false } })),
            false,
        ),
        (OutputKey::Json, Some(json!({ "type": "json_object" })), true),
        (OutputKey::Words, None, true),
    ] {
        let dialect = Dialect { output, short_ids: true, api_key_header: true, ..Dialect::default() };
        speaking(&url, dialect, Bounds::default()).call(call.clone(), Arc::new(|_| ())).await.unwrap();
        let (headers, body) = asked(&seen);
        assert_eq!((headers.get("authorization"), headers["api-key"].to_str().unwrap()), (None, KEY));
        assert_eq!(body.get("response_format"), format.as_ref());
        let system = body["messages"][0]["content"].as_str().unwrap();
        assert!(system.starts_with("Be brief.") && system.contains(&schema.to_string()) == in_words, "{system}");
        let id = body["messages"][2]["tool_calls"][0]["id"].as_str().unwrap();
        assert!(id.len() == 9 && body["messages"][3]["tool_call_id"] == id, "{body}");
    }
}

#[tokio::test]
async fn parallel_calls_are_put_together_byte_for_byte() {
    let body = events(&[
        tool(0, "a", "orders", ""),
        tool(1, "b", "mail", r#"{"to""#),
        more(0, r#"{"id": 1.50,"#),
        more(1, r#":"x"}"#),
        more(0, r#" "id":2}"#),
        finish("tool_calls"),
    ]);
    let (url, _) = serve(move || event_stream(body.clone())).await;
    let (reply, deltas) = ask_with(&url, Bounds::default()).await;
    let reply = reply.unwrap();
    assert_eq!(reply.stop, StopReason::ToolCalls);
    let got: Vec<_> = reply.calls.iter().map(|c| (c.id.as_str(), c.name.as_str(), c.arguments.get())).collect();
    assert_eq!(got, [("a", "orders", r#"{"id": 1.50, "id":2}"#), ("b", "mail", r#"{"to":"x"}"#)]);
    assert_eq!(deltas[1], Delta::Call { index: 1, name: Some("mail".into()), arguments: r#"{"to""#.into() });
    assert_eq!(deltas[2], Delta::Call { index: 0, name: None, arguments: r#"{"id": 1.50,"#.into() });
}

#[tokio::test]
async fn calls_with_equal_missing_or_huge_ids_are_made_distinct() {
    let huge = "x".repeat(500);
    let calls = [
        tool(0, "a", "t", "{}"),
        tool(1, "a", "t", "{}"),
        tool(2, "a-2", "t", "{}"),
        tool(3, "", "t", "{}"),
        tool(4, &huge, "t", "{}"),
    ];
    let reply = reply_to(events(&[&calls[..], &[finish("tool_calls")]].concat())).await.unwrap();
    let ids: Vec<_> = reply.calls.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(ids, ["a", "a-2", "a-2-2", "call_2_3", "call_2_4"]);
}

#[tokio::test]
async fn servers_that_get_indices_wrong_are_understood_by_ids() {
    let no_index = |id: &str, name: &str| {
        delta(json!({ "tool_calls": [{ "id": id, "function": { "name": name, "arguments": "{" } }] }))
    };
    let tail = delta(json!({ "tool_calls": [{ "function": { "arguments": "}" } }] }));
    let frames = [tool(0, "a", "one", "{}"), tool(0, "b", "two", "{}"), no_index("c", "three"), tail, finish("stop")];
    let reply = reply_to(events(&frames)).await.unwrap();
    let got: Vec<_> = reply.calls.iter().map(|c| (c.name.as_str(), c.arguments.get())).collect();
    assert_eq!(got, [("one", "{}"), ("two", "{}"), ("three", "{}")]);
    assert_eq!(reply.stop, StopReason::ToolCalls);
}

#[tokio::test]
async fn arguments_that_are_no_object_stay_readable_but_cannot_pass_a_schema() {
    let frames =
        [tool(0, "a", "t", r#"{"cut": "of"#), tool(1, "b", "t", "[1]"), tool(2, "c", "t", "  "), finish("tool_calls")];
    let reply = reply_to(events(&frames)).await.unwrap();
    let got: Vec<_> = reply.calls.iter().map(|c| c.arguments.get()).collect();
    assert_eq!(got, [r#""{\"cut\": \"of""#, r#""[1]""#, "{}"]);
    // Cut short by the output limit, empty arguments are not "none".
    let reply = reply_to(events(&[tool(0, "a", "t", ""), finish("length")])).await.unwrap();
    assert_eq!((reply.stop, reply.calls[0].arguments.get()), (StopReason::Length, r#""""#));
}

#[tokio::test]
async fn every_reason_to_stop_is_told_apart() {
    for (reason, stop) in [
        ("stop", StopReason::End),
        ("length", StopReason::Length),
        ("content_filter", StopReason::Filtered),
        ("new", StopReason::End),
    ] {
        assert_eq!(reply_to(events(&[finish(reason)])).await.unwrap().stop, stop);
    }
    let reply = reply_to(events(&[delta(json!({ "refusal": "I will not." })), finish("stop")])).await.unwrap();
    assert_eq!((reply.stop, reply.text.as_str()), (StopReason::Refused, "I will not."));
    assert_eq!(reply_to(events(&[finish("tool_calls")])).await.unwrap_err().code, code::MODEL_GARBAGE);
}

#[tokio::test]
async fn tokens_nobody_counted_are_estimated_and_never_zero() {
    let reply = reply_to(events(&[delta(json!({ "content": "four and more" })), finish("stop")])).await.unwrap();
    assert_eq!(reply.usage, Usage { input: 3, output: 4, ..Usage::default() });
    let odd = json!({ "choices": [], "usage": { "prompt_tokens": "many", "completion_tokens": -1 } });
    assert_eq!(reply_to(events(&[finish("stop"), odd])).await.unwrap().usage.input, 3);
}

#[tokio::test]
async fn a_busy_provider_says_when_to_come_back() {
    let body = r#"{"error":{"message":"slow down"}}"#;
    for status in [429, 503, 529] {
        let e = failure_of(status, &[("retry-after", "7")], body).await;
        assert_eq!(facts(&e), (code::MODEL_BUSY, Retry::After(Some(Span::from_secs(7))), false), "{status}");
        assert!(e.detail.contains("slow down"), "{e}");
    }
    let e = failure_of(429, &[("retry-after-ms", "1500")], "").await;
    assert_eq!(e.retry, Retry::After(Some(Span::from_millis(1_500))));
    let e = failure_of(500, &[], "oops").await;
    assert_eq!(facts(&e), (code::MODEL_BUSY, Retry::After(None), true));
}

#[tokio::test]
async fn what_will_not_go_away_is_not_repeated() {
    for status in [400, 404, 413, 422, 302] {
        let e = failure_of(status, &[], r#"{"error":{"message":"no such model"}}"#).await;
        assert_eq!(facts(&e), (code::MODEL_REFUSED, Retry::No, false), "{status}");
    }
    let e = failure_of(429, &[], r#"{"error":{"message":"pay","code":"insufficient_quota"}}"#).await;
    assert_eq!(facts(&e), (code::MODEL_REFUSED, Retry::No, false));
}

#[tokio::test]
async fn the_key_is_in_no_error_and_in_no_debug_text() {
    for status in [401, 403] {
        let e = failure_of(
            status,
            &[],
            r#"{"error":{"message":"Incorrect API key: sk-test-0123456789abcdef (sk-test*****cdef)\n"}}"#,
        )
        .await;
        assert_eq!(facts(&e), (code::MODEL_KEY, Retry::No, false));
        assert_eq!(
            e.detail,
            format!("{}: Incorrect API key: [key] ([key]", axum::http::StatusCode::from_u16(status).unwrap())
        );
    }
    let model = model("http://127.0.0.1:1/v1", Bounds::default());
    assert!(!format!("{model:?}").contains("sk-test"));
}

#[tokio::test]
async fn an_error_body_is_cut_and_lossy() {
    let body: &'static str = Box::leak(format!("ä\u{7}{}", "x".repeat(1 << 20)).into_boxed_str());
    let e = failure_of(400, &[], body).await;
    assert!(e.detail.len() <= 2 << 10 && e.detail.contains("ä x"), "{}", e.detail.len());
}

#[tokio::test]
async fn a_cut_stream_is_never_a_reply() {
    let start = events(&[delta(json!({ "content": "half" }))]);
    let undone = start.replace("data: [DONE]\n\n", "");
    // A clean end, a [DONE] without a reason, a last event without its blank line.
    for body in [undone.clone(), start, format!("{undone}data: {}", finish("stop")), String::new()] {
        let e = reply_to(body).await.unwrap_err();
        assert_eq!(facts(&e), (code::MODEL_CUT, Retry::After(None), true));
    }
    // An abort in mid-body.
    let abort = move || {
        let parts = [Ok(undone.clone()), Err(std::io::Error::other("gone"))];
        event_stream(Body::from_stream(stream::iter(parts)))
    };
    let (url, _) = serve(abort).await;
    let (reply, deltas) = ask_with(&url, Bounds::default()).await;
    assert_eq!(facts(&reply.unwrap_err()), (code::MODEL_CUT, Retry::After(None), true));
    assert!(deltas.len() <= 1);
    // A close before any answer, and one in the middle of the header.
    for answer in [&b""[..], b"HTTP/1.1 200 O"] {
        let e = ask_with(&raw(answer.to_vec()).await, Bounds::default()).await.0.unwrap_err();
        assert_eq!(facts(&e), (code::MODEL_CUT, Retry::After(None), true));
    }
}

#[tokio::test]
async fn a_connection_lost_after_the_end_of_the_reply_costs_only_the_count() {
    // The promised length is never reached, so the close is an error, which comes after all that was sent.
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99999\r\n\r\n";
    let frames = events(&[delta(json!({ "content": "done" })), finish("stop")]).replace("data: [DONE]\n\n", "");
    let answer = format!("{head}{frames}");
    let reply = ask_with(&raw(answer.into_bytes()).await, Bounds::default()).await.0.unwrap();
    assert_eq!((reply.text.as_str(), reply.usage.output), ("done", 1));
}

#[tokio::test]
async fn garbage_is_called_garbage() {
    let frames = [
        "data: {not json}\n\n".to_owned(),
        "data: []\n\n".to_owned(),
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":\"x\"}}]}\n\n".to_owned(),
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":{}}}]}}]}\n\n"
            .to_owned(),
        "data: {\"choices\":[{\"index\":1,\"delta\":{}}]}\n\n".to_owned(),
        events(&[more(0, "{}"), finish("tool_calls")]),
        events(&[tool(0, "a", &"n".repeat(1_000), "{}")]),
        format!("data: {}\n\n", "[".repeat(200_000)),
    ];
    for body in frames {
        let e = reply_to(body.clone()).await.unwrap_err();
        assert_eq!(facts(&e), (code::MODEL_GARBAGE, Retry::After(None), true), "{}", &body[..body.len().min(80)]);
    }
    let (url, _) =
        serve(|| event_stream(Body::from(&b"data: {\"choices\":[{\"delta\":{\"content\":\"\xff\xfe\"}}]}\n\n"[..])))
            .await;
    let e = ask_with(&url, Bounds::default()).await.0.unwrap_err();
    assert_eq!(facts(&e), (code::MODEL_GARBAGE, Retry::After(None), true));
    assert!(e.detail.contains("UTF-8"), "{e}");
    let html = || Response::builder().header(header::CONTENT_TYPE, "text/html").body(Body::from("<html>")).unwrap();
    assert!(ask_with(&serve(html).await.0, Bounds::default()).await.0.unwrap_err().detail.contains("text/html"));
}

#[tokio::test]
async fn a_flood_is_stopped_at_each_limit() {
    let endless = |piece: String| {
        move || {
            let piece = piece.clone();
            event_stream(Body::from_stream(stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()))))
        }
    };
    let options =
        Bounds { max_wire: 1 << 20, max_reply: 64 << 10, max_arguments: 4 << 10, max_calls: 8, ..Bounds::default() };
    let text = format!("data: {}\n\n", delta(json!({ "content": "x".repeat(1_000) })));
    let arguments = format!("data: {}\n\n", tool(0, "a", "t", &"1".repeat(1_000)));
    for piece in
        [text, arguments, "x".repeat(1_000), ": comment\n\n".repeat(100), format!("data: {}\n", "1".repeat(1_000))]
    {
        let e = ask_with(&serve(endless(piece)).await.0, options.clone()).await.0.unwrap_err();
        assert_eq!(facts(&e), (code::MODEL_GARBAGE, Retry::No, true), "{e}");
    }
    let many: Vec<Value> = (0..9).map(|i| tool(i * 400_000_000, &format!("c{i}"), "t", "{}")).collect();
    let body = events(&many);
    let e = ask_with(&serve(move || event_stream(body.clone())).await.0, options).await.0.unwrap_err();
    assert!(e.detail.contains("over 8 calls"), "{e}");
}

#[tokio::test]
async fn an_error_in_mid_stream_keeps_its_meaning() {
    for (error, code, retry) in [
        (json!({ "message": "x", "type": "server_error" }), code::MODEL_BUSY, Retry::After(None)),
        (json!({ "message": "x", "code": 429 }), code::MODEL_BUSY, Retry::After(None)),
        (json!({ "message": "x", "code": "context_length_exceeded" }), code::MODEL_REFUSED, Retry::No),
        (json!({ "message": "x", "code": 401 }), code::MODEL_KEY, Retry::No),
        (json!("odd"), code::MODEL_CUT, Retry::After(None)),
    ] {
        let e = reply_to(events(&[delta(json!({ "content": "a" })), json!({ "error": error })])).await.unwrap_err();
        assert_eq!(facts(&e), (code, retry, true), "{e}");
    }
}

#[tokio::test]
async fn silence_is_a_timeout_wherever_it_falls() {
    let options = Bounds { idle: Duration::from_millis(100), ..Bounds::default() };
    let half = format!("data: {}\n\n", delta(json!({ "content": "half" })));
    let stall = move || {
        let first = stream::iter([Ok::<_, std::io::Error>(half.clone())]);
        event_stream(Body::from_stream(first.chain(stream::pending())))
    };
    let e = ask_with(&serve(stall).await.0, options).await.0.unwrap_err();
    assert_eq!(facts(&e), (code::MODEL_TIMEOUT, Retry::After(None), true));
    // Accepted by the kernel, never answered.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", silent.local_addr().unwrap());
    let options = Bounds { first_byte: Duration::from_millis(100), ..Bounds::default() };
    let e = ask_with(&url, options).await.0.unwrap_err();
    assert_eq!(facts(&e), (code::MODEL_TIMEOUT, Retry::After(None), true));
}

#[tokio::test]
async fn nobody_there_costs_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let e = ask_with(&url, Bounds::default()).await.0.unwrap_err();
    assert_eq!(facts(&e), (code::MODEL_UNREACHABLE, Retry::After(None), false));
    assert!(!e.detail.contains(&url), "{e}");
}

#[tokio::test]
async fn comments_and_split_frames_are_part_of_the_wire() {
    let body = format!(": keep-alive\r\n\r\n{}", events(&[delta(json!({ "content": "Grüße" })), finish("stop")]));
    let bytes = body.into_bytes();
    let one_by_one = move || {
        let pieces: Vec<_> = bytes.iter().map(|b| Ok::<_, std::io::Error>(vec![*b])).collect();
        event_stream(Body::from_stream(stream::iter(pieces)))
    };
    let reply = ask_with(&serve(one_by_one).await.0, Bounds::default()).await.0.unwrap();
    assert_eq!(reply.text, "Grüße");
}
