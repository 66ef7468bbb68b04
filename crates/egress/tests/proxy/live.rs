//! Rules that change while a box is at work, and the end of a session.

use std::sync::{Arc, OnceLock};

use serde_json::json;
use stead_core::code;
use stead_egress::{Audit, Entry, Event, Gone, Limits, Session};
use stead_ports::BoxFuture;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::rustls::pki_types::ServerName;

use crate::{
    http::echo_world,
    server::{Server, ok},
    tls::{client, tunnel},
    world::{Record, World, body, put, refused},
};

#[tokio::test]
async fn rules_count_from_the_next_request_of_an_open_connection() {
    let (world, server) = echo_world().await;
    let at = format!("api.test:{}", server.port);
    let one = format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n");
    let mut stream = TcpStream::connect(world.proxy).await.unwrap();
    stream.write_all(one.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") || seen.windows(4).filter(|w| w == b"\r\n\r\n").count() < 2 {
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
    }
    world.rules(json!([]));
    stream.write_all(one.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    refused(&answer, code::EGRESS_DENIED);
    world
        .rules(json!([{ "host": "api.test", "scheme": "http", "ports": [server.port], "addresses": ["127.0.0.0/8"] }]));
    body(&world.get(&format!("http://{at}/")).await);
}

/// The end of what is under way, and its reason on record.
async fn cut(world: &World, mut stream: impl tokio::io::AsyncRead + Unpin) {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    // The record is written just after the connection is closed.
    while !world
        .record
        .entries()
        .iter()
        .any(|e| matches!(e.event, Event::Ended { cut: Some(code::EGRESS_REVOKED), .. }))
    {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_open_tunnel_is_cut_when_its_host_is_taken_away_and_only_then() {
    let world = World::new().await;
    let server = Server::https(&world.ca, "api.test", |_| ok("hello")).await;
    world.host("api.test");
    let rule = json!({ "host": "api.test", "ports": [server.port], "addresses": ["127.0.0.0/8"] });
    let mut seen = rule.clone();
    seen["paths"] = json!(["/v1/**"]);
    let mut moved = rule.clone();
    moved["addresses"] = json!(["10.0.0.0/8"]);
    // Taken away, to be looked at from now on, or not to lead there any more.
    for after in [json!([]), json!([seen]), json!([moved])] {
        world.rules(json!([rule]));
        let at = format!("api.test:{}", server.port);
        let name = ServerName::try_from("api.test").unwrap();
        let mut stream = client(&world.ca.pem).connect(name, tunnel(&world, &at).await).await.unwrap();
        for _ in 0..2 {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await.unwrap();
            let mut answer = vec![0; 43];
            stream.read_exact(&mut answer).await.unwrap();
            assert!(answer.ends_with(b"hello"), "{}", String::from_utf8_lossy(&answer));
            // Another list that still has it cuts nothing.
            world.rules(json!(["other.test", rule]));
        }
        world.rules(after);
        cut(&world, stream).await;
    }
}

#[tokio::test]
async fn a_request_under_way_is_cut_when_it_is_not_allowed_any_more() {
    let world = World::new().await;
    // The answer never ends.
    let server =
        Server::http(|_| vec![b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n".to_vec()]).await;
    world.host("api.test");
    world
        .rules(json!([{ "host": "api.test", "scheme": "http", "ports": [server.port], "addresses": ["127.0.0.0/8"] }]));
    let at = format!("api.test:{}", server.port);
    let mut stream = TcpStream::connect(world.proxy).await.unwrap();
    stream.write_all(format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes()).await.unwrap();
    let mut begun = Vec::new();
    while !begun.ends_with(b"begin\r\n") {
        assert!(stream.read_buf(&mut begun).await.unwrap() > 0);
    }
    world.rules(json!([]));
    cut(&world, stream).await;
}

#[tokio::test]
async fn nothing_is_sent_that_cannot_be_put_on_record() {
    let (sink, entries) = tokio::sync::mpsc::channel(1);
    drop(entries);
    let world = World::telling(Limits::default(), Record::default(), Arc::new(sink)).await;
    let plain = Server::http(|_| ok("reached")).await;
    let secure = Server::https(&world.ca, "api.test", |_| ok("reached")).await;
    world.host("api.test");
    world.rules(json!([
        { "host": "api.test", "scheme": "http", "ports": [plain.port], "addresses": ["127.0.0.0/8"] },
        { "host": "api.test", "ports": [secure.port], "addresses": ["127.0.0.0/8"] },
    ]));
    let answer = world.get(&format!("http://api.test:{}/", plain.port)).await;
    assert!(answer.is_empty(), "{answer}");
    let name = ServerName::try_from("api.test").unwrap();
    let through = tunnel(&world, &format!("api.test:{}", secure.port)).await;
    assert!(client(&world.ca.pem).connect(name, through).await.is_err());
    assert!(plain.arrived().is_empty() && secure.arrived().is_empty());
}

#[tokio::test]
async fn a_closed_session_ends_everything() {
    let (world, server) = echo_world().await;
    let mut idle = TcpStream::connect(world.proxy).await.unwrap();
    let at = format!("api.test:{}", server.port);
    idle.write_all(format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes()).await.unwrap();
    let mut first = [0; 15];
    idle.read_exact(&mut first).await.unwrap();
    world.session.close();
    let mut rest = Vec::new();
    let _ = idle.read_to_end(&mut rest).await;
    world.session.closed().await;
    // Nobody listens any more: nothing is answered.
    let late = match TcpStream::connect(world.proxy).await {
        Ok(mut stream) => {
            let mut answer = Vec::new();
            let _ = stream.write_all(b"GET http://api.test/ HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
            let _ = stream.read_to_end(&mut answer).await;
            answer
        }
        Err(_) => Vec::new(),
    };
    assert!(late.is_empty());
}

/// A sink that takes all rules away as soon as it is told that something is allowed.
#[derive(Clone, Default)]
struct Revoking(Record, Arc<OnceLock<Session>>);

impl Audit for Revoking {
    fn record(&self, entry: Entry) -> BoxFuture<'_, Result<(), Gone>> {
        if let Event::Allowed { .. } = entry.event {
            put(self.1.get().unwrap(), json!([]));
        }
        self.0.record(entry)
    }
}

#[tokio::test]
async fn what_is_taken_away_at_the_last_moment_is_not_sent() {
    let sink = Revoking::default();
    let world = World::telling(Limits::default(), sink.0.clone(), Arc::new(sink.clone())).await;
    assert!(sink.1.set(world.session.clone()).is_ok());
    let server = Server::http(|_| ok("reached")).await;
    world.host("api.test");
    for _ in 0..20 {
        world.rules(
            json!([{ "host": "api.test", "scheme": "http", "ports": [server.port], "addresses": ["127.0.0.0/8"] }]),
        );
        refused(&world.send("POST", &format!("http://api.test:{}/", server.port), "", "x").await, code::EGRESS_REVOKED);
    }
    assert!(server.arrived().is_empty(), "{:?}", server.arrived());
}

/// A rule that changes while the host is looked up is not used as it was: here, the secret is not put in any more.
#[tokio::test]
async fn a_rule_that_changes_while_the_host_is_reached_is_not_used_as_it_was() {
    let world = World::new().await;
    let server = Server::http(|_| ok("reached")).await;
    world.host("api.test");
    world.secret("key", "a-secret-value-0123456789");
    let bare = json!({ "host": "api.test", "scheme": "http", "ports": [server.port], "addresses": ["127.0.0.0/8"] });
    let mut bound = bare.clone();
    bound["secrets_in_clear"] = json!(true);
    bound["secrets"] = json!([{ "secret": "key", "inject": "bearer" }]);
    for (after, arrives) in [(json!([bare]), 0), (json!([]), 0), (json!(["other.test", bound]), 1)] {
        world.rules(json!([bound]));
        let session = world.session.clone();
        world.dns.meanwhile(move || put(&session, after));
        let answer = world.get(&format!("http://api.test:{}/", server.port)).await;
        if arrives == 0 {
            refused(&answer, code::EGRESS_REVOKED);
        } else {
            body(&answer);
        }
        assert_eq!(server.arrived().len(), arrives);
    }
}

/// A session that is closed still tells what came of what was under way.
#[tokio::test]
async fn the_end_of_what_a_closed_session_cuts_is_on_record() {
    let world = World::new().await;
    let server =
        Server::http(|_| vec![b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n".to_vec()]).await;
    let secure = Server::https(&world.ca, "api.test", |_| ok("hello")).await;
    world.host("api.test");
    world.rules(json!([
        { "host": "api.test", "scheme": "http", "ports": [server.port], "addresses": ["127.0.0.0/8"] },
        { "host": "api.test", "ports": [secure.port], "addresses": ["127.0.0.0/8"] },
    ]));
    let at = format!("api.test:{}", server.port);
    let mut stream = TcpStream::connect(world.proxy).await.unwrap();
    stream.write_all(format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes()).await.unwrap();
    let mut begun = Vec::new();
    while !begun.ends_with(b"begin\r\n") {
        assert!(stream.read_buf(&mut begun).await.unwrap() > 0);
    }
    let name = ServerName::try_from("api.test").unwrap();
    let through = tunnel(&world, &format!("api.test:{}", secure.port)).await;
    let mut through = client(&world.ca.pem).connect(name, through).await.unwrap();
    world.session.close();
    cut(&world, stream).await;
    let _ = through.read_to_end(&mut Vec::new()).await;
    let ends = || {
        let cut = |e: &Entry| matches!(e.event, Event::Ended { cut: Some(code::EGRESS_REVOKED), .. });
        world.record.entries().into_iter().filter(cut).count()
    };
    while ends() < 2 {
        tokio::task::yield_now().await;
    }
}
