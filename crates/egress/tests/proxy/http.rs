//! Plain HTTP: what is allowed, what is refused, and that one request is one request.

use serde_json::json;
use stead_core::code;
use stead_egress::{Event, Limits};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    server::{Server, chunked, full, ok},
    world::{World, body, refused},
};

/// A world with one host, `api.test`, that answers with what it was asked.
pub(crate) async fn echo_world() -> (World, Server) {
    let world = World::new().await;
    let server = Server::http(|r| ok([r.head.as_bytes(), &r.body].concat())).await;
    world.host("api.test");
    world
        .rules(json!([{ "host": "api.test", "scheme": "http", "ports": [server.port], "addresses": ["127.0.0.0/8"] }]));
    (world, server)
}

#[tokio::test]
async fn a_listed_host_is_reached_and_each_decision_is_on_record() {
    let (world, server) = echo_world().await;
    let url = format!("http://api.test:{}/a/../b%2fc?q=1", server.port);
    let answer = world.send("POST", &url, "Accept: */*\r\nX-Own: 1\r\n", "hello").await;
    assert!(body(&answer).ends_with("\r\n\r\nhello"), "{answer}");
    let arrived = server.one();
    assert!(arrived.head.starts_with("POST /b%2Fc?q=1 HTTP/1.1\r\n"), "{}", arrived.head);
    assert_eq!(arrived.field("host"), Some(format!("api.test:{}", server.port)));
    assert_eq!(arrived.field("x-own"), Some("1".into()));
    let entries = world.record.entries();
    let [allowed, ended] = &entries[..] else { panic!("{entries:?}") };
    assert_eq!((allowed.asked.method.as_str(), allowed.asked.path.as_deref()), ("POST", Some("/b%2Fc")));
    assert!(matches!(&allowed.event, Event::Allowed { rule, address, .. }
        if rule == "1: api.test" && address.to_string() == format!("127.0.0.1:{}", server.port)));
    assert!(matches!(ended.event, Event::Ended { status: Some(200), sent: 5, cut: None, .. }), "{ended:?}");
    assert_eq!(world.session.usage().sent, 5);
}

#[tokio::test]
async fn methods_and_paths_are_held_to_the_rule() {
    let world = World::new().await;
    let server = Server::http(|_| ok("yes")).await;
    world.host("api.test");
    world.rules(json!([{ "host": "api.test", "scheme": "http", "ports": [server.port], "addresses": ["127.0.0.0/8"],
        "methods": ["GET"], "paths": ["/v1/**", "/public"] }]));
    let url = |path: &str| format!("http://api.test:{}{path}", server.port);
    for path in ["/v1/x", "/public", "/v2/../v1/x", "/%76%31/x"] {
        assert_eq!(body(&world.get(&url(path)).await), "yes", "{path}");
    }
    for path in ["/", "/v2", "/v1/../v2", "/v1/%2e%2e/v2", "/V1/x", "/public/x"] {
        refused(&world.get(&url(path)).await, code::EGRESS_DENIED);
    }
    for path in ["/v1/..%2fv2", "/v1/..;/v2", "/v1/%252e%252e/v2", "/v1/..\\v2"] {
        refused(&world.get(&url(path)).await, code::EGRESS_PATH);
    }
    refused(&world.send("DELETE", &url("/v1/x"), "", "").await, code::EGRESS_DENIED);
    assert_eq!(server.arrived().len(), 4);
}

#[tokio::test]
async fn a_request_cannot_be_smuggled_in_another() {
    let (world, server) = echo_world().await;
    let line = format!("POST http://api.test:{0}/ HTTP/1.1\r\nHost: api.test:{0}\r\n", server.port);
    let hidden = format!("GET http://api.test:{0}/hidden HTTP/1.1\r\nHost: api.test:{0}\r\n\r\n", server.port);
    for fields in [
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        "Content-Length: 0\r\nContent-Length: 60\r\n\r\n",
        "Content-Length: 0, 60\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0;\n\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n1\r\nA0\r\n\r\n",
        "Host: other.test\r\n\r\n",
    ] {
        let answer = world.raw(format!("{line}{fields}{hidden}")).await;
        let about = answer.find("\r\n\r\n").map_or("", |at| &answer[at + 4..]);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{fields}: {answer}");
        assert!(!about.contains("HTTP/1.1 "), "one answer, then the end: {fields}: {answer}");
    }
    assert!(server.arrived().iter().all(|r| !r.head.contains("hidden")), "{:?}", server.arrived());
    // A body whose length is told is a body, whatever it holds.
    let inner = format!("{line}Content-Length: {}\r\nConnection: close\r\n\r\n{hidden}", hidden.len());
    assert!(body(&world.raw(inner).await).ends_with(&hidden));
}

#[tokio::test]
async fn requests_on_one_connection_are_decided_one_by_one() {
    let (world, server) = echo_world().await;
    let at = format!("api.test:{}", server.port);
    let one = format!("GET http://{at}/1 HTTP/1.1\r\nHost: {at}\r\n\r\n");
    let off = "GET http://other.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n";
    let end = format!("GET http://{at}/2 HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    let answers = world.raw(format!("{one}{one}{off}{end}")).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 403 Forbidden").count(), 1, "{answers}");
    assert_eq!((server.arrived().len(), server.connections()), (3, 1), "the host's connection is used again");
    assert_eq!(world.dns.asked(), ["api.test"], "the refused name is not looked up, the allowed one once");
}

#[tokio::test]
async fn bodies_go_through_in_both_framings() {
    let (world, server) = echo_world().await;
    let at = format!("api.test:{}", server.port);
    let large = "0123456789abcdef".repeat(40_000);
    let head = format!("POST http://{at}/ HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n");
    let answer = world.raw(format!("{head}Content-Length: {}\r\n\r\n{large}", large.len())).await;
    assert!(body(&answer).ends_with(&large));
    let chunks: String = large
        .as_bytes()
        .chunks(9_999)
        .map(|c| format!("{:X}\r\n{}\r\n", c.len(), String::from_utf8_lossy(c)))
        .collect();
    let answer = world.raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\nX-T: 1\r\n\r\n")).await;
    assert!(body(&answer).ends_with(&large));
    let arrived = server.arrived();
    assert!(arrived.iter().all(|r| r.body == large.as_bytes() && !r.head.contains("x-t")));
    // Broken off in the middle: the host does not take the part for the whole.
    refused(
        &world.raw(format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n")).await,
        code::EGRESS_MALFORMED,
    );
    assert_eq!(server.arrived().len(), 2);
}

#[tokio::test]
async fn fields_of_the_hop_end_at_the_proxy_in_both_directions() {
    let world = World::new().await;
    let server = Server::http(|_| {
        full(
            "200 OK",
            "Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Authenticate: x\r\nAlt-Svc: h3\r\nX-End: 2\r\n",
            "x",
        )
    })
    .await;
    world.host("api.test");
    world
        .rules(json!([{ "host": "api.test", "scheme": "http", "ports": [server.port], "addresses": ["127.0.0.0/8"] }]));
    let fields = "Proxy-Authorization: Basic eA==\r\nTE: trailers\r\nUpgrade: h2c\r\nAuthorization: Basic eA==\r\nCookie: a=b\r\n";
    let answer = world.send("GET", &format!("http://api.test:{}/", server.port), fields, "").await.to_ascii_lowercase();
    assert!(answer.contains("x-end: 2"), "{answer}");
    for gone in ["x-hop", "keep-alive", "proxy-auth", "alt-svc"] {
        assert!(!answer.contains(gone), "{gone}: {answer}");
    }
    let head = server.one().head.to_ascii_lowercase();
    for gone in ["proxy-", "\r\nte:", "upgrade", "authorization", "cookie"] {
        assert!(!head.contains(gone), "{gone}: {head}");
    }
    let stripped = world.record.entries().into_iter().find_map(|e| match e.event {
        Event::Allowed { stripped, .. } => Some(stripped),
        _ => None,
    });
    assert_eq!(stripped.unwrap(), ["authorization", "cookie"]);
}

#[tokio::test]
async fn a_request_that_the_proxy_does_not_take_is_explained() {
    let (world, server) = echo_world().await;
    for line in
        ["GET / HTTP/1.1", "OPTIONS * HTTP/1.1", "GET https://api.test/ HTTP/1.1", "GET ftp://api.test/ HTTP/1.1"]
    {
        refused(&world.raw(format!("{line}\r\nHost: api.test\r\n\r\n")).await, code::EGRESS_MALFORMED);
    }
    refused(&world.raw("CONNECT api.test HTTP/1.1\r\nHost: api.test\r\n\r\n").await, code::EGRESS_MALFORMED);
    assert_eq!((server.connections(), world.dns.asked().len()), (0, 0));
    assert_eq!(world.record.denied().len(), 5);
}

#[tokio::test]
async fn a_host_that_fails_is_told_apart() {
    let world = World::new().await;
    let garbage = Server::http(|_| vec![b"220 smtp ready\r\n".to_vec()]).await;
    let gone = TcpStream::connect(("127.0.0.1", garbage.port)).await.unwrap().local_addr().unwrap().port();
    world.host("api.test");
    world.rules(json!([{ "host": "*.test.example", "scheme": "http" },
        { "host": "api.test", "scheme": "http", "ports": [garbage.port, gone], "addresses": ["127.0.0.0/8"] }]));
    for port in [garbage.port, gone] {
        refused(&world.get(&format!("http://api.test:{port}/")).await, code::EGRESS_UNREACHABLE);
    }
    refused(&world.get("http://unknown.test.example/").await, code::EGRESS_UNREACHABLE);
}

#[tokio::test]
async fn a_host_that_never_answers_is_given_up() {
    let soon = std::time::Duration::from_millis(200);
    let world = World::with(Limits { answer: soon, stall: soon, ..Limits::default() }).await;
    let silent = Server::http(|_| Vec::new()).await;
    let stalled = Server::http(|_| vec![b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec()]).await;
    world.host("api.test");
    world.rules(json!([{ "host": "api.test", "scheme": "http", "ports": [silent.port, stalled.port], "addresses": ["127.0.0.0/8"] }]));
    refused(&world.get(&format!("http://api.test:{}/", silent.port)).await, code::EGRESS_TIMEOUT);
    let answer = world.get(&format!("http://api.test:{}/", stalled.port)).await;
    assert!(answer.ends_with("\r\n\r\nhalf"), "{answer}");
    let at = format!("api.test:{}", silent.port);
    let mut stream = TcpStream::connect(world.proxy).await.unwrap();
    let head = format!("POST http://{at}/ HTTP/1.1\r\nHost: {at}\r\nContent-Length: 9\r\n\r\nhalf");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    refused(&answer, code::EGRESS_TIMEOUT);
    let cuts = world.record.entries();
    let cut = |e: &&stead_egress::Entry| matches!(e.event, Event::Ended { cut: Some(code::EGRESS_TIMEOUT), .. });
    assert_eq!(cuts.iter().filter(cut).count(), 3);
}

#[tokio::test]
async fn an_answer_in_chunks_reaches_old_and_new_clients() {
    let world = World::new().await;
    let server = Server::http(|_| chunked("", b"hello world", 4)).await;
    world.host("api.test");
    world
        .rules(json!([{ "host": "api.test", "scheme": "http", "ports": [server.port], "addresses": ["127.0.0.0/8"] }]));
    let url = format!("http://api.test:{}/", server.port);
    let answer = world.get(&url).await;
    assert!(answer.contains("transfer-encoding: chunked") && answer.ends_with("0\r\n\r\n"), "{answer}");
    let old = world.raw(format!("GET {url} HTTP/1.0\r\n\r\n")).await;
    assert!(!old.contains("chunked") && old.ends_with("\r\n\r\nhello world"), "{old}");
    let both = Server::http(|_| chunked("Content-Length: 3\r\n", b"hello world", 4)).await;
    world.rules(json!([{ "host": "api.test", "scheme": "http", "ports": [both.port, server.port], "addresses": ["127.0.0.0/8"] }]));
    let answer = world.get(&format!("http://api.test:{}/", both.port)).await;
    assert!(!answer.contains("content-length"), "one framing, whatever the host says: {answer}");
    let head = world.send("HEAD", &url, "", "").await;
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"), "{head}");
}

#[tokio::test]
async fn a_client_that_waits_to_be_asked_for_its_body_is_asked() {
    let (world, server) = echo_world().await;
    let at = format!("api.test:{}", server.port);
    let mut stream = TcpStream::connect(world.proxy).await.unwrap();
    let head = format!(
        "PUT http://{at}/ HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(body(&answer).ends_with("hello") && !server.one().head.contains("expect"), "{answer}");
}

#[tokio::test]
async fn a_websocket_needs_a_rule_that_says_so() {
    let world = World::new().await;
    let server = Server::http(|_| {
        vec![b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n".to_vec()]
    })
    .await;
    world.host("api.test");
    let rule = |websocket: bool| json!([{ "host": "api.test", "scheme": "http", "ports": [server.port], "addresses": ["127.0.0.0/8"], "websocket": websocket }]);
    let at = format!("api.test:{}", server.port);
    let head = format!(
        "GET http://{at}/ws HTTP/1.1\r\nHost: {at}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    );
    world.rules(rule(false));
    let closing = head.replace("Connection: Upgrade", "Connection: Upgrade, close");
    refused(&world.raw(closing).await, code::EGRESS_UPGRADE);
    world.rules(rule(true));
    let mut stream = TcpStream::connect(world.proxy).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "{}", String::from_utf8_lossy(&seen));
    }
    let seen = String::from_utf8_lossy(&seen).to_ascii_lowercase();
    assert!(seen.starts_with("http/1.1 101") && seen.contains("sec-websocket-accept: x"), "{seen}");
    stream.write_all(b"frame").await.unwrap();
    let mut frame = [0; 5];
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(&frame, b"frame");
    assert!(!server.one().head.to_ascii_lowercase().contains("extensions"), "what is packed could not be searched");
    // Taken away in the middle of it.
    world.rules(rule(false));
    assert_eq!(stream.read(&mut frame).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn no_more_than_the_bound_is_served_at_once() {
    let world = World::with(Limits { connections: 1, ..Limits::default() }).await;
    world.rules(json!([]));
    let first = TcpStream::connect(world.proxy).await.unwrap();
    let mut second = TcpStream::connect(world.proxy).await.unwrap();
    second.write_all(b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(world.record.entries().is_empty());
    // Its place is taken by the second only now.
    drop(first);
    let mut answer = String::new();
    second.read_to_string(&mut answer).await.unwrap();
    refused(&answer, code::EGRESS_DENIED);
}

/// A body that its method seldom has goes to the host whole, and none of it is taken for a request.
#[tokio::test]
async fn the_body_of_a_get_is_a_body() {
    let (world, server) = echo_world().await;
    let at = format!("api.test:{}", server.port);
    let hidden = format!("GET http://{at}/hidden HTTP/1.1\r\nHost: {at}\r\n\r\n");
    // So that a piece that is dropped would end just before what is hidden.
    let content = "x".repeat(16 << 10) + &hidden;
    let head = format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n");
    let tail = format!("GET http://{at}/end HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{content}\r\n0\r\n\r\n", content.len());
    let plain = format!("{head}Content-Length: {}\r\n\r\n{content}", content.len());
    for request in [chunked, plain] {
        let answers = world.raw(request + &tail).await;
        assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{answers}");
    }
    let arrived = server.arrived();
    assert_eq!(arrived.iter().map(|r| r.body.len()).collect::<Vec<_>>(), [content.len(), 0, content.len(), 0]);
    assert!(arrived.iter().all(|r| !r.head.contains("hidden")), "{arrived:?}");
}

/// A host that does not read a body to its end leaves a rest of it, which is no request.
#[tokio::test]
async fn what_is_left_of_a_body_is_no_request() {
    let world = World::new().await;
    world.host("api.test");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    world.rules(json!([{ "host": "api.test", "scheme": "http", "ports": [port], "addresses": ["127.0.0.0/8"] }]));
    let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let heads = asked.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            let length = stream.read(&mut head).await.unwrap();
            heads.lock().unwrap().push(String::from_utf8_lossy(&head[..length]).into_owned());
            let _ = stream.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno").await;
        }
    });
    let at = format!("api.test:{port}");
    let hidden = format!("GET http://{at}/hidden HTTP/1.1\r\nHost: {at}\r\n\r\n");
    let content = hidden.repeat(60_000);
    for _ in 0..5 {
        let head = format!("POST http://{at}/ HTTP/1.1\r\nHost: {at}\r\nContent-Length: {}\r\n\r\n", content.len());
        world.raw(head + &content).await;
    }
    assert!(!asked.lock().unwrap().iter().any(|head| head.starts_with("GET")), "a part of a body became a request");
    assert!(world.record.entries().iter().all(|e| e.asked.method == "POST"));
}

/// Rules judge the request that is sent, so nothing goes with it that says it is another.
#[tokio::test]
async fn fields_that_name_another_request_do_not_reach_the_host() {
    let (world, server) = echo_world().await;
    let fields = "X-HTTP-Method-Override: DELETE\r\nX_HTTP_Method_Override: DELETE\r\nX-Original-URL: /admin\r\n\
        X-Rewrite-URL: /admin\r\nX-Forwarded-Host: evil.test\r\nX_Forwarded_For: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n\
        X-Real-IP: 127.0.0.1\r\nX_Api_Key: own\r\nPRIVATE_TOKEN: own\r\nX-Mine: 1\r\n";
    body(&world.send("POST", &format!("http://api.test:{}/", server.port), fields, "").await);
    let head = server.one().head.to_ascii_lowercase();
    for gone in ["override", "original", "rewrite", "forwarded", "real-ip", "own"] {
        assert!(!head.contains(gone), "{gone}: {head}");
    }
    assert!(head.contains("x-mine: 1"), "{head}");
    let entries = world.record.entries();
    assert!(matches!(&entries[0].event, Event::Allowed { stripped, .. } if stripped.len() == 10), "{entries:?}");
}

/// Whoever reads the record on a terminal, or line by line, reads what was asked and nothing else.
#[tokio::test]
async fn the_record_is_plain_text() {
    let (world, _) = echo_world().await;
    for target in ["http://api.test/\u{9b}31m\u{202e}\u{85}x", "http://\u{9b}2J/", "/\u{2028}"] {
        world.raw(format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n\r\n")).await;
        world.raw(format!("CONNECT {target}:443 HTTP/1.1\r\nHost: api.test\r\n\r\n")).await;
    }
    let entries = world.record.entries();
    assert_eq!(entries.len(), 6);
    for entry in entries {
        let Event::Denied { refusal, .. } = &entry.event else { panic!("{entry:?}") };
        let texts = [entry.asked.host, entry.asked.path.unwrap_or_default(), refusal.to_string()];
        assert!(texts.iter().all(|t| t.bytes().all(|b| b == b' ' || b.is_ascii_graphic())), "{texts:?}");
    }
}
