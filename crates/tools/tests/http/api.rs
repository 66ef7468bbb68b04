//! Operations of an API description against a loopback server: what is sent, and where the credential goes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use stead_core::{
    code,
    effect::{EffectClass, Outcome, Reconciled},
};
use stead_ports::tool::Output;
use stead_tools::{
    config::{ApiBody, ApiConfig, ApiOperation, ApiParameter, Fields, HttpMethod, ParameterPlace, Placement, Style},
    http::{self, Auth},
    offer::Offered,
    reach::Reach,
    secret::Secret,
};
use tokio::net::TcpListener;

use crate::common::{arguments, call, invocation};

/// Method, path with query, headers, body.
type Asked = (Method, String, HeaderMap, String);

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Asked>>>);

impl Seen {
    fn last(&self) -> Asked {
        self.0.lock().unwrap().last().cloned().unwrap()
    }
}

async fn answer(State(seen): State<Seen>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let echo = format!("{uri} {headers:?}");
    let path = uri.path().to_owned();
    seen.0.lock().unwrap().push((method, uri.to_string(), headers, String::from_utf8(body.to_vec()).unwrap()));
    match path.as_str() {
        "/v1/none" => StatusCode::NOT_FOUND.into_response(),
        "/v1/echo" => echo.into_response(),
        _ => ([(header::CONTENT_TYPE, "application/json")], "{\"ok\":true}").into_response(),
    }
}

async fn service() -> (String, Seen) {
    let seen = Seen::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/", listener.local_addr().unwrap());
    let app = Router::new().fallback(answer).with_state(seen.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, seen)
}

fn at(place: ParameterPlace, name: &str, style: Style, explode: bool) -> ApiParameter {
    ApiParameter { argument: name.to_lowercase(), name: name.into(), place, style, explode }
}

fn operation(base_url: &str, method: HttpMethod, path: &str) -> ApiOperation {
    ApiOperation {
        base_url: base_url.into(),
        method,
        path: path.into(),
        description: String::new(),
        schema: json!({"type": "object"}),
        parameters: Vec::new(),
        body: None,
        accept: Vec::new(),
        credential: None,
        reconcile: None,
    }
}

fn offer(operations: Vec<(&str, ApiOperation)>, auth: Option<&str>) -> Vec<Offered> {
    let operations: BTreeMap<_, _> = operations.into_iter().map(|(name, op)| (name.to_owned(), op)).collect();
    let config = ApiConfig { operations, timeout: Duration::from_secs(20) };
    http::offer_api("shop", &config, auth.map(|a| Auth::Secret(Secret::new(a))), &Reach::default()).unwrap()
}

#[tokio::test]
async fn every_argument_goes_to_its_place() {
    let (url, seen) = service().await;
    let mut op = operation(&url, HttpMethod::Post, "/orders/{Id}/x{Tags}");
    op.parameters = vec![
        at(ParameterPlace::Path, "Id", Style::Simple, false),
        at(ParameterPlace::Path, "Tags", Style::Matrix, true),
        at(ParameterPlace::Query, "Sort", Style::Form, false),
        at(ParameterPlace::Query, "Filter", Style::DeepObject, true),
        at(ParameterPlace::Header, "X-Trace", Style::Simple, false),
        at(ParameterPlace::Cookie, "Theme", Style::Form, true),
        at(ParameterPlace::Cookie, "Gone", Style::Form, true),
    ];
    op.body = Some(ApiBody {
        media: "application/merge-patch+json".into(),
        json: true,
        fields: Fields::Members(vec![("note".into(), "note text".into()), ("left".into(), "left".into())]),
    });
    op.accept = vec!["application/json".into(), "text/csv".into()];
    let offered = offer(vec![("go", op)], None).remove(0);
    assert_eq!((offered.def.name.as_str(), offered.default_class), ("shop_go", EffectClass::Irreversible));
    let outcome = call(
        &offered,
        json!({"id": "../a b", "tags": ["x", "y"], "sort": ["a", "b,c"], "filter": {"from": 1}, "x-trace": 7,
            "theme": "d;k", "gone": null, "note": {"deep": [1]}}),
    )
    .await;
    assert_eq!(outcome, Outcome::Returned(Output::ok("{\"ok\":true}")));
    let (method, uri, headers, body) = seen.last();
    assert_eq!(method, Method::POST);
    assert_eq!(uri, "/v1/orders/..%2Fa%20b/x;Tags=x;Tags=y?Sort=a,b%2Cc&Filter%5Bfrom%5D=1");
    assert_eq!((&headers["x-trace"], &headers["cookie"]), (&"7".parse().unwrap(), &"Theme=d%3Bk".parse().unwrap()));
    assert_eq!(headers["content-type"], "application/merge-patch+json");
    assert_eq!(headers["accept"], "application/json, text/csv");
    assert_eq!(headers["idempotency-key"], invocation(&offered, arguments(json!({})), 1).key.as_str());
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), json!({"note text": {"deep": [1]}}));
    let before = seen.0.lock().unwrap().len();
    for bad in [
        json!({"tags": ["x"]}),
        json!({"id": "", "tags": ["x"]}),
        json!({"id": ["a", ["b"]], "tags": ["x"]}),
        json!({"id": "1", "tags": ["x"], "x-trace": "a\r\nHost: evil"}),
    ] {
        assert!(matches!(call(&offered, bad.clone()).await, Outcome::Refused(_)), "{bad}");
    }
    assert_eq!(seen.0.lock().unwrap().len(), before);
}

#[tokio::test]
async fn bodies_are_whole_values_or_forms() {
    let (url, seen) = service().await;
    let with = |json: bool, fields: Fields| {
        let mut op = operation(&url, HttpMethod::Put, "/x");
        let media = if json { "application/json" } else { "application/x-www-form-urlencoded" };
        op.body = Some(ApiBody { media: media.into(), json, fields });
        offer(vec![("go", op)], None).remove(0)
    };
    let whole = with(true, Fields::Whole("body".into()));
    for (given, sent) in [(json!({"body": [1, "a"]}), "[1,\"a\"]"), (json!({"body": null}), "null"), (json!({}), "")] {
        call(&whole, given).await;
        assert_eq!(seen.last().3, sent);
    }
    let members =
        [("a", "a"), ("tags", "t[]"), ("deep", "deep"), ("n", "n")].map(|(a, n)| (a.to_owned(), n.to_owned()));
    let form = with(false, Fields::Members(members.into()));
    call(&form, json!({"a": "x&y=z é", "tags": ["1", "2"], "deep": {"k": 1}, "n": null})).await;
    let (_, _, headers, body) = seen.last();
    assert_eq!(body, "a=x%26y%3Dz%20%C3%A9&t%5B%5D=1&t%5B%5D=2&deep=%7B%22k%22%3A1%7D");
    assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
}

#[tokio::test]
async fn the_credential_is_sent_where_it_belongs_and_never_shown() {
    let (url, seen) = service().await;
    let secret = "user:s3cret word";
    for (placement, name, want) in [
        (Placement::Bearer, "authorization", "Bearer user:s3cret word"),
        (Placement::Basic, "authorization", "Basic dXNlcjpzM2NyZXQgd29yZA=="),
        (Placement::Header("X-Key".into()), "x-key", secret),
        (Placement::Query("key".into()), "", "/v1/echo?q=1&key=user%3As3cret%20word"),
        (Placement::Cookie("sid".into()), "cookie", "t=2; sid=user%3As3cret%20word"),
    ] {
        let mut signed = operation(&url, HttpMethod::Get, "/echo");
        signed.parameters =
            vec![at(ParameterPlace::Query, "q", Style::Form, true), at(ParameterPlace::Cookie, "t", Style::Form, true)];
        let plain = signed.clone();
        signed.credential = Some(placement.clone());
        let offered = offer(vec![("plain", plain), ("signed", signed)], Some(secret));
        let outcome = call(&offered[1], json!({"q": 1, "t": 2})).await;
        let (_, uri, headers, _) = seen.last();
        let sent = if name.is_empty() { uri } else { headers[name].to_str().unwrap().to_owned() };
        assert_eq!(sent, want, "{placement:?}");
        let Outcome::Returned(out) = outcome else { panic!("{outcome:?}") };
        assert!(out.content.contains("[secret]"), "{placement:?}: {out:?}");
        assert!(!out.content.contains("s3cret") && !out.content.contains("dXNlcj"), "{placement:?}: {out:?}");
        call(&offered[0], json!({"q": 1, "t": 2})).await;
        let (_, uri, headers, _) = seen.last();
        let all = format!("{uri} {headers:?}");
        assert!(!all.contains("s3cret") && !headers.contains_key("authorization"), "{placement:?}: {all}");
    }
}

#[tokio::test]
async fn reconcile_asks_the_named_operation_of_the_document() {
    let (url, seen) = service().await;
    for (path, want) in [("/o/{Id}", Reconciled::Happened(Output::ok("{\"ok\":true}"))), ("/none", Reconciled::Absent)]
    {
        let mut find = operation(&url, HttpMethod::Get, path);
        if path.contains("Id") {
            find.parameters = vec![at(ParameterPlace::Path, "Id", Style::Simple, false)];
        }
        let mut pay = operation(&url, HttpMethod::Post, "/pay");
        pay.reconcile = Some("find".into());
        let offered = offer(vec![("find", find), ("pay", pay)], None);
        assert_eq!((offered[0].default_class, offered[1].reconciles), (EffectClass::Pure, true));
        let given = invocation(&offered[1], arguments(json!({"id": 42, "amount": 1})), 1000);
        assert_eq!(offered[1].tool.reconcile(given).await, want);
    }
    assert_eq!(seen.0.lock().unwrap()[0].1, "/v1/o/42");
}

#[test]
fn what_cannot_be_called_is_refused_when_it_is_read() {
    let refused = |op: ApiOperation, auth: Option<&str>| {
        let operations = BTreeMap::from([("go".to_owned(), op)]);
        let config = ApiConfig { operations, timeout: Duration::from_secs(1) };
        http::offer_api("shop", &config, auth.map(|a| Auth::Secret(Secret::new(a))), &Reach::default()).unwrap_err()
    };
    let get = |base: &str, path: &str| operation(base, HttpMethod::Get, path);
    assert!(refused(get("http://h", "/{id}"), None).detail.contains("not a parameter"));
    assert!(refused(get("http://h", "/../x"), None).detail.contains("not allowed"));
    assert_eq!(refused(get("http://169.254.169.254/latest", "/"), None).code, code::TOOL_ADDRESS);
    assert_eq!(refused(get("http://[::ffff:a9fe:a9fe]/", "/"), None).code, code::TOOL_ADDRESS);
    let mut host = get("http://h", "/");
    host.parameters = vec![at(ParameterPlace::Header, "Host", Style::Simple, false)];
    assert!(refused(host, None).detail.contains("cannot be set"));
    let mut key = get("http://h", "/");
    key.credential = Some(Placement::Header("Host".into()));
    assert!(refused(key, Some("s3cret")).detail.contains("cannot hold the credential"));
    let mut basic = get("http://h", "/");
    basic.credential = Some(Placement::Basic);
    let error = refused(basic, Some("s3cret"));
    assert!(error.detail.contains("user:password") && !error.detail.contains("s3cret"), "{error}");
}
