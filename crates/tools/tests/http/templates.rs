//! The HTTP tool against loopback servers, honest ones and faulty ones.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use stead_core::{
    effect::{EffectClass, Outcome, Reconciled},
    fact::Precondition,
};
use stead_ports::tool::Output;
use stead_tools::{config::HttpConfig, http, offer::Offered, reach::Reach, schema, secret::Secret};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::common::{arguments, call, config, invocation};

/// What the server was asked.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Vec<Asked>>>);

/// Method, path with query, headers, JSON body.
type Asked = (Method, String, HeaderMap, Value);

impl Seen {
    fn last(&self) -> Asked {
        self.0.lock().unwrap().last().cloned().unwrap()
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

async fn answer(State(seen): State<Seen>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    seen.0.lock().unwrap().push((method, uri.to_string(), headers.clone(), json));
    let status = |n: u16| StatusCode::from_u16(n).unwrap();
    match uri.path().trim_start_matches('/').split('/').collect::<Vec<_>>().as_slice() {
        ["status", code] => (status(code.parse().unwrap()), [(header::RETRY_AFTER, "7")], "because").into_response(),
        ["redirect", code] => {
            (status(code.parse().unwrap()), [(header::LOCATION, "http://evil.example/")]).into_response()
        }
        ["huge"] => Body::from_stream(futures_util::stream::iter(std::iter::repeat_with(|| {
            Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 64 * 1024]))
        })))
        .into_response(),
        ["echo"] => headers.get(header::AUTHORIZATION).unwrap().to_str().unwrap().to_owned().into_response(),
        ["binary"] => vec![0xff_u8, b'a', 0xfe].into_response(),
        ["latin"] => ([(header::CONTENT_TYPE, "text/plain; charset=ISO-8859-1")], b"caf\xe9".to_vec()).into_response(),
        ["broken"] => ([(header::CONTENT_TYPE, "application/problem+json")], b"\xffa".to_vec()).into_response(),
        ["empty"] => "[]".into_response(),
        ["tagged", tag] => {
            let tag = tag.replace('~', "\"");
            ([(header::ETAG, tag)], r#"{"status":"open"}"#).into_response()
        }
        ["held", tag] => {
            let wanted = headers.get(header::IF_MATCH).and_then(|v| v.to_str().ok());
            let same = wanted == Some(&format!("\"{tag}\""));
            (status(if same { 200 } else { 412 }), "because").into_response()
        }
        _ => r#"{"ok":true}"#.into_response(),
    }
}

async fn service() -> (String, Seen) {
    let seen = Seen::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(answer).with_state(seen.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, seen)
}

/// A server that reads one request, does something to the connection, and tells how often it was called.
async fn faulty<F>(then: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            tokio::spawn(then(stream));
        }
    });
    url
}

fn tool(base_url: &str, operations: Value) -> Vec<Offered> {
    let value = json!({"base_url": base_url, "operations": operations, "timeout": "20s"});
    http::offer("payments", &config::<HttpConfig>(value), None, &Reach::default()).unwrap()
}

/// One operation without arguments.
fn plain(base_url: &str, method: &str, path: &str) -> Offered {
    tool(base_url, json!({"go": {"method": method, "path": path}})).remove(0)
}

fn text(outcome: &Outcome<Output>) -> &str {
    match outcome {
        Outcome::NotSent(o) | Outcome::Returned(o) | Outcome::Refused(o) | Outcome::Unknown(o) => &o.content,
    }
}

#[tokio::test]
async fn templates_make_the_request_and_the_key_goes_with_it() {
    let (url, seen) = service().await;
    let offered = tool(
        &format!("{url}/v1/"),
        json!({
            "find": {"method": "GET", "path": "/refunds", "params": {"order_id": {"type": "integer"}},
                "query": {"order": "{{args.order_id}}", "by": "a&b"}},
            "refund": {"method": "POST", "path": "/orders/{{args.order_id}}/refunds", "description": "Pays back.",
                "params": {"order_id": {"type": "integer"}, "amount": {"type": "number"}, "note": {"type": "string"}},
                "optional": ["note"], "reconcile": "find",
                "body": {"amount": "{{args.amount}}", "note": "{{args.note}}", "ref": "{{key}}"}}
        }),
    );
    let [find, refund] = offered.as_slice() else { panic!("two operations") };
    assert_eq!((find.default_class, refund.default_class), (EffectClass::Pure, EffectClass::Irreversible));
    assert_eq!((refund.def.name.as_str(), refund.def.description.as_str()), ("payments_refund", "Pays back."));
    let check = schema::compile(&refund.def.schema).unwrap();
    assert!(check(r#"{"order_id": 1, "amount": 2.5}"#).is_ok() && check(r#"{"order_id": 1}"#).is_err());

    let outcome = call(refund, json!({"order_id": 1042, "amount": 9.5})).await;
    assert_eq!(outcome, Outcome::Returned(Output::ok(r#"{"ok":true}"#)));
    let (method, uri, headers, body) = seen.last();
    let key = invocation(refund, arguments(json!({})), 1).key;
    assert_eq!((method, uri.as_str()), (Method::POST, "/v1/orders/1042/refunds"));
    assert_eq!(body, json!({"amount": 9.5, "ref": key.as_str()}));
    assert_eq!(headers["idempotency-key"], key.as_str());
    assert_eq!(headers[header::CONTENT_TYPE], "application/json");

    call(find, json!({"order_id": 7})).await;
    let (method, uri, headers, _) = seen.last();
    assert_eq!((method, uri.as_str()), (Method::GET, "/v1/refunds?by=a%26b&order=7"));
    assert!(!headers.contains_key("idempotency-key"));
}

#[tokio::test]
async fn the_step_of_a_trace_goes_with_a_request_when_it_is_to() {
    let (url, seen) = service().await;
    let offered = tool(&url, json!({"find": {"method": "GET", "path": "/refunds"}}));
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let trace = stead_core::trace::TraceContext::parse(parent, Some("shop=1"));
    let asked = invocation(&offered[0], arguments(json!({})), 1_000);
    offered[0].tool.call(stead_ports::tool::Invocation { trace, ..asked.clone() }).await;
    let (_, _, headers, _) = seen.last();
    assert_eq!((headers["traceparent"].to_str().unwrap(), headers["tracestate"].to_str().unwrap()), (parent, "shop=1"));
    offered[0].tool.call(asked).await;
    let (_, _, headers, _) = seen.last();
    assert!(!headers.contains_key("traceparent") && !headers.contains_key("tracestate"));
}

#[tokio::test]
async fn without_a_body_template_the_other_arguments_are_sent() {
    let (url, seen) = service().await;
    let offered = tool(
        &url,
        json!({"put": {"method": "PUT", "path": "/x/{{args.id}}", "headers": {"Idempotency-Key": "mine-{{key}}"},
            "params": {"id": {}, "a": {}, "b": {}}, "optional": ["b"]}}),
    );
    call(&offered[0], json!({"id": "1", "a": {"deep": [1]}})).await;
    let (_, uri, headers, body) = seen.last();
    assert_eq!((uri.as_str(), body), ("/x/1", json!({"a": {"deep": [1]}})));
    assert!(headers["idempotency-key"].to_str().unwrap().starts_with("mine-run_"));
}

#[tokio::test]
async fn a_business_key_of_any_text_becomes_one_header() {
    let (url, seen) = service().await;
    let refund = plain(&url, "POST", "/x");
    let mut given = invocation(&refund, arguments(json!({})), 1000);
    given.key = "order\r\nHost: é".into();
    assert!(matches!(refund.tool.call(given).await, Outcome::Returned(_)));
    assert_eq!(seen.last().2["idempotency-key"], "order%0D%0AHost%3A%20%C3%A9");
}

#[tokio::test]
async fn hostile_arguments_never_reach_another_path_host_or_header() {
    let (url, seen) = service().await;
    let offered = tool(
        &format!("{url}/safe"),
        json!({"go": {"method": "DELETE", "path": "/items/{{args.id}}", "params": {"id": {}, "tag": {}},
            "optional": ["tag"], "query": {"tag": "{{args.tag}}"}, "headers": {"X-Tag": "{{args.tag}}"}}}),
    );
    for id in ["..", ".", "", "../..", "%2e%2e", "//evil.example", "@evil", "a?b", "a#b", "\\..", "a\r\nb", "..;/x"] {
        let outcome = call(&offered[0], json!({"id": id})).await;
        if matches!(outcome, Outcome::Returned(_)) {
            let uri = seen.last().1;
            let last = uri.strip_prefix("/safe/items/").unwrap_or_else(|| panic!("{id}: {uri}"));
            assert!(!last.contains(['/', '?', '#', '\\']), "{id}: {uri}");
        }
    }
    let before = seen.count();
    for tag in ["x\r\nX-Admin: 1", "x\ny", "\0"] {
        let outcome = call(&offered[0], json!({"id": "1", "tag": tag})).await;
        assert!(matches!(&outcome, Outcome::Refused(o) if o.content.contains("header")), "{outcome:?}");
    }
    assert!(matches!(call(&offered[0], json!({"id": {"a": 1}})).await, Outcome::Refused(_)));
    assert_eq!(seen.count(), before);
    call(&offered[0], json!({"id": "1", "tag": "a&admin=1"})).await;
    assert_eq!(seen.last().1, "/safe/items/1?tag=a%26admin%3D1");
}

#[tokio::test]
async fn each_status_means_what_it_says_and_no_more() {
    let (url, seen) = service().await;
    for (method, path, want) in [
        ("POST", "/status/200", "returned"),
        ("POST", "/status/204", "returned"),
        ("POST", "/status/400", "refused"),
        ("POST", "/status/404", "refused"),
        ("POST", "/status/409", "refused"),
        ("POST", "/status/422", "refused"),
        ("POST", "/status/408", "unknown"),
        ("POST", "/status/425", "not sent"),
        ("POST", "/status/429", "not sent"),
        ("POST", "/status/500", "unknown"),
        ("POST", "/status/502", "unknown"),
        ("POST", "/status/503", "unknown"),
        ("GET", "/redirect/302", "refused"),
        ("POST", "/redirect/303", "unknown"),
        ("POST", "/redirect/308", "refused"),
    ] {
        let before = seen.count();
        let outcome = call(&plain(&url, method, path), json!({})).await;
        let (got, error) = match &outcome {
            Outcome::NotSent(o) => ("not sent", o.error),
            Outcome::Returned(o) => ("returned", o.error),
            Outcome::Refused(o) => ("refused", o.error),
            Outcome::Unknown(o) => ("unknown", o.error),
        };
        assert_eq!((got, error), (want, want != "returned"), "{method} {path}: {outcome:?}");
        // Neither repeated nor followed.
        assert_eq!(seen.count(), before + 1, "{method} {path}");
        if path.starts_with("/redirect") {
            assert!(text(&outcome).contains("redirects to http://evil.example/, which is not followed"), "{outcome:?}");
        }
        if want == "not sent" {
            assert!(text(&outcome).contains("(retry after 7): because"), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn no_connection_means_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (plain_text, seen) = service().await;
    // A TLS handshake with a server that speaks none never sends the request.
    for url in [closed, "http://does-not-exist.invalid".into(), plain_text.replace("http://", "https://")] {
        let outcome = call(&plain(&url, "POST", "/x"), json!({})).await;
        assert!(
            matches!(&outcome, Outcome::NotSent(o) if o.content.contains("cannot be reached")),
            "{url}: {outcome:?}"
        );
    }
    assert_eq!(seen.count(), 0);
}

#[tokio::test]
async fn a_connection_cut_after_the_request_means_unknown() {
    let cut = faulty(|stream| async move { drop(stream) }).await;
    let cut_body = faulty(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"half\":").await;
    })
    .await;
    let garbage = faulty(|mut stream| async move {
        let _ = stream.write_all(b"\x00\x01\x02 nonsense\r\n\r\n").await;
    })
    .await;
    for url in [cut, cut_body, garbage] {
        let outcome = call(&plain(&url, "POST", "/x"), json!({})).await;
        assert!(matches!(&outcome, Outcome::Unknown(o) if o.content.starts_with("ST0043")), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_server_that_never_answers_means_unknown() {
    let silent = faulty(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let half = faulty(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n").await;
        std::future::pending::<()>().await;
    })
    .await;
    for url in [silent, half] {
        let value = json!({"base_url": url, "timeout": "200ms", "operations": {"go": {"method": "POST", "path": "/"}}});
        let offered = http::offer("payments", &config::<HttpConfig>(value), None, &Reach::default()).unwrap();
        let outcome = call(&offered[0], json!({})).await;
        assert!(matches!(outcome, Outcome::Unknown(_)), "{outcome:?}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_at_the_cap() {
    let (url, _) = service().await;
    let huge = plain(&url, "POST", "/huge");
    let outcome = huge.tool.call(invocation(&huge, arguments(json!({})), 100_000)).await;
    let Outcome::Returned(out) = outcome else { panic!("{outcome:?}") };
    assert!(out.content.len() <= 100_000 && out.content.contains("[ST0052: cut here"));
    let binary = call(&plain(&url, "GET", "/binary"), json!({})).await;
    assert_eq!(text(&binary), "[application/octet-stream, 3 bytes that are not text, kept as the file e7.bin]");
    let Outcome::Returned(out) = binary else { panic!("{binary:?}") };
    let [file] = out.files.as_slice() else { panic!("{:?}", out.files) };
    assert_eq!((file.name.as_str(), file.content.len()), ("e7.bin", 3));
    let latin = call(&plain(&url, "GET", "/latin"), json!({})).await;
    assert_eq!(text(&latin), "caf\u{e9}");
    let broken = call(&plain(&url, "GET", "/broken"), json!({})).await;
    assert_eq!(text(&broken), "\u{fffd}a");
}

#[tokio::test]
async fn a_bearer_token_is_sent_and_never_shown() {
    let (url, seen) = service().await;
    let value = json!({"base_url": url, "operations": {"go": {"method": "GET", "path": "/echo"}}});
    let offered = http::offer(
        "payments",
        &config::<HttpConfig>(value),
        Some(http::Auth::Secret(Secret::new("s3cret-token\n"))),
        &Reach::default(),
    )
    .unwrap();
    let outcome = call(&offered[0], json!({})).await;
    assert_eq!(seen.last().2[header::AUTHORIZATION], "Bearer s3cret-token");
    assert_eq!(text(&outcome), "Bearer [secret]");
    // A cut in the middle of the token leaves no part of it.
    let short = offered[0].tool.call(invocation(&offered[0], arguments(json!({})), 12)).await;
    assert!(!text(&short).contains("s3c"), "{short:?}");
}

#[tokio::test]
async fn reconcile_asks_the_named_operation() {
    let (url, seen) = service().await;
    for (path, want) in [
        ("/refunds/{{args.id}}", Reconciled::Happened(Output::ok(r#"{"ok":true}"#))),
        ("/status/404", Reconciled::Absent),
        ("/status/500", Reconciled::StillUnknown),
        ("/status/429", Reconciled::StillUnknown),
        ("/redirect/302", Reconciled::StillUnknown),
        ("/status/204", Reconciled::StillUnknown),
        ("/empty", Reconciled::StillUnknown),
    ] {
        let query = if path.contains("args") { json!({}) } else { json!({"id": "{{args.id}}"}) };
        let offered = tool(
            &url,
            json!({
                "find": {"method": "GET", "path": path, "params": {"id": {}}, "query": query, "headers": {"X-Key": "{{key}}"}},
                "refund": {"method": "POST", "path": "/refunds", "params": {"id": {}}, "reconcile": "find"}
            }),
        );
        let refund = &offered[1];
        assert!(refund.reconciles && !offered[0].reconciles);
        let given = invocation(refund, arguments(json!({"id": 42})), 1000);
        let key = given.key.clone();
        assert_eq!(refund.tool.reconcile(given).await, want, "{path}");
        let (method, _, headers, _) = seen.last();
        assert_eq!((method, headers["x-key"].to_str().unwrap()), (Method::GET, key.as_str()));
    }
    let gone = tool(
        "http://127.0.0.1:1",
        json!({
        "find": {"method": "GET", "path": "/x"}, "go": {"method": "POST", "path": "/x", "reconcile": "find"}}),
    );
    let given = invocation(&gone[1], arguments(json!({})), 1000);
    assert_eq!(gone[1].tool.reconcile(given).await, Reconciled::StillUnknown);
}

#[test]
fn a_wrong_configuration_is_refused_when_it_is_read() {
    let op = |more: Value| {
        let mut op = json!({"method": "POST", "path": "/x"});
        op.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"base_url": "http://h", "operations": {"go": op}})
    };
    for (value, why) in [
        (json!({"base_url": "ftp://h", "operations": {"go": {"method": "GET", "path": "/"}}}), "http"),
        (json!({"base_url": "http://u:p@h", "operations": {"go": {"method": "GET", "path": "/"}}}), "credentials"),
        (json!({"base_url": "http://h?x", "operations": {"go": {"method": "GET", "path": "/"}}}), "`?`"),
        (json!({"base_url": "http://h", "operations": {}}), "none"),
        (op(json!({"path": "/{{args.id}}"})), "not in `params`"),
        (op(json!({"path": "/{{args.id}}", "params": {"id": {}}, "optional": ["id"]})), "cannot be optional"),
        (op(json!({"method": "GET", "params": {"id": {}}})), "no template uses it"),
        (op(json!({"method": "GET", "body": {}})), "no `body`"),
        (op(json!({"headers": {"Host": "evil"}})), "cannot be set"),
        (op(json!({"headers": {"Authorization": "x"}})), "use `auth`"),
        (op(json!({"headers": {"X-A": "a\r\nb"}})), "one line"),
        (op(json!({"headers": {"a b": "x"}})), "not a header"),
        (op(json!({"query": {"a": "{{args}}"}})), "bodies only"),
        (op(json!({"reconcile": "gone"})), "not an operation"),
        (op(json!({"reconcile": "go"})), "not a GET"),
    ] {
        let error = http::offer("payments", &config(value.clone()), None, &Reach::default()).unwrap_err();
        assert!(error.detail.contains(why), "{value}: {error}");
    }
}

#[tokio::test]
async fn a_request_is_held_to_an_entity_tag_and_a_service_that_has_another_has_done_nothing() {
    let (url, seen) = service().await;
    let tag = async |path: &str| match call(&plain(&url, "GET", path), json!({})).await {
        Outcome::Returned(output) => output.etag,
        other => panic!("not returned: {other:?}"),
    };
    assert_eq!(tag("/tagged/~v7~").await.as_deref(), Some("\"v7\""));
    // A weak one says nothing that could be held to, and what is no tag is none.
    for path in ["/tagged/W~v7~", "/tagged/v7", "/tagged/~", "/other"] {
        assert_eq!(tag(path).await, None, "{path}");
    }
    let held = async |path: &str, precondition| {
        let act = plain(&url, "POST", path);
        let asked = invocation(&act, arguments(json!({})), 1 << 20);
        act.tool.call(stead_ports::tool::Invocation { precondition: Some(precondition), ..asked }).await
    };
    let v7 = || Precondition::Etag("\"v7\"".into());
    assert!(matches!(held("/held/v7", v7()).await, Outcome::Returned(_)));
    assert_eq!(seen.last().2.get(header::IF_MATCH).unwrap(), "\"v7\"");
    let refused = held("/held/v8", v7()).await;
    assert!(matches!(&refused, Outcome::Refused(o) if o.content.starts_with("ST0386: ")), "{refused:?}");
    // Other refusals are what they were, and an answer that tells nothing is unknown as ever.
    assert!(matches!(held("/status/409", v7()).await, Outcome::Refused(o) if !o.content.contains("ST0386")));
    assert!(matches!(held("/status/500", v7()).await, Outcome::Unknown(_)));
    // Who is not held to it reads 412 as any refusal.
    let plain_412 = call(&plain(&url, "POST", "/status/412"), json!({})).await;
    assert!(matches!(&plain_412, Outcome::Refused(o) if !o.content.contains("ST0386")), "{plain_412:?}");
    let before = seen.count();
    for precondition in [Precondition::Rows(1), Precondition::Etag("\"a\nb\"".into())] {
        assert!(matches!(held("/held/v7", precondition).await, Outcome::Refused(_)));
    }
    assert_eq!(seen.count(), before, "what cannot be held is not sent");
    let act = plain(&url, "POST", "/x");
    assert!(act.tool.holds(&v7()) && !act.tool.holds(&Precondition::Rows(1)));
    assert!(!plain(&url, "GET", "/x").tool.holds(&v7()));
}
