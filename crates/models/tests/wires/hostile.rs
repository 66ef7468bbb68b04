//! A cassette is a file from anywhere: what is too large, too deep, changed or of another release is refused with its
//! line, and what was recorded of time is kept without getting lost in it.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use stead_core::{
    code,
    message::{Message, Reply},
};
use stead_models::cassette::{
    Cassette, Exchange, Header, MAX_CASSETTE, Outcome, Pace, Piece, Player, Request, Source, Wire,
};
use stead_ports::model::{ModelCall, Retry};

use super::common::{ask, question};

/// A stream of Chat Completions: a greeting, in two pieces.
fn wire() -> Wire {
    let says = |text: &str| {
        // In the order of the file.
        let delta = json!({ "choices": [{ "delta": { "content": text }, "index": 0 }], "model": "m-9" });
        format!("data: {delta}\n\n")
    };
    let end = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
               data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n";
    Wire {
        name: "openai".into(),
        path: "/v1/chat/completions".into(),
        status: Some(200),
        headers: vec![("content-type".into(), "text/event-stream".into())],
        body: vec![
            (250_000, Piece::new(says("Hello").as_bytes())),
            (750_000, Piece::new(says(", world").as_bytes())),
            (900_000, Piece::new(end.as_bytes())),
        ],
    }
}

fn second() -> ModelCall {
    let said = Reply { text: "Hello, world".into(), ..Reply::default() };
    let messages = [question().messages, vec![Message::Assistant(said).into(), Message::user("more").into()]];
    ModelCall { messages: messages.concat(), turn: 3, ..question() }
}

/// Two exchanges: one as it went over the wire, one of which the reply alone is known.
fn cassette() -> Cassette {
    let reply = |json: Value| Outcome::Reply(Box::new(serde_json::from_value(json).unwrap()));
    let first = Exchange {
        turn: 2,
        attempt: 1,
        replies: 0,
        model: "openai:m-9".into(),
        request: Some(Request::of(&question())),
        wire: Some(wire()),
        outcome: reply(json!({
            "text": "Hello, world", "stop": "end", "model": "m-9",
            "usage": { "input": 9, "cached": 0, "output": 3, "reasoning": 0 }
        })),
    };
    let outcome =
        reply(json!({ "calls": [{ "id": "c1", "name": "t", "arguments": { "x": 1 } }], "stop": "tool_calls" }));
    let request = Some(Request::of(&second()));
    let next = Exchange { turn: 3, replies: 1, request, wire: None, outcome, ..first.clone() };
    let header = Header::new(Source::Recorded, "a".into(), "0123".into(), "run_1".into());
    Cassette { header, exchanges: vec![first, next] }
}

#[tokio::test]
async fn a_cassette_of_version_1_is_read_and_played_by_every_release() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1.cassette");
    if std::env::var_os("STEAD_BLESS").is_some() {
        fs::write(&path, cassette().text()).unwrap();
    }
    let text = fs::read_to_string(path).unwrap();
    assert_eq!(Cassette::parse(&text).unwrap(), cassette());
    assert_eq!(text, cassette().text());
    let player = Player::new(Cassette::parse(&text).unwrap(), false, Pace::Fast);
    assert_eq!(ask(&player, question()).await.0.unwrap().text, "Hello, world");
    assert_eq!(ask(&player, second()).await.0.unwrap().calls[0].arguments.get(), r#"{"x":1}"#);
}

/// What is said of the cassette when its exchange `n` (0 for the header) was changed.
fn changed(n: usize, change: impl FnOnce(&mut Value)) -> (usize, String) {
    let text = cassette().text();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    change(&mut lines[n]);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let e = Cassette::parse(&text).unwrap_err();
    (e.line, e.what)
}

fn calls(n: usize, arguments: &str) -> Value {
    let arguments: Value = serde_json::from_str(arguments).unwrap();
    json!({ "calls": vec![json!({ "id": "c", "name": "t", "arguments": arguments }); n] })
}

#[test]
fn a_cassette_of_a_newer_release_is_told_by_its_version_whatever_else_its_header_says() {
    let (line, what) = changed(0, |header| *header = json!({ "stead_cassette": 2, "runs": [] }));
    assert_eq!((line, &*what), (1, "it is of version 2 of the format; this release reads version 1"));
}

#[test]
fn what_was_changed_by_hand_is_found_by_the_digest() {
    let wrong = (2, "its digest is not that of its parts".to_owned());
    assert_eq!(changed(1, |e| e["request"]["instructions"] = json!("00")), wrong);
    assert_eq!(changed(1, |e| e["request"]["messages"][0]["digest"] = json!("00")), wrong);
    assert_eq!(changed(1, |e| e["request"]["digest"] = json!("00")), wrong);
    assert_eq!(changed(1, |e| e["request"]["tools"] = json!([])), wrong);
    let (line, what) = changed(2, |e| e["request"]["kept"] = json!(u64::MAX));
    assert!(line == 3 && what.contains("messages together"), "{what}");
}

#[test]
fn a_reply_that_no_wire_would_let_through_is_refused() {
    let reply = |reply: Value| changed(2, |e| e["outcome"] = json!({ "reply": reply })).1;
    assert_eq!(reply(calls(129, "{}")), "its reply has over 128 calls or reasoning items");
    let long = json!("x".repeat(1 << 20)).to_string();
    assert_eq!(reply(calls(1, &long)), "arguments of its reply have over 1048576 bytes");
    assert_eq!(reply(json!({ "text": "x".repeat((8 << 20) + 1) })), "its reply has over 8388608 bytes");
    let name = json!({ "calls": [{ "id": "c", "name": "n".repeat(201), "arguments": {} }] });
    assert_eq!(reply(name), "a name of its reply has over 200 bytes");
    assert_eq!(reply(json!({ "reasoning": vec![""; 129] })), "its reply has over 128 calls or reasoning items");
}

#[test]
fn depth_and_size_have_a_bound() {
    let text = cassette().text();
    let deep = format!("{}{}\n", text, r#"{"outcome":"#.repeat(100_000));
    assert_eq!(Cassette::parse(&deep).unwrap_err().line, 4);
    let large = format!("{text}{}", " ".repeat(MAX_CASSETTE));
    assert_eq!(Cassette::parse(&large).unwrap_err().what, "larger than 64 MiB");
    let known = Exchange { request: None, ..cassette().exchanges[1].clone() };
    let many = Cassette { exchanges: vec![known; 100_001], ..cassette() }.text();
    assert_eq!(Cassette::parse(&many).unwrap_err().what, "more than 100000 exchanges");
}

#[tokio::test]
async fn bytes_that_are_none_and_a_head_that_is_none_are_told_and_nothing_panics() {
    let heads: [fn(&mut Wire); 5] = [
        |w| w.body[0].1 = Piece::Hex { hex: "0".into() },
        |w| w.body[0].1 = Piece::Hex { hex: "+f".into() },
        |w| w.status = Some(7),
        |w| w.headers[0].0 = "no header".into(),
        |w| w.name = "telegraph".into(),
    ];
    for change in heads {
        let mut changed = cassette();
        change(changed.exchanges[0].wire.as_mut().unwrap());
        let e = ask(&Player::new(changed, false, Pace::Fast), question()).await.0.unwrap_err();
        assert_eq!((e.code, e.retry), (code::CASSETTE_READ, Retry::No), "{e}");
    }
}

#[tokio::test]
async fn a_recorded_failure_says_no_more_and_waits_no_longer_than_a_wire_would() {
    let text = cassette().text();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let error =
        json!({ "code": "ST0021", "detail": "é".repeat(5_000), "retry": true, "after": u64::MAX, "charged": false });
    lines[1]["outcome"] = json!({ "error": error });
    lines[1]["wire"] = Value::Null;
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let player = Player::new(Cassette::parse(&text).unwrap(), false, Pace::Fast);
    let e = ask(&player, question()).await.0.unwrap_err();
    let Retry::After(Some(wait)) = e.retry else { panic!("{e:?}") };
    assert_eq!((e.detail.len(), wait.to_std()), (2 << 10, Duration::from_secs(24 * 3_600)));
}

#[tokio::test]
async fn recorded_pauses_are_kept_when_asked_for_and_none_counts_as_silence() {
    tokio::time::pause();
    let mut slow = cassette();
    let wire = slow.exchanges[0].wire.as_mut().unwrap();
    // The last comes a year later: it is waited for half as long as a stream may be silent.
    wire.body[2].0 = 365 * 24 * 3_600 * 1_000_000;
    let took = async |pace| {
        let began = tokio::time::Instant::now();
        ask(&Player::new(slow.clone(), false, pace), question()).await.0.unwrap();
        began.elapsed()
    };
    assert_eq!(took(Pace::Fast).await, Duration::ZERO);
    let kept = took(Pace::Recorded).await.as_millis();
    assert!((30_750..30_760).contains(&kept), "{kept}");
}
