//! Tokens by client credentials, against a loopback server that is both the token endpoint and the service.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use serde_json::json;
use stead_core::effect::Outcome;
use stead_tools::{
    config::{ApiConfig, ApiOperation, HttpMethod, Placement},
    http::{self, Auth, ClientCredentials, SendAs},
    offer::Offered,
    reach::Reach,
    secret::Secret,
};
use tokio::net::TcpListener;

use stead_ports::tool::{Invocation, MaySend};

use crate::common::{arguments, call, invocation};

const SECRET: &str = "client-secret-0123456789";

/// What was asked, and how the token endpoint answers next.
#[derive(Default)]
struct World {
    tokens: Vec<(HeaderMap, String)>,
    calls: Vec<String>,
    grants: VecDeque<(u16, serde_json::Value)>,
    good: String,
    /// Whether the service takes no token at all.
    deaf: bool,
}

type Shared = Arc<Mutex<World>>;

async fn answer(State(world): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let mut world = world.lock().unwrap();
    if uri.path() == "/token" {
        world.tokens.push((headers, String::from_utf8(body.to_vec()).unwrap()));
        let n = world.tokens.len();
        let fresh = json!({"access_token": format!("token-number-{n}"), "token_type": "Bearer", "expires_in": 3600});
        let (status, grant) = world.grants.pop_front().unwrap_or((200, fresh));
        if let Some(token) = grant["access_token"].as_str() {
            world.good = token.to_owned();
        }
        return (StatusCode::from_u16(status).unwrap(), grant.to_string()).into_response();
    }
    let given = headers.get("authorization").and_then(|v| v.to_str().ok()).unwrap_or("nothing").to_owned();
    world.calls.push(given.clone());
    if world.deaf || given != format!("Bearer {}", world.good) {
        return (StatusCode::UNAUTHORIZED, format!("{given} is not good")).into_response();
    }
    format!("you sent {given} and know {SECRET}").into_response()
}

async fn world() -> (String, Shared) {
    let world = Shared::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(answer).with_state(world.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, world)
}

fn client(url: &str, send: SendAs) -> Auth {
    Auth::OAuth2(ClientCredentials {
        token_url: format!("{url}/token"),
        client_id: "refund desk".into(),
        client_secret: Secret::new(SECRET),
        scopes: vec!["refunds.write".into(), "refunds.read".into()],
        send,
    })
}

fn pay(url: &str, credential: Option<Placement>) -> ApiOperation {
    ApiOperation {
        base_url: url.into(),
        method: HttpMethod::Post,
        path: "/pay".into(),
        description: String::new(),
        schema: json!({"type": "object"}),
        parameters: Vec::new(),
        body: None,
        accept: Vec::new(),
        credential,
        reconcile: None,
    }
}

fn offer(url: &str, auth: Auth) -> Offered {
    let operations = BTreeMap::from([("pay".to_owned(), pay(url, Some(Placement::Bearer)))]);
    let config = ApiConfig { operations, timeout: Duration::from_secs(20) };
    http::offer_api("shop", &config, Some(auth), &Reach::default()).unwrap().remove(0)
}

fn told(outcome: Outcome<stead_ports::tool::Output>) -> (&'static str, String) {
    match outcome {
        Outcome::Returned(o) => ("returned", o.content),
        Outcome::Refused(o) => ("refused", o.content),
        Outcome::NotSent(o) => ("not sent", o.content),
        Outcome::Unknown(o) => ("unknown", o.content),
    }
}

#[tokio::test]
async fn a_token_is_fetched_once_and_neither_it_nor_the_secret_is_shown() {
    let (url, world) = world().await;
    let pay = offer(&url, client(&url, SendAs::Header));
    for _ in 0..3 {
        let (what, text) = told(call(&pay, json!({})).await);
        assert_eq!((what, text.as_str()), ("returned", "you sent Bearer [secret] and know [secret]"));
    }
    let world = world.lock().unwrap();
    assert_eq!((world.tokens.len(), world.calls.len()), (1, 3));
    let (headers, form) = &world.tokens[0];
    // RFC 6749, section 2.3.1: name and secret are encoded as a form's before they are joined.
    assert_eq!(headers["authorization"], "Basic cmVmdW5kJTIwZGVzazpjbGllbnQtc2VjcmV0LTAxMjM0NTY3ODk=");
    assert_eq!(form, "grant_type=client_credentials&scope=refunds.write%20refunds.read");
}

#[tokio::test]
async fn calls_at_once_share_the_token_that_one_of_them_fetches() {
    let (url, world) = world().await;
    let pay = offer(&url, client(&url, SendAs::Body));
    let calls = (0..8).map(|_| call(&pay, json!({})));
    for outcome in futures_util::future::join_all(calls).await {
        assert_eq!(told(outcome).0, "returned");
    }
    let world = world.lock().unwrap();
    assert_eq!((world.tokens.len(), world.calls.len()), (1, 8));
    let (headers, form) = &world.tokens[0];
    assert!(!headers.contains_key("authorization"));
    assert!(form.ends_with(&format!("&client_id=refund%20desk&client_secret={SECRET}")), "{form}");
}

#[tokio::test]
async fn a_token_that_is_not_taken_any_more_is_fetched_anew_once() {
    let (url, world) = world().await;
    let pay = offer(&url, client(&url, SendAs::Header));
    assert_eq!(told(call(&pay, json!({})).await).0, "returned");
    world.lock().unwrap().good = "another".into();
    assert_eq!(told(call(&pay, json!({})).await).0, "returned");
    assert_eq!(world.lock().unwrap().calls.len(), 3);
    // A new one that is refused too is the service's word: nothing goes round in a circle.
    world.lock().unwrap().deaf = true;
    let (what, text) = told(call(&pay, json!({})).await);
    assert_eq!((what, text.as_str()), ("refused", "HTTP 401 Unauthorized: Bearer [secret] is not good"));
    let world = world.lock().unwrap();
    assert_eq!((world.tokens.len(), world.calls.len()), (3, 5));
}

#[tokio::test]
async fn a_token_at_its_end_is_not_used() {
    let (url, world) = world().await;
    let pay = offer(&url, client(&url, SendAs::Header));
    for n in 0..2 {
        let grant = json!({"access_token": format!("short-lived-{n}"), "token_type": "bearer", "expires_in": 0});
        world.lock().unwrap().grants.push_back((200, grant));
    }
    for _ in 0..2 {
        assert_eq!(told(call(&pay, json!({})).await).0, "returned");
    }
    let world = world.lock().unwrap();
    assert_eq!((world.tokens.len(), world.calls.len()), (2, 2));
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_why_is_told_without_a_secret() {
    let (url, world) = world().await;
    let pay = offer(&url, client(&url, SendAs::Header));
    let echo = json!({"error": "invalid_client", "error_description": format!("{SECRET} is wrong")});
    let cases = [
        (401, echo, "refused", "HTTP 401 Unauthorized (invalid_client)"),
        (503, json!({"error": SECRET}), "not sent", "HTTP 503"),
        (200, json!({"access_token": "abcdefgh", "token_type": "mac"}), "refused", "no bearer token"),
        (200, json!({"access_token": "two\nlines", "token_type": "bearer"}), "refused", "no bearer token"),
        (200, json!(["nothing"]), "refused", "no JSON"),
        (200, json!({"access_token": "x".repeat(70 << 10), "token_type": "bearer"}), "refused", "more than"),
    ];
    for (status, grant, what, why) in cases {
        world.lock().unwrap().grants.push_back((status, grant));
        let (came, text) = told(call(&pay, json!({})).await);
        assert_eq!(came, what, "{text}");
        assert!(text.contains(why) && !text.contains(SECRET), "{text}");
    }
    assert!(world.lock().unwrap().calls.is_empty());
    // A server that is away.
    let gone = offer(&url, client("http://127.0.0.1:9", SendAs::Header));
    assert_eq!(told(call(&gone, json!({})).await).0, "not sent");
}

#[tokio::test]
async fn a_client_that_cannot_be_used_is_refused_when_the_tool_is_made() {
    let (url, _) = world().await;
    let make = |token_url: &str, placement| {
        let operations = BTreeMap::from([("pay".to_owned(), pay(&url, Some(placement)))]);
        let config = ApiConfig { operations, timeout: Duration::from_secs(20) };
        let Auth::OAuth2(mut client) = client(&url, SendAs::Header) else { unreachable!() };
        client.token_url = token_url.into();
        http::offer_api("shop", &config, Some(Auth::OAuth2(client)), &Reach::default()).map(drop).unwrap_err()
    };
    for (token_url, placement, code, why) in [
        ("http://login.example.com/token", Placement::Bearer, "ST0103", "must be `https://`"),
        ("https://a:b@login.example.com/token", Placement::Bearer, "ST0103", "must not hold credentials"),
        ("https://169.254.169.254/token", Placement::Bearer, "ST0054", ""),
        ("https://login.example.com/token", Placement::Basic, "ST0103", "another kind of credential"),
    ] {
        let error = make(token_url, placement);
        assert_eq!(error.code.to_string(), code, "{error}");
        assert!(error.detail.contains(why), "{error}");
    }
}

/// Whoever decided may have lost the run while the token was fetched; then another does it.
#[tokio::test]
async fn nothing_is_sent_with_a_token_that_came_after_the_lease() {
    let (url, world) = world().await;
    let offered = offer(&url, client(&url, SendAs::Header));
    let late = world.clone();
    let owned = MaySend::as_long_as(move || late.lock().unwrap().tokens.is_empty());
    let asked = Invocation { may_send: owned, ..invocation(&offered, arguments(json!({})), 1 << 20) };
    let (outcome, why) = told(offered.tool.call(asked).await);
    assert_eq!((outcome, why.contains("lease")), ("not sent", true), "{why}");
    let seen = world.lock().unwrap();
    assert_eq!((seen.tokens.len(), seen.calls.len()), (1, 0));
}
