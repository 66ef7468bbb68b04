//! However a provider cuts the text, and the network the bytes, the arguments that come out are the bytes that the model
//! wrote.

use axum::body::Body;
use futures_util::stream;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use stead_models::{settings::Settings, wire::Bounds};

use super::{
    anthropic::Claude,
    chat::Chat,
    common::{ask, event_stream, question, serve},
    face::{End, Face, sse},
    gemini::Google,
    responses::Responding,
};

/// JSON text with all the spellings that a parser would level: spaces, escapes, numbers, equal keys.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?",
        Just("true".to_owned()),
        Just("null".to_owned()),
        text(),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            (vec(inner.clone(), 0..4), space()).prop_map(|(v, s)| format!("[{s}{}{s}]", v.join(&format!("{s},")))),
            object(inner),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    vec(prop_oneof!["[ -!#-\\[\\]-~]", "\\\\(u00e9|n|/|\"|\\\\)", "[äß→💡]"], 0..6)
        .prop_map(|p| format!("\"{}\"", p.concat()))
}

fn space() -> impl Strategy<Value = String> {
    "[ \t]{0,2}"
}

fn object(inner: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (vec((prop_oneof![Just("\"a\"".to_owned()), text()], inner), 0..4), space()).prop_map(|(pairs, s)| {
        let pairs: Vec<_> = pairs.into_iter().map(|(k, v)| format!("{s}{k}:{s}{v}")).collect();
        format!("{{{}{s}}}", pairs.join(","))
    })
}

/// Cuts a text at characters, in pieces of those lengths, over and over.
fn cut(text: &str, lengths: &[usize]) -> Vec<String> {
    let mut lengths = lengths.iter().cycle();
    let mut chars = text.chars();
    let mut out = Vec::new();
    loop {
        let piece: String = chars.by_ref().take(*lengths.next().unwrap()).collect();
        if piece.is_empty() {
            return out;
        }
        out.push(piece);
    }
}

fn survives(face: &'static dyn Face) {
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    let calls = vec(object(value()), 1..4);
    let cuts = (vec(1_usize..9, 1..4), vec(1_usize..40, 1..4));
    runner
        .run(&(calls, cuts), |(calls, (pieces, packets))| {
            let mut frames = face.begin();
            for (n, arguments) in calls.iter().enumerate() {
                let pieces = cut(arguments, &pieces);
                let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
                frames.extend(face.call(n, &format!("c{n}"), "t", &pieces));
            }
            frames.extend(face.end(End::Calls));
            let bytes = sse(&frames).into_bytes();
            let mut packets = packets.iter().cycle();
            let mut rest = &bytes[..];
            let mut sent = Vec::new();
            while !rest.is_empty() {
                let (head, tail) = rest.split_at((*packets.next().unwrap()).min(rest.len()));
                sent.push(head.to_vec());
                rest = tail;
            }
            let reply = rt.block_on(async {
                let answer = move || {
                    let sent = sent.clone().into_iter().map(Ok::<_, std::io::Error>);
                    event_stream(Body::from_stream(stream::iter(sent)))
                };
                let (url, _) = serve(answer).await;
                ask(&*face.model(&url, "m", Settings::default(), Bounds::default()), question()).await.0.unwrap()
            });
            let got: Vec<&str> = reply.calls.iter().map(|c| c.arguments.get()).collect();
            prop_assert_eq!(got, calls.iter().map(String::as_str).collect::<Vec<_>>());
            Ok(())
        })
        .unwrap();
}

#[test]
fn arguments_survive_any_chunking_on_the_chat_wire() {
    survives(&Chat);
}

#[test]
fn arguments_survive_any_chunking_on_the_responses_wire() {
    survives(&Responding);
}

#[test]
fn arguments_survive_any_chunking_on_the_anthropic_wire() {
    survives(&Claude);
}

#[test]
fn arguments_survive_any_chunking_on_the_gemini_wire() {
    survives(&Google);
}
