//! Secrets: put in at their place and nowhere else, and never seen in the box. Abuse case 40.

use std::{fmt::Write as _, io::Write as _};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use serde_json::{Value, json};
use stead_core::code;
use stead_egress::{Entry, Event};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    server::{Arrived, Pieces, Server, chunked, full, ok},
    world::{World, body, refused},
};

const SECRET: &str = "sk-live/9f+Zq_4eC39HqLyjWDarjtT1zdp7dc==";

/// A world with `api.test`, to which a secret is bound, and `other.test`, which has none.
async fn bound(inject: Value, answer: impl Fn(&Arrived) -> Pieces + Send + Sync + 'static) -> (World, Server) {
    let world = World::new().await;
    let server = Server::http(answer).await;
    world.host("api.test");
    world.host("other.test");
    world.secret("key", SECRET);
    world.rules(json!([
        { "host": "api.test", "scheme": "http", "ports": [server.port], "addresses": ["127.0.0.0/8"],
          "secrets_in_clear": true, "secrets": [{ "secret": "key", "inject": inject }] },
        { "host": "other.test", "scheme": "http", "ports": [server.port], "addresses": ["127.0.0.0/8"], "client_credentials": true },
    ]));
    (world, server)
}

fn url(server: &Server) -> String {
    format!("http://api.test:{}/v1", server.port)
}

#[tokio::test]
async fn a_secret_goes_to_its_host_at_its_place_and_nowhere_else() {
    for (inject, name, want) in [
        (json!("bearer"), "authorization", format!("Bearer {SECRET}")),
        (json!({ "header": { "name": "X-Api-Key" } }), "x-api-key", SECRET.to_owned()),
        (json!({ "header": { "name": "X-Own", "prefix": "Token " } }), "x-own", format!("Token {SECRET}")),
        (
            json!({ "basic": { "user": "me" } }),
            "authorization",
            format!("Basic {}", STANDARD.encode(format!("me:{SECRET}"))),
        ),
    ] {
        let (world, server) = bound(inject.clone(), |_| ok("done")).await;
        let placeholder = world.placeholder("key");
        // As programs send it that were given the placeholder, and with credentials of their own.
        for fields in [
            String::new(),
            format!("{name}: {placeholder}\r\n"),
            format!("{name}: Bearer {placeholder}\r\nCookie: own=1\r\n"),
            format!("{name}: own\r\nX-Auth-Token: own\r\n"),
        ] {
            assert_eq!(body(&world.send("POST", &url(&server), &fields, "x=1").await), "done");
            let arrived = server.arrived().pop().unwrap();
            assert_eq!(arrived.field(name).as_deref(), Some(want.as_str()), "{inject}");
            assert!(!arrived.head.contains("own") || name == "x-own", "{}", arrived.head);
        }
        let names: Vec<_> = world
            .record
            .entries()
            .into_iter()
            .filter_map(|e| match e.event {
                Event::Allowed { secrets, .. } => Some(secrets),
                _ => None,
            })
            .collect();
        assert_eq!(names, vec![vec!["key".to_owned()]; 4]);
        let other = format!("http://other.test:{}/", server.port);
        assert_eq!(body(&world.get(&other).await), "done");
        let arrived = server.arrived().pop().unwrap();
        assert!(arrived.field(name).is_none() && !arrived.head.contains("sk-live"), "{}", arrived.head);
    }
}

#[tokio::test]
async fn a_placeholder_anywhere_else_is_refused_and_on_record() {
    let (world, server) = bound(json!("bearer"), |_| ok("done")).await;
    let placeholder = world.placeholder("key");
    let other = format!("http://other.test:{}/", server.port);
    let basic = STANDARD.encode(format!("me:{placeholder}"));
    let own = url(&server);
    for (url, fields, text) in [
        (format!("{own}?key={placeholder}"), String::new(), String::new()),
        (format!("{own}/{placeholder}"), String::new(), String::new()),
        (own.clone(), format!("X-Other: a{placeholder}\r\n"), String::new()),
        (own.clone(), String::new(), format!("x={placeholder}")),
        (other.clone(), format!("Authorization: Bearer {placeholder}\r\n"), String::new()),
        (other.clone(), format!("Authorization: Basic {basic}\r\n"), String::new()),
        (other.clone(), String::new(), format!("{{\"key\":\"{placeholder}\"}}")),
    ] {
        refused(&world.send("POST", &url, &fields, &text).await, code::EGRESS_PLACEHOLDER);
    }
    // In pieces of a body that has begun to flow.
    let at = format!("other.test:{}", server.port);
    let head =
        format!("POST http://{at}/ HTTP/1.1\r\nHost: {at}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    let chunks: String = placeholder
        .as_bytes()
        .chunks(7)
        .map(|c| format!("{:x}\r\n{}\r\n", c.len(), String::from_utf8_lossy(c)))
        .collect();
    refused(&world.raw(format!("{head}{chunks}0\r\n\r\n")).await, code::EGRESS_PLACEHOLDER);
    assert!(server.arrived().is_empty(), "{:?}", server.arrived());
    let codes = world.record.denied();
    assert_eq!(codes, [code::EGRESS_PLACEHOLDER; 5]);
    let cut = |e: &Entry| matches!(e.event, Event::Ended { cut: Some(code::EGRESS_PLACEHOLDER), status: None, .. });
    let cuts = world.record.entries().iter().filter(|e| cut(e)).count();
    assert_eq!(cuts, 3, "bodies that had begun to flow are cut, and on record");
}

#[tokio::test]
async fn a_form_and_a_signature_are_written_anew() {
    let (world, server) = bound(json!({ "form": { "field": "client_secret" } }), |_| ok("done")).await;
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let placeholder = world.placeholder("key");
    assert_eq!(
        body(&world.send("POST", &url(&server), form, &format!("a=1&client_secret={placeholder}&b=2")).await),
        "done"
    );
    let want = "a=1&client_secret=sk-live%2F9f%2BZq_4eC39HqLyjWDarjtT1zdp7dc%3D%3D&b=2";
    assert_eq!(String::from_utf8_lossy(&server.one().body), want);
    refused(&world.send("POST", &url(&server), form, &format!("a={placeholder}")).await, code::EGRESS_PLACEHOLDER);
    refused(
        &world.send("POST", &url(&server), "Content-Type: application/json\r\n", "{}").await,
        code::EGRESS_MALFORMED,
    );

    let sign = json!({ "sigv4": { "access_key_id": "AKIDEXAMPLE", "region": "eu-central-1", "service": "sqs" } });
    let (world, server) = bound(sign, |_| ok("done")).await;
    let fields = "Authorization: AWS4-HMAC-SHA256 Credential=own\r\nX-Amz-Security-Token: own\r\nX-Amz-Date: 20000101T000000Z\r\n";
    assert_eq!(body(&world.send("POST", &url(&server), fields, "Action=x").await), "done");
    let arrived = server.one();
    let signature = arrived.field("authorization").unwrap();
    assert!(signature.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{signature}");
    assert!(
        signature.contains("/eu-central-1/sqs/aws4_request, SignedHeaders=host;x-amz-date, Signature="),
        "{signature}"
    );
    assert!(arrived.field("x-amz-security-token").is_none() && !arrived.head.contains("20000101"));
    assert_eq!(arrived.body, b"Action=x");
}

/// Everything that a host may do with what it was sent, but keep it to itself.
fn echoes(arrived: &Arrived) -> Vec<(&'static str, Pieces)> {
    let given = arrived.field("authorization").unwrap();
    let text = format!("<h1>401</h1> you sent {given} and that is wrong");
    let gz = |text: &str| {
        let mut e = GzEncoder::new(Vec::new(), Compression::default());
        e.write_all(text.as_bytes()).unwrap();
        e.finish().unwrap()
    };
    let zlib = |text: &str| {
        let mut e = ZlibEncoder::new(Vec::new(), Compression::default());
        e.write_all(text.as_bytes()).unwrap();
        e.finish().unwrap()
    };
    let br = |text: &str| {
        let mut out = Vec::new();
        brotli::BrotliCompress(&mut text.as_bytes(), &mut out, &brotli::enc::BrotliEncoderParams::default()).unwrap();
        out
    };
    let mut hex = String::new();
    text.bytes().for_each(|b| write!(hex, "{b:02x}").unwrap());
    let percent: String = text.bytes().map(|b| format!("%{b:02X}")).collect();
    let json = serde_json::to_string(&text).unwrap().replace('/', "\\/");
    let mut out = vec![
        ("plain", ok(&text)),
        ("an error page", full("401 Unauthorized", "", &text)),
        ("a server error", full("500 Internal Server Error", "", &text)),
        ("a field", full("200 OK", &format!("X-Echo: {given}\r\n"), "")),
        ("a redirect", full("302 Found", &format!("Location: /?t={given}\r\n"), "")),
        ("a cookie", full("200 OK", &format!("Set-Cookie: t={}; Path=/\r\n", STANDARD.encode(&given)), "")),
        ("chunks of one byte", chunked("", text.as_bytes(), 1)),
        ("chunks", chunked("", text.as_bytes(), 7)),
        ("gzip", full("200 OK", "Content-Encoding: gzip\r\n", gz(&text))),
        ("gzip in chunks", chunked("Content-Encoding: gzip\r\n", &gz(&text), 3)),
        ("deflate", full("200 OK", "Content-Encoding: deflate\r\n", zlib(&text))),
        ("brotli", full("200 OK", "Content-Encoding: br\r\n", br(&text))),
        ("hex", ok(&hex)),
        ("percent", ok(&percent)),
        ("JSON", ok(&json)),
        ("JSON in gzip in chunks", chunked("Content-Encoding: gzip\r\n", &gz(&json), 5)),
        (
            "in packets of its own",
            vec![
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", text.len(), &text[..40]).into_bytes(),
                text.as_bytes()[40..].to_vec(),
            ],
        ),
    ];
    for before in 0..3 {
        let padded = format!("{}{text}", "-".repeat(before));
        out.push(("base64", ok(STANDARD.encode(&padded))));
        out.push(("base64 for URLs in chunks", chunked("", URL_SAFE.encode(&padded).as_bytes(), 11)));
    }
    out
}

/// Whether twelve characters of the secret can be read out of an answer, after undoing what the client would undo.
fn seen(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let joined = match head.to_ascii_lowercase().contains("chunked") {
        true => body.split("\r\n").skip(1).step_by(2).collect::<String>(),
        false => body.to_owned(),
    };
    let mut forms = vec![SECRET.to_owned(), SECRET.replace('/', "\\/")];
    forms.push(SECRET.bytes().map(|b| format!("%{b:02X}")).collect());
    forms.push(SECRET.bytes().map(|b| format!("{b:02x}")).collect());
    for before in 0..3 {
        let text = format!("{}{SECRET}", "-".repeat(before));
        forms.push(STANDARD.encode(&text)[4..].to_owned());
        forms.push(URL_SAFE.encode(&text)[4..].to_owned());
    }
    let long = |form: &String| {
        form.as_bytes().windows(16).any(|w| {
            let part = String::from_utf8_lossy(w);
            head.contains(&*part) || joined.contains(&*part) || text.contains(&*part)
        })
    };
    forms.iter().any(long)
}

#[tokio::test]
async fn no_echo_of_a_secret_comes_back() {
    let sample =
        Arrived { head: format!("GET / HTTP/1.1\r\nAuthorization: Bearer {SECRET}\r\n\r\n"), body: Vec::new() };
    let cases = echoes(&sample);
    let names: Vec<_> = cases.iter().map(|(name, _)| *name).collect();
    let (world, server) = bound(json!("bearer"), |arrived| {
        let at: usize = arrived.head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        echoes(arrived).swap_remove(at).1
    })
    .await;
    for (n, name) in names.iter().enumerate() {
        let answer = world
            .send(
                "GET",
                &format!("http://api.test:{}/{n}", server.port),
                "Accept-Encoding: gzip, br\r\nRange: bytes=0-60\r\n",
                "",
            )
            .await;
        assert!(answer.starts_with("HTTP/1.1 ") && answer.contains('*'), "{name}: {answer}");
        assert!(!seen(answer.as_bytes()), "{name}: {answer}");
        assert!(!answer.to_ascii_lowercase().contains("content-encoding"), "{name}: {answer}");
        let arrived = server.arrived().pop().unwrap();
        assert_eq!(arrived.field("accept-encoding").as_deref(), Some("identity"));
        assert!(arrived.field("range").is_none() && arrived.head.contains(SECRET), "{}", arrived.head);
    }
    let masked =
        world.record.entries().into_iter().filter(|e| matches!(e.event, Event::Ended { masked, .. } if masked > 0));
    assert_eq!(masked.count(), names.len());
    let all = format!("{:?}", world.record.entries());
    assert!(!seen(all.as_bytes()), "the record holds no value");
}

#[tokio::test]
async fn another_host_cannot_hand_the_secret_back_either() {
    let (world, server) = bound(json!("bearer"), |_| ok(format!("a copy: {SECRET}"))).await;
    assert!(!seen(world.get(&url(&server)).await.as_bytes()));
    let answer = world.get(&format!("http://other.test:{}/", server.port)).await;
    assert_eq!(body(&answer), format!("a copy: {}", "*".repeat(SECRET.len())));
}

#[tokio::test]
async fn an_answer_that_cannot_be_searched_does_not_come_in() {
    let (world, server) = bound(json!("bearer"), |r| match r.head.contains("/zstd") {
        true => full("200 OK", "Content-Encoding: zstd\r\n", SECRET),
        false => full("200 OK", "Content-Encoding: gzip\r\n", format!("no gzip {SECRET}")),
    })
    .await;
    refused(&world.get(&format!("http://api.test:{}/zstd", server.port)).await, code::EGRESS_ANSWER);
    let broken = world.get(&url(&server)).await;
    assert!(!seen(broken.as_bytes()) && !broken.contains("no gzip"), "{broken}");
}

#[tokio::test]
async fn a_websocket_is_searched_too() {
    let world = World::new().await;
    let server = Server::http(|_| {
        vec![b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".to_vec()]
    })
    .await;
    world.host("api.test");
    world.secret("key", SECRET);
    world.rules(json!([{ "host": "api.test", "scheme": "http", "ports": [server.port], "addresses": ["127.0.0.0/8"],
        "websocket": true, "secrets_in_clear": true, "secrets": [{ "secret": "key", "inject": "bearer" }] }]));
    let at = format!("api.test:{}", server.port);
    let mut stream = TcpStream::connect(world.proxy).await.unwrap();
    let head = format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    // The server echoes what follows, as one that had kept the secret would.
    stream.write_all(format!("{head}<{SECRET}>").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with(&format!("\r\n\r\n<{}>", "*".repeat(SECRET.len()))), "{answer}");
}

#[tokio::test]
async fn a_secret_that_cannot_be_put_in_stops_the_request() {
    let (world, server) = bound(json!("bearer"), |_| ok("done")).await;
    for value in ["tiny", "two\nlines of it", "nicht-ÄSCII-wert", &"x".repeat(20 << 10)] {
        world.secret("key", value);
        let answer = world.get(&url(&server)).await;
        refused(&answer, code::EGRESS_SECRET);
        assert!(!answer.contains(value), "{answer}");
    }
    world.rules(json!([{ "host": "api.test", "scheme": "http", "ports": [server.port], "addresses": ["127.0.0.0/8"],
        "secrets_in_clear": true, "secrets": [{ "secret": "absent", "inject": "bearer" }] }]));
    refused(&world.get(&url(&server)).await, code::EGRESS_SECRET);
    assert!(server.arrived().is_empty());
    // A changed one counts from the next request on, and the old one is still masked.
    let (world, server) =
        bound(json!("bearer"), |r| ok(format!("{} {SECRET}", r.field("authorization").unwrap()))).await;
    body(&world.get(&url(&server)).await);
    world.secret("key", "another-secret-value-0123456789");
    let answer = world.get(&url(&server)).await;
    assert!(server.arrived().pop().unwrap().head.contains("Bearer another-secret-value"));
    assert!(!seen(answer.as_bytes()) && !answer.contains("another-secret"), "{answer}");
}

#[tokio::test]
async fn a_token_is_fetched_kept_hidden_and_fetched_again_when_it_is_refused() {
    let world = World::new().await;
    let token = |n: usize| format!("token-number-{n}-{}", "abcdefghij".repeat(3));
    let issued = std::sync::atomic::AtomicUsize::new(0);
    let issuer = Server::https(&world.ca, "login.test", move |_| {
        let n = issued.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        ok(json!({ "access_token": token(n), "token_type": "Bearer", "expires_in": 3600 }).to_string())
    })
    .await;
    let server = Server::https(&world.ca, "api.test", |r| match r.head.contains("/refuse") {
        true => full("401 Unauthorized", "", ""),
        false => ok(r.field("authorization").unwrap()),
    })
    .await;
    world.host("api.test");
    world.host("login.test");
    world.secret("client", SECRET);
    let token_url = format!("https://login.test:{}/token", issuer.port);
    world.rules(json!([{ "host": "api.test", "ports": [server.port], "addresses": ["127.0.0.0/8"], "secrets": [{
        "secret": "client", "inject": { "oauth": { "token_url": token_url, "client_id": "me", "scope": "a b" } } }] }]));
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, world.session.authority_pem()).unwrap();
    for (path, fetched) in [("one", 1), ("two", 1), ("refuse", 1), ("three", 2)] {
        let url = format!("https://api.test:{}/{path}", server.port);
        let said = crate::clients::curl(&world, &["--cacert", authority.to_str().unwrap(), &url]).await;
        assert!(!said.contains("token-number"), "{said}");
        assert_eq!(issuer.arrived().len(), fetched, "{path}");
    }
    let sent: Vec<_> = server.arrived().iter().map(|r| r.field("authorization").unwrap()).collect();
    assert_eq!(sent, [0, 0, 0, 1].map(|n| format!("Bearer {}", token(n))));
    let told: Vec<_> = world.record.entries().into_iter().filter(|e| e.asked.host == "login.test").collect();
    assert_eq!(told.len(), 4, "each token that was asked for is on record, and what came of it: {told:?}");
    assert_eq!((told[0].asked.method.as_str(), told[0].asked.path.as_deref()), ("POST", Some("/token")));
    assert!(matches!(&told[0].event, Event::Allowed { secrets, .. } if secrets == &["client"]), "{told:?}");
    assert!(matches!(told[1].event, Event::Ended { status: Some(200), sent: 39, cut: None, .. }), "{told:?}");
    let asked = &issuer.arrived()[0];
    assert_eq!(asked.body, b"grant_type=client_credentials&scope=a+b");
    let pair = "me:sk-live%2F9f%2BZq_4eC39HqLyjWDarjtT1zdp7dc%3D%3D";
    assert_eq!(asked.field("authorization"), Some(format!("Basic {}", STANDARD.encode(pair))));
}

/// A host may know a secret from another session; that this one has not used it yet does not let it through.
#[tokio::test]
async fn a_secret_that_was_not_used_yet_is_masked_as_well() {
    let (world, server) = bound(json!("bearer"), |_| ok(format!("a copy: {SECRET}"))).await;
    let answer = world.get(&format!("http://other.test:{}/", server.port)).await;
    assert_eq!(body(&answer), format!("a copy: {}", "*".repeat(SECRET.len())));
}

/// An answer that began before a secret was in use is searched for it from then on.
#[tokio::test]
async fn an_answer_that_is_still_coming_is_searched_for_what_came_into_use_since() {
    let world = World::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = Server::http(|_| ok("done")).await;
    world.host("api.test");
    world.host("other.test");
    let other = json!({ "host": "other.test", "scheme": "http", "ports": [port], "addresses": ["127.0.0.0/8"], "websocket": true });
    let api = json!({ "host": "api.test", "scheme": "http", "ports": [server.port], "addresses": ["127.0.0.0/8"],
        "secrets_in_clear": true, "secrets": [{ "secret": "key", "inject": "bearer" }] });
    for (begin, fields) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\nbegin"[..], ""),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nbegin",
            "Connection: Upgrade\r\nUpgrade: websocket\r\n",
        ),
    ] {
        world.rules(json!([other]));
        let at = format!("other.test:{port}");
        let mut stream = TcpStream::connect(world.proxy).await.unwrap();
        let head = format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n{fields}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let (mut host, _) = listener.accept().await.unwrap();
        host.read_buf(&mut Vec::new()).await.unwrap();
        host.write_all(begin).await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"begin") {
            assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "{}", String::from_utf8_lossy(&seen));
        }
        world.secret("key", SECRET);
        world.rules(json!([other, api]));
        body(&world.get(&url(&server)).await);
        host.write_all(SECRET.as_bytes()).await.unwrap();
        host.shutdown().await.unwrap();
        drop(host);
        let mut rest = vec![0; SECRET.len()];
        stream.read_exact(&mut rest).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&rest), "*".repeat(SECRET.len()));
    }
}

#[tokio::test]
async fn an_answer_that_its_connection_packs_does_not_come_in() {
    let (world, server) = bound(json!("bearer"), |_| {
        vec![b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\n\x1f\x8b\x08\r\n0\r\n\r\n".to_vec()]
    })
    .await;
    refused(&world.get(&url(&server)).await, code::EGRESS_ANSWER);
}

/// A body of two kinds, or of one that only begins like a form, gets no secret.
#[tokio::test]
async fn a_secret_goes_into_a_form_and_into_nothing_that_looks_like_one() {
    let (world, server) = bound(json!({ "form": { "field": "client_secret" } }), |_| ok("done")).await;
    let form = "application/x-www-form-urlencoded";
    for fields in [
        format!("Content-Type: {form}-not\r\n"),
        format!("Content-Type: {form}\r\nContent-Type: text/plain\r\n"),
        "Content-Type: text/plain\r\n".to_owned(),
    ] {
        refused(&world.send("POST", &url(&server), &fields, "a=1").await, code::EGRESS_MALFORMED);
    }
    assert!(server.arrived().is_empty());
    let with = format!("Content-Type: {form} ; charset=utf-8\r\n");
    assert_eq!(body(&world.send("POST", &url(&server), &with, "a=1").await), "done");
}

/// A field that a gateway reads as the one that a secret goes into is the client's own, and is taken out.
#[tokio::test]
async fn no_second_field_of_almost_the_same_name_goes_with_the_secret() {
    let (world, server) = bound(json!({ "header": { "name": "X-Own-Field" } }), |_| ok("done")).await;
    assert_eq!(body(&world.send("GET", &url(&server), "X_Own_Field: mine\r\nx-own_field: mine\r\n", "").await), "done");
    let arrived = server.one();
    assert!(
        !arrived.head.contains("mine") && arrived.field("x-own-field").as_deref() == Some(SECRET),
        "{}",
        arrived.head
    );
}

/// Case 40: whoever sends guesses through the proxy and reads them back learns nothing of a secret whose beginning he knows.
#[tokio::test]
async fn guesses_that_are_echoed_do_not_tell_the_secret() {
    let (world, server) = bound(json!("bearer"), |_| ok("done")).await;
    body(&world.get(&url(&server)).await);
    let echo = Server::http(|r| ok(&r.body)).await;
    let mut rules =
        json!([{ "host": "other.test", "scheme": "http", "ports": [echo.port], "addresses": ["127.0.0.0/8"] }]);
    rules.as_array_mut().unwrap().push(json!({ "host": "api.test", "scheme": "http", "ports": [server.port],
        "addresses": ["127.0.0.0/8"], "secrets_in_clear": true, "secrets": [{ "secret": "key", "inject": "bearer" }] }));
    world.rules(rules);
    let mut guesses = String::new();
    for known in 0..SECRET.len() / 2 {
        for next in ' '..='~' {
            let guess = format!("{}{next}", &SECRET[..known]);
            let hex: String = guess.bytes().map(|b| format!("{b:02x}")).collect();
            writeln!(guesses, "{guess} {hex} {}", STANDARD.encode(&guess)).unwrap();
        }
    }
    let answer = world.send("POST", &format!("http://other.test:{}/", echo.port), "", &guesses).await;
    assert!(body(&answer) == guesses, "an answer tells right guesses from wrong ones");
}
