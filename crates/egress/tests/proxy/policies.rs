//! Policies are asked about what the rules allow: each request and each tunnel, at the moment when it is made.

use std::sync::{Arc, Mutex};

use serde_json::json;
use stead_core::code;
use stead_egress::Event;
use stead_ports::{
    BoxFuture,
    connect::{Asks, Barred, Connects, Ruled, To},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    server::{Server, ok},
    world::{World, body, refused},
};

/// Forbids what it is told, and notes what it is asked.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<(u64, Vec<&'static str>, Vec<String>)>>);

impl Book {
    fn forbid(&self, words: &[&'static str]) {
        let mut book = self.0.lock().unwrap();
        book.0 += 1;
        book.1 = words.to_vec();
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = self.0.lock().unwrap().2.clone();
        asked.dedup();
        asked
    }
}

impl Asks for Book {
    fn may<'a>(&'a self, to: To<'a>) -> BoxFuture<'a, Result<Ruled, Barred>> {
        let said = format!("{} {}{}", to.method, to.host, to.path);
        let mut book = self.0.lock().unwrap();
        book.2.push(said.clone());
        let ruled = |by: &str| Ruled { epoch: book.0, by: vec![by.into()] };
        let answer = match book.1.iter().find(|word| said.contains(**word)) {
            Some(word) => Err(Barred { ruled: ruled(word), why: "Not done: it is closed".to_owned() }),
            None => Ok(ruled("granted")),
        };
        Box::pin(async move { answer })
    }

    fn lasting(&self) -> Arc<dyn Asks> {
        Arc::new(self.clone())
    }
}

#[tokio::test]
async fn each_request_is_asked_about_at_its_moment_and_what_is_forbidden_reaches_nobody() {
    let book = Book::default();
    let world = World::asking(Connects::asking(Arc::new(book.clone()))).await;
    let server = Server::http(|_| ok("yes")).await;
    world.host("api.test");
    world.rules(json!([{ "host": "api.test", "scheme": "http", "ports": [server.port], "addresses": ["127.0.0.0/8"],
        "paths": ["/a/**"] }]));
    let url = |path: &str| format!("http://api.test:{}{path}", server.port);
    book.forbid(&["/a/closed", "DELETE"]);
    assert_eq!(body(&world.get(&url("/a/b/../open?q=1")).await), "yes");
    refused(&world.get(&url("/a/%63losed")).await, code::POLICY);
    refused(&world.send("DELETE", &url("/a/open"), "", "").await, code::POLICY);
    // What the rules do not allow is not asked about.
    refused(&world.get(&url("/b")).await, code::EGRESS_DENIED);
    assert_eq!(book.asked(), ["GET api.test/a/open", "GET api.test/a/closed", "DELETE api.test/a/open"]);
    assert_eq!(server.one().head.lines().next(), Some("GET /a/open?q=1 HTTP/1.1"), "one request arrived");
    let entries = world.record.entries();
    let of = |event: &Event| match event {
        Event::Allowed { policies, .. } | Event::Denied { policies, .. } => policies.clone(),
        Event::Ended { .. } => None,
    };
    let told: Vec<_> = entries.iter().filter_map(|e| of(&e.event)).map(|p| (p.epoch, p.by[0].to_string())).collect();
    let told: Vec<(u64, &str)> = told.iter().map(|(epoch, by)| (*epoch, by.as_str())).collect();
    assert_eq!(told, [(1, "granted"), (1, "/a/closed"), (1, "DELETE")]);
}

#[tokio::test]
async fn a_connection_that_is_open_hears_of_another_epoch_with_its_next_request() {
    let book = Book::default();
    let world = World::asking(Connects::asking(Arc::new(book.clone()))).await;
    let server = Server::http(|_| ok("yes")).await;
    world.host("api.test");
    world
        .rules(json!([{ "host": "api.test", "scheme": "http", "ports": [server.port], "addresses": ["127.0.0.0/8"] }]));
    let mut stream = TcpStream::connect(world.proxy).await.unwrap();
    let request = format!("GET http://api.test:{}/x HTTP/1.1\r\nHost: api.test:{}\r\n\r\n", server.port, server.port);
    let mut answer = async || {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        while !text.contains("yes") && !text.contains("closed") {
            let mut piece = [0; 4_096];
            let n = stream.read(&mut piece).await.unwrap();
            assert!(n > 0, "{text}");
            text.push_str(std::str::from_utf8(&piece[..n]).unwrap());
        }
        text
    };
    assert!(answer().await.starts_with("HTTP/1.1 200"));
    book.forbid(&["/x"]);
    let denied = answer().await;
    assert!(denied.starts_with("HTTP/1.1 403") && denied.contains("ST0057"), "{denied}");
    book.forbid(&[]);
    assert!(answer().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_tunnel_that_is_not_looked_into_is_asked_about_as_one() {
    let book = Book::default();
    let world = World::asking(Connects::asking(Arc::new(book.clone()))).await;
    world.host("api.test");
    world.rules(json!([{ "host": "api.test", "ports": [443], "opaque": true, "addresses": ["127.0.0.0/8"] }]));
    book.forbid(&["CONNECT api.test"]);
    let mut stream = TcpStream::connect(world.proxy).await.unwrap();
    stream.write_all(b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 403") && text.contains("ST0057"), "{text}");
    assert_eq!((book.asked(), world.record.denied()), (vec!["CONNECT api.test".to_owned()], vec![code::POLICY]));
}
