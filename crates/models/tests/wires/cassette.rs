//! What was recorded of each wire is played through the reader of that wire, and comes to the same.

use std::sync::{Arc, Mutex};

use axum::{body::Body, http::Response};
use bytes::Bytes;
use futures_util::stream;
use stead_core::{
    code,
    id::RunId,
    message::{Message, Reply},
};
use stead_models::{
    cassette::{Cassette, Exchange, Header, Outcome, Pace, Player, Recorded, Source, Tape},
    settings::Settings,
    wire::Bounds,
};
use stead_ports::{BoxFuture, model::ModelCall};

use super::{
    anthropic::Claude,
    chat::Chat,
    common::{KEY, ask, question, serve, status},
    face::{End, Face, sse},
    gemini::Google,
    responses::Responding,
};

#[derive(Default)]
struct Kept(Mutex<Vec<Exchange>>);

impl Tape for Kept {
    fn records(&self, run: RunId) -> bool {
        run == RunId(1)
    }
    fn keep(&self, _: RunId, exchange: Exchange) -> BoxFuture<'_, ()> {
        self.0.lock().unwrap().push(exchange);
        Box::pin(std::future::ready(()))
    }
}

impl Kept {
    /// The cassette, as it is read from its own text.
    fn cassette(&self) -> (Cassette, String) {
        let header = Header::new(Source::Recorded, "a".into(), "v".into(), "r".into());
        let text = Cassette { header, exchanges: self.0.lock().unwrap().clone() }.text();
        (Cassette::parse(&text).unwrap(), text)
    }
}

/// A whole reply with reasoning, text that repeats the key, and a call.
fn frames(face: &dyn Face) -> Vec<String> {
    let reasoning = face.reasoning(0).map_or_else(Vec::new, |(frames, _)| frames);
    [
        face.begin(),
        reasoning,
        face.text(1, &["Grü", "ße ", KEY]),
        face.call(2, "a", "t", &[r#"{"x":1}"#]),
        face.end(End::Calls),
    ]
    .concat()
}

async fn recorded(face: &dyn Face, answer: impl Fn() -> Response<Body> + Clone + Send + Sync + 'static) -> Arc<Kept> {
    let (url, _) = serve(answer).await;
    let tape = Arc::new(Kept::default());
    let model = Recorded::new(face.model(&url, "m-9", Settings::default(), Bounds::default()).into(), tape.clone());
    let _ = ask(&model, question()).await;
    tape
}

async fn a_recorded_wire_is_read_again_to_the_same_reply(face: &dyn Face) {
    let bytes = sse(&frames(face)).into_bytes();
    // Cut into pieces in the middle of characters and of the key.
    let pieces: Vec<Bytes> = bytes.chunks(7).map(Bytes::copy_from_slice).collect();
    let sent = String::from_utf8(bytes).unwrap();
    let tape = recorded(face, move || {
        let body = Body::from_stream(stream::iter(pieces.clone().into_iter().map(Ok::<_, std::io::Error>)));
        Response::builder()
            .header("content-type", "text/event-stream")
            .header("x-request-id", KEY)
            .header("set-cookie", KEY)
            .body(body)
            .unwrap()
    })
    .await;
    let (cassette, text) = tape.cassette();
    assert!(!text.contains(KEY) && text.contains("[key]"), "{text}");
    let wire = cassette.exchanges[0].wire.as_ref().unwrap();
    let kept: Vec<u8> = wire.body.iter().flat_map(|(_, piece)| piece.bytes().unwrap()).collect();
    assert_eq!(String::from_utf8(kept).unwrap(), sent.replace(KEY, "[key]"), "the frames as they came");
    let names: Vec<&str> = wire.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((wire.status, &*names), (Some(200), &["content-type", "date", "x-request-id"][..]));
    let offsets: Vec<u64> = wire.body.iter().map(|(at, _)| *at).collect();
    assert!(offsets[0] > 0 && offsets.is_sorted(), "{offsets:?}");
    let Outcome::Reply(then) = &cassette.exchanges[0].outcome else { panic!("{text}") };
    let (now, deltas) = ask(&Player::new(cassette.clone(), false, Pace::Fast), question()).await;
    let now = now.unwrap();
    assert_eq!((now.text.as_str(), now.usage), ("Grüße [key]", face.usage()));
    assert_eq!(now, **then);
    assert!(deltas.len() > 2, "{deltas:?}");
}

async fn a_recorded_failure_is_the_same_failure(face: &dyn Face) {
    let tape = recorded(face, || status(429, &[("retry-after", "7")], r#"{"error":{"message":"slow down"}}"#)).await;
    let (cassette, _) = tape.cassette();
    let (url, _) = serve(|| status(429, &[("retry-after", "7")], r#"{"error":{"message":"slow down"}}"#)).await;
    let live = ask(&*face.model(&url, "m-9", Settings::default(), Bounds::default()), question()).await.0;
    let played = ask(&Player::new(cassette, false, Pace::Fast), question()).await.0;
    assert_eq!(played, live);
}

#[tokio::test]
async fn every_wire_is_recorded_and_played() {
    let faces: [&dyn Face; 4] = [&Chat, &Responding, &Claude, &Google];
    for face in faces {
        a_recorded_wire_is_read_again_to_the_same_reply(face).await;
        a_recorded_failure_is_the_same_failure(face).await;
    }
}

fn asked(text: &str, replies: usize) -> ModelCall {
    let mut messages = vec![Arc::new(Message::User { text: text.into() })];
    messages
        .extend((0..replies).map(|n| Arc::new(Message::Assistant(Reply { text: n.to_string(), ..Reply::default() }))));
    ModelCall { messages, ..question() }
}

async fn two_turns() -> Cassette {
    let tape = recorded(&Chat, || {
        Response::builder().header("content-type", "text/event-stream").body(Body::from(sse(&frames(&Chat)))).unwrap()
    })
    .await;
    let (mut cassette, _) = tape.cassette();
    let mut second = cassette.exchanges[0].clone();
    (second.turn, second.replies) = (3, 1);
    second.request = Some(stead_models::cassette::Request::of(&asked("hi", 1)));
    cassette.exchanges.push(second);
    cassette
}

#[tokio::test]
async fn a_strict_player_answers_the_recorded_calls_alone_and_says_what_differs() {
    let player = Player::new(two_turns().await, false, Pace::Fast);
    assert!(ask(&player, asked("hi", 1)).await.0.is_ok());
    assert!(ask(&player, asked("hi", 0)).await.0.is_ok(), "the order does not matter");
    assert!(ask(&player, asked("hi", 0)).await.0.is_ok(), "after a crash a call is made again");
    let other = ask(&player, asked("ho", 0)).await.0.unwrap_err();
    assert_eq!(other.code, code::CASSETTE_MISMATCH);
    assert!(other.detail.contains("message 1: recorded user `hi`, now user `ho`"), "{other}");
    let changed = ModelCall { instructions: "Be long.".into(), tools: Arc::new([]), ..asked("hi", 0) };
    let other = ask(&player, changed).await.0.unwrap_err();
    assert!(other.detail.contains("the instructions are others; the tool `t` is gone"), "{other}");
    assert_eq!(ask(&player, asked("hi", 2)).await.0.unwrap_err().code, code::CASSETTE_ENDED);
}

#[tokio::test]
async fn a_loose_player_answers_by_the_number_of_replies() {
    let player = Player::new(two_turns().await, true, Pace::Fast);
    for replies in [0, 1, 0] {
        assert!(ask(&player, asked("something else", replies)).await.0.is_ok());
    }
    assert_eq!(ask(&player, asked("more", 2)).await.0.unwrap_err().code, code::CASSETTE_ENDED);
}

#[tokio::test]
async fn a_cassette_is_read_back_and_what_is_damaged_is_named_by_its_line() {
    let cassette = two_turns().await;
    let text = cassette.text();
    assert_eq!(Cassette::parse(&text).unwrap(), cassette);
    assert!(text.lines().nth(2).unwrap().contains(r#""kept":1"#), "what both have is written once: {text}");
    let line = |text: &str| Cassette::parse(text).unwrap_err().line;
    assert_eq!(line(""), 1);
    assert_eq!(line(&text.replacen("\"stead_cassette\":1", "\"stead_cassette\":2", 1)), 1);
    assert_eq!(line(&text.replace("\"max_output_tokens\":77", "\"max_output_tokens\":78")), 2);
    assert_eq!(line(&text.replace("\"kept\":1", "\"kept\":9")), 3);
    // A line that a crash cut off was never one.
    let cut = &text[..text.len() - 20];
    assert_eq!(Cassette::parse(cut).unwrap().exchanges.len(), 1);
}
