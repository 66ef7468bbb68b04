//! `stead demo-service`: the contract that `examples/refund-desk/README.md` writes down.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use insta::assert_snapshot;

use crate::common::{Serving, TestEnvironment};

/// Sends a request and gives status and body.
fn ask(service: &Serving, head: &str, body: &str) -> (u16, serde_json::Value) {
    let mut stream = TcpStream::connect(service.banner.strip_prefix("http://").unwrap()).unwrap();
    let length = body.len();
    write!(
        stream,
        "{head}\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    (status, serde_json::from_str(body).unwrap_or_default())
}

const REFUND: &str = r#"{"order_id":"7","amount_cents":100,"currency":"USD"}"#;

#[test]
fn a_key_makes_one_refund_also_after_the_service_was_killed() {
    let env = TestEnvironment::new();
    let start = || Serving::with_url(env.command(["demo-service", "payments", "--data", "d"]));
    let post = "POST /refunds HTTP/1.1\r\nIdempotency-Key: k";
    let first = start();
    let (status, made) = ask(&first, post, REFUND);
    assert_eq!((status, made["order_id"].as_str()), (201, Some("7")));
    assert_eq!(ask(&first, post, REFUND), (200, made.clone()));
    drop(first);

    let second = start();
    assert_eq!(ask(&second, post, REFUND), (200, made.clone()));
    assert_eq!(ask(&second, post, &REFUND.replace("100", "101")).0, 422);
    assert_eq!(ask(&second, "POST /refunds HTTP/1.1", REFUND).0, 400);
    assert_eq!(ask(&second, "GET /refunds/by-order/7 HTTP/1.1", ""), (200, made));
    assert_eq!(ask(&second, "GET /refunds/by-order/8 HTTP/1.1", "").0, 404);
    let (_, stats) = ask(&second, "GET /stats HTTP/1.1", "");
    assert_eq!(stats, serde_json::json!({ "requests": 5, "refunds": 1 }));
}

#[test]
fn every_message_counts() {
    let env = TestEnvironment::new();
    let mail = Serving::with_url(env.command(["demo-service", "mail", "--data", "d"]));
    for n in 1..=2 {
        let (status, sent) = ask(&mail, "POST /messages HTTP/1.1", r#"{"to":"a","subject":"b","text":"c"}"#);
        assert_eq!((status, sent["id"].as_str()), (202, Some(format!("msg_{n}").as_str())));
    }
    let (_, stats) = ask(&mail, "GET /stats HTTP/1.1", "");
    assert_eq!(stats, serde_json::json!({ "requests": 2, "messages": 2 }));
}

#[test]
fn wrong_arguments_are_told() {
    let env = TestEnvironment::new();
    assert_snapshot!(env.stead("demo-service shop"), @"
    exit 2
    --- stderr
    error: invalid value 'shop' for '<SERVICE>'
      [possible values: payments, mail]

    For more information, try '--help'.
    ");
}
