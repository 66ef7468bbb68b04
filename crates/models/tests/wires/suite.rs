//! The promises that every wire keeps.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{body::Body, http::Response};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use stead_core::{
    code::{self, Code},
    message::{Message, OutputSchema, Reply, StopReason, ToolResult},
    time::Span,
};
use stead_models::{settings::Settings, wire::Bounds};
use stead_ports::{
    model::{Delta, ModelError, Retry},
    raw::{RawPart, RawSink},
};

use super::{
    anthropic::Claude,
    chat::Chat,
    common::{self, KEY, ask, event_stream, question, serve, serve_body, status},
    face::{End, Face, says, sse},
    gemini::Google,
    responses::Responding,
};

/// A model that reasons, calls tools and takes a schema beside them, by each wire's reckoning.
const NAME: &str = "m-9";

async fn reply_within(
    face: &dyn Face,
    bounds: Bounds,
    body: impl Into<Vec<u8>>,
) -> (Result<Reply, ModelError>, Vec<Delta>) {
    let (url, _) = serve_body(body.into()).await;
    ask(&*face.model(&url, NAME, Settings::default(), bounds), question()).await
}

async fn reply_to(face: &dyn Face, body: impl Into<Vec<u8>>) -> Result<Reply, ModelError> {
    reply_within(face, Bounds::default(), body).await.0
}

async fn reply_of(
    face: &dyn Face,
    bounds: Bounds,
    answer: impl Fn() -> Response<Body> + Clone + Send + Sync + 'static,
) -> Result<Reply, ModelError> {
    let (url, _) = serve(answer).await;
    ask(&*face.model(&url, NAME, Settings::default(), bounds), question()).await.0
}

fn facts(e: &ModelError) -> (Code, Retry, bool) {
    (e.code, e.retry, e.charged)
}

async fn text_is_streamed_and_the_reply_is_whole(face: &dyn Face) {
    let (reply, deltas) = reply_within(face, Bounds::default(), sse(&says(face, &["Gr", "üße"]))).await;
    let reply = reply.unwrap();
    assert_eq!((reply.text.as_str(), reply.stop, reply.model.as_str()), ("Grüße", StopReason::End, "m-1"));
    assert_eq!(reply.usage, face.usage());
    assert_eq!(deltas, [Delta::Text("Gr".into()), Delta::Text("üße".into())]);
    assert!(reply.reasoning.is_empty() && reply.layout.is_empty() && reply.origin.is_empty());
}

async fn parallel_calls_are_put_together_byte_for_byte(face: &dyn Face) {
    let frames = [
        face.begin(),
        face.text(0, &["Wait."]),
        face.call(1, "a", "orders", &[r#"{"id": 1.50,"#, r#" "id":2}"#]),
        face.call(2, "b", "mail", &[r#"{"to""#, r#":"x\u0041"}"#]),
        face.end(End::Calls),
    ];
    let (reply, deltas) = reply_within(face, Bounds::default(), sse(&frames.concat())).await;
    let reply = reply.unwrap();
    assert_eq!((reply.stop, reply.text.as_str()), (StopReason::ToolCalls, "Wait."));
    let got: Vec<_> = reply.calls.iter().map(|c| (c.id.as_str(), c.name.as_str(), c.arguments.get())).collect();
    assert_eq!(got, [("a", "orders", r#"{"id": 1.50, "id":2}"#), ("b", "mail", r#"{"to":"x\u0041"}"#)]);
    for (at, name, whole) in [(0, "orders", got[0].2), (1, "mail", got[1].2)] {
        let told: Vec<_> = deltas
            .iter()
            .filter_map(|d| match d {
                Delta::Call { index, name, arguments } if *index == at => Some((name.clone(), arguments.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(told.iter().map(|(_, a)| *a).collect::<String>(), whole);
        let names: Vec<_> = told.iter().filter_map(|(n, _)| n.as_deref()).collect();
        assert_eq!(names, [name]);
        assert!(!face.has_pieces() || told.iter().filter(|(_, a)| !a.is_empty()).count() == 2, "{told:?}");
    }
}

async fn every_reason_to_stop_is_told_apart(face: &dyn Face) {
    for (end, stop) in [(End::Done, StopReason::End), (End::Length, StopReason::Length)] {
        let body = sse(&[face.begin(), face.text(0, &["x"]), face.end(end)].concat());
        assert_eq!(reply_to(face, body).await.unwrap().stop, stop);
    }
    let body = sse(&[face.begin(), face.text(0, &["x"]), face.end(End::Filtered)].concat());
    assert!(matches!(reply_to(face, body).await.unwrap().stop, StopReason::Filtered | StopReason::Refused));
}

async fn reasoning_goes_back_in_its_place_and_only_to_its_maker(face: &dyn Face) {
    let Some((thought, expected)) = face.reasoning(0) else { return };
    let frames = [
        face.begin(),
        thought,
        face.text(1, &["Let me ", "look."]),
        face.call(2, "c", "t", &[r#"{"q":1.0}"#]),
        face.end(End::Calls),
    ];
    let (url, seen) = serve_body(sse(&frames.concat())).await;
    let model = face.model(&url, NAME, Settings::default(), Bounds::default());
    let reply = ask(&*model, question()).await.0.unwrap();
    assert_eq!(reply.reasoning.len(), 1);
    // Through the journal's form of it.
    let reply: Reply = serde_json::from_str(&serde_json::to_string(&reply).unwrap()).unwrap();
    let mut next = question();
    let result =
        ToolResult { call_id: "c".into(), name: "t".into(), content: "found".into(), error: false, images: Vec::new() };
    next.messages.extend([Arc::new(Message::Assistant(reply)), Arc::new(Message::Tool(result))]);
    let sent = || {
        let (_, _, body) = seen.lock().unwrap().take().unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    };
    ask(&*model, next.clone()).await.0.unwrap();
    let body = sent();
    let thought = body.find(&expected).unwrap_or_else(|| panic!("{expected} is not in {body}"));
    // Chat Completions has a field for it instead of a place.
    let call = body.find(r#"1.0}"#).unwrap();
    assert!(thought < call && call < body.find("found").unwrap(), "{body}");
    // Neither another model nor the same one elsewhere is sent what it cannot read.
    let marks = ["rs_1", "EqQB", "CiQB", "so "];
    let other = face.model(&url, "m-8", Settings::default(), Bounds::default());
    ask(&*other, next.clone()).await.0.unwrap();
    let body = sent();
    assert!(body.contains("Let me look.") && !marks.iter().any(|m| body.contains(m)), "{body}");
    let (elsewhere, seen) = serve_body(sse(&says(face, &["x"]))).await;
    ask(&*face.model(&elsewhere, NAME, Settings::default(), Bounds::default()), next).await.0.unwrap();
    let (_, _, body) = seen.lock().unwrap().take().unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    assert!(!marks.iter().any(|m| body.contains(m)), "{body}");
}

async fn the_answers_schema_is_told(face: &dyn Face) {
    let schema = json!({ "type": "object", "required": ["n"], "additionalProperties": false,
        "properties": { "n": { "type": "integer", "minimum": 1 } } });
    let wanted = OutputSchema { name: "answer".into(), schema: schema.clone() };
    let (url, seen) = serve_body(sse(&says(face, &[r#"{"n":1}"#]))).await;
    let model = face.model(&url, NAME, Settings::default(), Bounds::default());
    let mut call = question();
    call.output = Some(Arc::new(wanted));
    ask(&*model, call).await.0.unwrap();
    let (_, _, body) = seen.lock().unwrap().take().unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body.pointer(face.schema_at()), Some(&face.schema_sent(&schema)), "{body}");
}

async fn a_busy_provider_says_when_to_come_back(face: &dyn Face) {
    for code in [429, 503, 529] {
        let answer = move || status(code, &[("retry-after", "7")], r#"{"error":{"message":"slow down"}}"#);
        let e = reply_of(face, Bounds::default(), answer).await.unwrap_err();
        assert_eq!(facts(&e), (code::MODEL_BUSY, Retry::After(Some(Span::from_secs(7))), false), "{code}");
        assert!(e.detail.contains("slow down"), "{e}");
    }
    let e = reply_of(face, Bounds::default(), || status(500, &[], "oops")).await.unwrap_err();
    assert_eq!(facts(&e), (code::MODEL_BUSY, Retry::After(None), true));
    let e = reply_to(face, sse(&[face.begin(), face.text(0, &["half"]), vec![face.overloaded()]].concat())).await;
    assert_eq!(facts(&e.unwrap_err()), (code::MODEL_BUSY, Retry::After(None), true));
}

async fn the_key_is_in_no_error(face: &dyn Face) {
    for code in [401, 403] {
        let body = r#"{"error":{"message":"wrong: sk-test-0123456789abcdef (sk-test*****cdef)"}}"#;
        let e = reply_of(face, Bounds::default(), move || status(code, &[], body)).await.unwrap_err();
        assert_eq!(facts(&e), (code::MODEL_KEY, Retry::No, false));
        assert!(!e.detail.contains("sk-test") && e.detail.contains("[key]"), "{e}");
    }
    let e = reply_of(face, Bounds::default(), || status(400, &[], "no")).await.unwrap_err();
    assert_eq!(facts(&e), (code::MODEL_REFUSED, Retry::No, false));
}

async fn a_cut_stream_is_never_a_reply(face: &dyn Face) {
    let frames = [face.begin(), face.text(0, &["half", " of it"]), face.call(1, "c", "t", &["{}"])].concat();
    for kept in 0..=frames.len() {
        let e = reply_to(face, sse(&frames[..kept])).await.unwrap_err();
        assert_eq!(facts(&e), (code::MODEL_CUT, Retry::After(None), true), "{kept} frames");
    }
    // An end without its blank line is none.
    let last = face.end(End::Done).remove(0);
    let e = reply_to(face, format!("{}data: {last}", sse(&frames))).await.unwrap_err();
    assert_eq!(facts(&e), (code::MODEL_CUT, Retry::After(None), true));
    // A close before any answer, and one in the middle of the head.
    for answer in [&b""[..], b"HTTP/1.1 200 O"] {
        let url = common::raw(answer.to_vec()).await;
        let model = face.model(&url, NAME, Settings::default(), Bounds::default());
        let e = ask(&*model, question()).await.0.unwrap_err();
        assert_eq!(facts(&e), (code::MODEL_CUT, Retry::After(None), true));
    }
}

async fn garbage_is_called_garbage(face: &dyn Face) {
    let mut bodies: Vec<Vec<u8>> =
        face.nonsense().iter().map(|f| sse(&[face.begin(), vec![f.clone()]].concat()).into()).collect();
    bodies.extend([&b"data: {not json}\n\n"[..], b"data: []\n\n", b"data: 7\n\n"].map(<[u8]>::to_vec));
    bodies.push(format!("data: {{\"a\":{}\n\n", "[".repeat(200_000)).into());
    let mut text = sse(&[face.begin(), face.text(0, &["MARK"])].concat()).into_bytes();
    let at = text.windows(4).position(|w| w == b"MARK").unwrap();
    text[at] = 0xff;
    bodies.push(text);
    bodies.push(
        sse(&[face.begin(), face.call(0, "c", &"n".repeat(1_000), &["{}"]), face.end(End::Calls)].concat()).into(),
    );
    bodies.push(sse(&[face.begin(), face.call(0, "c", "", &["{}"]), face.end(End::Calls)].concat()).into());
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        let e = reply_to(face, body).await.expect_err(&shown);
        assert_eq!(facts(&e), (code::MODEL_GARBAGE, Retry::After(None), true), "{shown}");
    }
    let html = || Response::builder().header("content-type", "text/html").body(Body::from("<html>")).unwrap();
    let e = reply_of(face, Bounds::default(), html).await.unwrap_err();
    assert!(e.code == code::MODEL_GARBAGE && e.detail.contains("text/html"), "{e}");
}

async fn calls_with_equal_missing_or_huge_ids_are_made_distinct(face: &dyn Face) {
    let huge = "x".repeat(500);
    let calls = ["a", "a", "a-2", "", &huge].into_iter().enumerate().flat_map(|(n, id)| face.call(n, id, "t", &["{}"]));
    let frames = [face.begin(), calls.collect(), face.end(End::Calls)].concat();
    let reply = reply_to(face, sse(&frames)).await.unwrap();
    let ids: Vec<_> = reply.calls.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(ids, ["a", "a-2", "a-2-2", "call_2_3", "call_2_4"]);
}

async fn silence_is_a_timeout_wherever_it_falls(face: &dyn Face) {
    let half = sse(&[face.begin(), face.text(0, &["half"])].concat());
    let stall = move || {
        let first = stream::iter([Ok::<_, std::io::Error>(half.clone())]);
        event_stream(Body::from_stream(first.chain(stream::pending())))
    };
    let bounds = Bounds { idle: Duration::from_millis(100), ..Bounds::default() };
    let e = reply_of(face, bounds, stall).await.unwrap_err();
    assert_eq!(facts(&e), (code::MODEL_TIMEOUT, Retry::After(None), true));
    // Accepted by the kernel, never answered.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", silent.local_addr().unwrap());
    let bounds = Bounds { first_byte: Duration::from_millis(100), ..Bounds::default() };
    let e = ask(&*face.model(&url, NAME, Settings::default(), bounds), question()).await.0.unwrap_err();
    assert_eq!(facts(&e), (code::MODEL_TIMEOUT, Retry::After(None), true));
}

async fn a_flood_is_stopped_at_each_limit(face: &dyn Face) {
    let bounds =
        Bounds { max_wire: 1 << 20, max_reply: 64 << 10, max_arguments: 4 << 10, max_calls: 8, ..Bounds::default() };
    let long = "1".repeat(1_000);
    let text = sse(&[face.begin(), face.text(0, &vec![long.as_str(); 100])].concat());
    let whole = format!(r#"{{"a":"{}"}}"#, "1".repeat(5_000));
    let arguments = sse(&[face.begin(), face.call(0, "c", "t", &[&whole])].concat());
    let many = (0..9).flat_map(|n| face.call(n, &format!("c{n}"), "t", &["{}"])).collect();
    let calls = sse(&[face.begin(), many].concat());
    for body in [text, arguments, calls] {
        let e = reply_within(face, bounds.clone(), body).await.0.unwrap_err();
        assert_eq!(facts(&e), (code::MODEL_GARBAGE, Retry::No, true), "{e}");
    }
    for piece in ["x".repeat(1_000), ": comment\n\n".repeat(100), format!("data: {long}\n")] {
        let endless = move || {
            let piece = piece.clone();
            event_stream(Body::from_stream(stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()))))
        };
        let e = reply_of(face, bounds.clone(), endless).await.unwrap_err();
        assert_eq!(facts(&e), (code::MODEL_GARBAGE, Retry::No, true), "{e}");
    }
}

async fn what_went_over_the_wire_is_told_without_the_key(face: &dyn Face) {
    let body = sse(&says(face, &["Grüße ", KEY, " end"]));
    let pieces: Vec<Vec<u8>> = body.as_bytes().chunks(7).map(<[u8]>::to_vec).collect();
    let answer = move || {
        let pieces = pieces.clone().into_iter().map(Ok::<_, std::io::Error>);
        let mut response = event_stream(Body::from_stream(stream::iter(pieces)));
        response.headers_mut().insert("x-request-id", "req_1".parse().unwrap());
        response.headers_mut().insert("set-cookie", "private".parse().unwrap());
        response
    };
    let (url, seen) = serve(answer).await;
    let kept = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&kept);
    let mut call = question();
    call.raw = Some(RawSink::new(move |raw| sink.lock().unwrap().push(raw)));
    let model = face.model(&url, NAME, Settings::default(), Bounds::default());
    ask(&*model, call).await.0.unwrap();
    let (path, _, sent) = seen.lock().unwrap().take().unwrap();
    let kept = kept.lock().unwrap().clone();
    assert!(!format!("{kept:?}").contains(KEY) && kept.is_sorted_by_key(|raw| raw.at));
    let RawPart::Request { path: told, body: request, .. } = &kept[0].part else { panic!("{:?}", kept[0]) };
    assert_eq!((told.as_str(), request), (path.split('?').next().unwrap(), &sent));
    let RawPart::Head { status, headers } = &kept[1].part else { panic!("{:?}", kept[1]) };
    assert_eq!(*status, 200);
    let names: Vec<_> = headers.iter().map(|(n, _)| n.as_str()).collect();
    assert!(names.contains(&"x-request-id") && names.contains(&"content-type") && !names.contains(&"set-cookie"));
    let got: Vec<u8> = kept[2..]
        .iter()
        .flat_map(|raw| match &raw.part {
            RawPart::Body(bytes) => bytes.to_vec(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(String::from_utf8(got).unwrap(), body.replace(KEY, "[key]"));
}

async fn a_failed_exchange_is_told_as_far_as_it_went(face: &dyn Face) {
    let (url, _) = serve(|| status(401, &[("retry-after", "1")], "bad key sk-test*****cdef")).await;
    let kept = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&kept);
    let mut call = question();
    call.raw = Some(RawSink::new(move |raw| sink.lock().unwrap().push(raw.part)));
    ask(&*face.model(&url, NAME, Settings::default(), Bounds::default()), call).await.0.unwrap_err();
    let kept = kept.lock().unwrap().clone();
    assert!(matches!(&kept[1], RawPart::Head { status: 401, .. }));
    assert_eq!(kept[2..], [RawPart::Body("bad key [key]".into())]);
}

macro_rules! promises {
    ($($promise:ident),* $(,)?) => {
        mod chat { use super::*; $(#[tokio::test] async fn $promise() { super::$promise(&Chat).await; })* }
        mod responses { use super::*; $(#[tokio::test] async fn $promise() { super::$promise(&Responding).await; })* }
        mod anthropic { use super::*; $(#[tokio::test] async fn $promise() { super::$promise(&Claude).await; })* }
        mod gemini { use super::*; $(#[tokio::test] async fn $promise() { super::$promise(&Google).await; })* }
    };
}

promises!(
    text_is_streamed_and_the_reply_is_whole,
    parallel_calls_are_put_together_byte_for_byte,
    every_reason_to_stop_is_told_apart,
    reasoning_goes_back_in_its_place_and_only_to_its_maker,
    the_answers_schema_is_told,
    a_busy_provider_says_when_to_come_back,
    the_key_is_in_no_error,
    a_cut_stream_is_never_a_reply,
    garbage_is_called_garbage,
    calls_with_equal_missing_or_huge_ids_are_made_distinct,
    silence_is_a_timeout_wherever_it_falls,
    a_flood_is_stopped_at_each_limit,
    what_went_over_the_wire_is_told_without_the_key,
    a_failed_exchange_is_told_as_far_as_it_went,
);
