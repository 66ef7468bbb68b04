//! Tunnels: passed through after a look at the hello, or ended here.

use std::sync::Arc;

use serde_json::json;
use stead_core::code;
use stead_egress::Event;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

use crate::{
    clients::curl,
    server::{Server, TestCa, ok},
    world::{World, refused},
};

/// A tunnel that the proxy has opened.
pub(crate) async fn tunnel(world: &World, at: &str) -> TcpStream {
    let mut stream = TcpStream::connect(world.proxy).await.unwrap();
    stream.write_all(format!("CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = [0; 19];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK\r\n\r\n");
    stream
}

/// A TLS client that trusts one authority.
pub(crate) fn client(pem: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn a_passed_tunnel_is_the_hosts_own_tls() {
    let world = World::new().await;
    let server = Server::https(&world.ca, "api.test", |_| ok("hello")).await;
    world.host("api.test");
    world.rules(json!([{ "host": "api.test", "ports": [server.port], "addresses": ["127.0.0.0/8"] }]));
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("ca.pem");
    std::fs::write(&roots, &world.ca.pem).unwrap();
    let url = format!("https://api.test:{}/x", server.port);
    assert_eq!(curl(&world, &["--cacert", roots.to_str().unwrap(), &url]).await, "hello");
    let entries = world.record.entries();
    assert!(matches!(&entries[0].event, Event::Allowed { rule, .. } if rule == "1: api.test"), "{entries:?}");
    assert_eq!((entries[0].asked.method.as_str(), &entries[0].asked.path), ("CONNECT", &None));
}

/// Case 37: the name in the hello is the tunnel's, or nothing goes through.
#[tokio::test]
async fn a_tunnel_for_one_host_does_not_reach_another() {
    let world = World::new().await;
    let server = Server::https(&world.ca, "evil.test", |_| ok("reached")).await;
    world.host("api.test");
    let rule = json!({ "host": "api.test", "ports": [server.port], "addresses": ["127.0.0.0/8"] });
    let mut seen = rule.clone();
    seen["methods"] = json!(["GET"]);
    for rule in [rule, seen] {
        world.rules(json!([rule]));
        let at = format!("api.test:{}", server.port);
        let name = ServerName::try_from("evil.test").unwrap();
        let error = client(&world.ca.pem).connect(name, tunnel(&world, &at).await).await.unwrap_err();
        assert!(error.to_string().contains("UnrecognisedName"), "{error}");
        // An address is never named.
        let name = ServerName::try_from("127.0.0.1").unwrap();
        assert!(client(&world.ca.pem).connect(name, tunnel(&world, &at).await).await.is_err());
        // No TLS at all.
        let mut plain = tunnel(&world, &at).await;
        plain.write_all(b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n").await.unwrap();
        let mut got = Vec::new();
        let _ = plain.read_to_end(&mut got).await;
        assert!(!String::from_utf8_lossy(&got).contains("reached"));
    }
    assert_eq!(world.record.denied(), [code::EGRESS_SNI; 6]);
    assert!(server.arrived().is_empty());
}

#[tokio::test]
async fn an_opaque_tunnel_holds_what_it_likes() {
    let world = World::new().await;
    let server = Server::http(|_| ok("no TLS here")).await;
    world.host("db.test");
    world.rules(json!([{ "host": "db.test", "ports": [server.port], "addresses": ["127.0.0.0/8"], "opaque": true }]));
    let mut stream = tunnel(&world, &format!("db.test:{}", server.port)).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut got = String::new();
    stream.read_to_string(&mut got).await.unwrap();
    assert!(got.ends_with("no TLS here"), "one side ends, the other still answers: {got}");
}

#[tokio::test]
async fn requests_in_an_intercepted_tunnel_are_decided_each() {
    let world = World::new().await;
    let server = Server::https(&world.ca, "api.test", |_| ok("reached")).await;
    world.host("api.test");
    world.rules(
        json!([{ "host": "api.test", "ports": [server.port], "addresses": ["127.0.0.0/8"], "paths": ["/v1/**"] }]),
    );
    let at = format!("api.test:{}", server.port);
    let name = ServerName::try_from("api.test").unwrap();
    let connector = client(world.session.authority_pem());
    let mut stream = connector.connect(name, tunnel(&world, &at).await).await.unwrap();
    let asks = [
        format!("GET /v1/x HTTP/1.1\r\nHost: {at}\r\n\r\n"),
        format!("GET /v2/x HTTP/1.1\r\nHost: {at}\r\n\r\n"),
        "GET /v1/x HTTP/1.1\r\nHost: evil.test\r\n\r\n".to_owned(),
        format!("GET https://evil.test/v1/x HTTP/1.1\r\nHost: {at}\r\n\r\n"),
        format!("CONNECT evil.test:443 HTTP/1.1\r\nHost: {at}\r\n\r\n"),
        format!("GET /v1/y HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n"),
    ];
    stream.write_all(asks.concat().as_bytes()).await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    let statuses: Vec<_> = answers.match_indices("HTTP/1.1 ").map(|(at, _)| &answers[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "403", "403", "400", "400", "200"], "{answers}");
    assert_eq!(server.arrived().len(), 2);
    let other = client(&TestCa::new().pem);
    let name = ServerName::try_from("api.test").unwrap();
    assert!(
        other.connect(name, tunnel(&world, &at).await).await.is_err(),
        "another session's authority signs nothing here"
    );
}

#[tokio::test]
async fn a_host_that_is_not_who_it_says_gets_no_request() {
    let world = World::new().await;
    let (wrong, unknown) = (
        Server::https(&world.ca, "other.test", |_| ok("x")).await,
        Server::https(&TestCa::new(), "api.test", |_| ok("x")).await,
    );
    world.host("api.test");
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, world.session.authority_pem()).unwrap();
    for server in [&wrong, &unknown] {
        world.rules(
            json!([{ "host": "api.test", "ports": [server.port], "addresses": ["127.0.0.0/8"], "tls": "intercept" }]),
        );
        let url = format!("https://api.test:{}/", server.port);
        let said = curl(&world, &["--cacert", authority.to_str().unwrap(), &url]).await;
        assert!(said.contains("ST0258"), "{said}");
        assert!(server.arrived().is_empty());
    }
}

#[tokio::test]
async fn a_tunnel_to_what_is_not_listed_is_refused_before_it_opens() {
    let world = World::new().await;
    world.rules(json!(["api.test"]));
    for at in ["api.test:444", "evil.test:443", "api.test.evil.test:443"] {
        refused(&world.raw(format!("CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n\r\n")).await, code::EGRESS_DENIED);
    }
}
