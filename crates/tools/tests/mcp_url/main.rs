//! The MCP tool against servers behind a URL, honest and faulty.

#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
mod double;

use common::{arguments, call, config, invocation};
use double::Double;
use serde_json::json;
use stead_core::{
    code,
    effect::{EffectClass, Outcome},
    id::RunId,
};
use stead_ports::tool::Output;
use stead_tools::{
    config::McpUrlConfig,
    mcp::{self, Discovered},
    offer::Offered,
    reach::Reach,
    secret::Secret,
};
use tokio::net::TcpListener;

fn at(url: &str) -> McpUrlConfig {
    config(json!({"url": url}))
}

fn token() -> Option<mcp::Shown> {
    Some(mcp::Shown::Secret(Secret::new("s3cret-token")))
}

async fn discover(url: &str) -> Vec<Discovered> {
    mcp::discover_url(&at(url), token(), &Reach::default()).await.unwrap()
}

async fn offer(url: &str) -> Vec<Offered> {
    let pinned = discover(url).await;
    mcp::offer_url("crm", &at(url), token(), &Reach::default(), &pinned).unwrap()
}

async fn echo(offered: &Offered, text: &str) -> Outcome<Output> {
    call(offered, json!({"text": text})).await
}

fn told(outcome: &Outcome<Output>) -> (&'static str, &str) {
    match outcome {
        Outcome::NotSent(o) => ("not sent", &o.content),
        Outcome::Returned(o) => ("returned", &o.content),
        Outcome::Refused(o) => ("refused", &o.content),
        Outcome::Unknown(o) => ("unknown", &o.content),
    }
}

#[tokio::test]
async fn discovery_lists_the_tools_and_ends_its_session() {
    for mode in ["ok", "stateless", "modern"] {
        let (url, double) = Double::serve(mode).await;
        let mut config = at(&url);
        config.headers = [("X-Tenant".to_owned(), "acme".to_owned())].into();
        let found = mcp::discover_url(&config, token(), &Reach::default()).await.unwrap();
        let names: Vec<_> = found.iter().map(|d| d.operation.as_str()).collect();
        assert_eq!((names, found[0].hints.read_only), (vec!["echo", "fail"], Some(true)), "{mode}");
        let headers = double.last_headers();
        assert_eq!(
            (&headers["authorization"], &headers["x-tenant"]),
            (&"Bearer s3cret-token".parse().unwrap(), &"acme".parse().unwrap())
        );
        assert_eq!(double.count("end s1"), usize::from(mode == "ok"), "{mode}: {:?}", double.log());
    }
}

#[tokio::test]
async fn a_run_has_one_session_and_it_ends_with_the_run() {
    let (url, double) = Double::serve("ok").await;
    let offered = offer(&url).await;
    assert_eq!((offered[0].def.name.as_str(), offered[0].default_class), ("crm_echo", EffectClass::Irreversible));
    let mut other = invocation(&offered[0], arguments(json!({"text": "c"})), 100);
    other.effect.run = RunId(2);
    let (a, b, c) = tokio::join!(echo(&offered[0], "hé😀"), echo(&offered[0], "b"), offered[0].tool.call(other));
    assert_eq!([a, b, c], ["hé😀", "b", "c"].map(|t| Outcome::Returned(Output::ok(t))));
    assert_eq!(call(&offered[1], json!({})).await, Outcome::Returned(Output::error("it went wrong")));
    assert_eq!(double.count("start"), 3, "one for the discovery, one for each run: {:?}", double.log());
    offered[0].tool.release(RunId(1)).await;
    offered[1].tool.release(RunId(1)).await;
    offered[0].tool.release(RunId(2)).await;
    let ends = double.log().iter().filter(|line| line.starts_with("end ")).count();
    assert_eq!(ends, 3);
}

#[tokio::test]
async fn answers_come_as_json_or_as_events_that_may_be_resumed() {
    for (mode, want) in [("ok", "x"), ("sse", "x"), ("resume", "late")] {
        let (url, double) = Double::serve(mode).await;
        let offered = offer(&url).await;
        assert_eq!(echo(&offered[0], "x").await, Outcome::Returned(Output::ok(want)), "{mode}");
        assert_eq!(double.count("call echo"), 1, "{mode}");
    }
}

#[tokio::test]
async fn what_a_server_asks_of_its_client_is_refused() {
    let (url, double) = Double::serve("ask").await;
    let offered = offer(&url).await;
    assert_eq!(echo(&offered[0], "x").await, Outcome::Returned(Output::ok("x")));
    assert_eq!(double.count("answer 77 error"), 1);
}

#[tokio::test]
async fn each_answer_means_what_it_says_and_no_more() {
    for (mode, want, says) in [
        ("status-400", "refused", "ST0048"),
        ("status-401", "refused", "ST0056"),
        ("status-403", "refused", "ST0056"),
        ("status-405", "refused", "HTTP 405"),
        ("status-408", "unknown", "HTTP 408"),
        ("status-425", "not sent", "HTTP 425"),
        ("status-429", "not sent", "HTTP 429"),
        ("status-500", "unknown", "HTTP 500"),
        ("status-503", "unknown", "because"),
        ("redirect", "unknown", "redirects to http://127.0.0.1:1/, which is not followed"),
        ("moved", "refused", "which is not followed"),
        ("error", "unknown", "boom"),
        ("error-400", "refused", "boom"),
        ("params", "refused", "which?"),
        ("garbage", "unknown", "no message: Traceback"),
        ("html", "unknown", "`text/html`"),
        ("cut", "unknown", "ST0048"),
        ("sse-cut", "unknown", "before it answered"),
        ("flood", "unknown", "more than 8388608 bytes"),
        ("flood-sse", "unknown", "ST0052: the MCP server"),
        ("chatter", "unknown", "10000 messages"),
    ] {
        let (url, double) = Double::serve(mode).await;
        let offered = offer(&url).await;
        let outcome = echo(&offered[0], "x").await;
        let (kind, words) = told(&outcome);
        assert!(kind == want && words.contains(says), "{mode}: {outcome:?}");
        assert_eq!(double.count("call echo"), 1, "{mode}: it was repeated");
    }
}

#[tokio::test]
async fn no_connection_means_not_sent() {
    let (url, _) = Double::serve("ok").await;
    let pinned = discover(&url).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}/mcp", listener.local_addr().unwrap());
    drop(listener);
    // A TLS handshake with a server that speaks none never sends the request.
    for url in [closed, "https://does-not-exist.invalid/mcp".into(), url.replace("http://", "https://")] {
        let offered = mcp::offer_url("crm", &at(&url), token(), &Reach::default(), &pinned).unwrap();
        let outcome = echo(&offered[0], "x").await;
        let (kind, words) = told(&outcome);
        assert!(
            kind == "not sent" && words.starts_with("ST0048") && words.contains("cannot be reached"),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_forgotten_session_is_begun_again_and_the_call_is_made_once() {
    let (url, double) = Double::serve("ok").await;
    let offered = offer(&url).await;
    assert!(matches!(echo(&offered[0], "a").await, Outcome::Returned(_)));
    double.forget();
    assert_eq!(echo(&offered[0], "b").await, Outcome::Returned(Output::ok("b")));
    assert_eq!((double.count("call echo"), double.count("start")), (2, 3), "{:?}", double.log());
    // Its tools are compared again: a restart may have brought others.
    double.forget();
    double.change();
    let outcome = echo(&offered[0], "c").await;
    assert!(matches!(&outcome, Outcome::Refused(out) if out.content.starts_with("ST0047")), "{outcome:?}");
    assert_eq!(double.count("call echo"), 2);
}

#[tokio::test]
async fn a_server_that_answers_400_for_a_forgotten_session_is_greeted_again() {
    let (url, double) = Double::serve("400-session").await;
    let offered = offer(&url).await;
    assert!(matches!(echo(&offered[0], "a").await, Outcome::Returned(_)));
    double.forget();
    assert_eq!(echo(&offered[0], "b").await, Outcome::Returned(Output::ok("b")));
    assert_eq!((double.count("call echo"), double.count("start")), (2, 3), "{:?}", double.log());
}

#[tokio::test]
async fn a_tool_that_changes_in_mid_run_is_refused_whether_or_not_the_server_says_so() {
    for mode in ["ok", "unwatched", "stateless"] {
        let (url, double) = Double::serve(mode).await;
        let offered = offer(&url).await;
        assert!(matches!(echo(&offered[0], "x").await, Outcome::Returned(_)), "{mode}");
        if mode == "ok" {
            double.noted("watched").await;
        }
        double.change();
        let outcome = loop {
            match echo(&offered[0], "x").await {
                // The notification is on its way.
                Outcome::Returned(_) if mode == "ok" => tokio::task::yield_now().await,
                other => break other,
            }
        };
        assert!(
            matches!(&outcome, Outcome::Refused(out) if out.content.contains("another description")),
            "{outcome:?}"
        );
        // A tool that stayed what it was still serves.
        assert!(matches!(call(&offered[1], json!({})).await, Outcome::Returned(_)), "{mode}");
    }
}

#[tokio::test]
async fn after_a_flood_the_next_call_has_a_new_session() {
    let (url, double) = Double::serve("flood-sse").await;
    let offered = offer(&url).await;
    for _ in 0..2 {
        assert_eq!(told(&echo(&offered[0], "x").await).0, "unknown");
    }
    assert_eq!(double.count("start"), 3, "{:?}", double.log());
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_any_more_is_let_go() {
    for mode in ["hang", "hang-sse"] {
        let (url, double) = Double::serve(mode).await;
        let offered = offer(&url).await;
        tokio::select! {
            outcome = echo(&offered[0], "x") => panic!("it answered: {outcome:?}"),
            () = double.noted("call echo") => {}
        }
        double.noted("let go").await;
        offered[0].tool.release(RunId(1)).await;
        assert_eq!(double.count("call echo"), 1, "{mode}");
    }
}

#[tokio::test]
async fn a_refused_credential_is_said_once_and_never_shown() {
    let (url, _) = Double::serve("401").await;
    let error = mcp::discover_url(&at(&url), token(), &Reach::default()).await.unwrap_err();
    assert_eq!(error.code, code::TOOL_CREDENTIAL);
    assert!(error.detail.contains("[secret]") && !error.detail.contains("s3cret"), "{error}");
    let (honest, _) = Double::serve("ok").await;
    let pinned = discover(&honest).await;
    let offered = mcp::offer_url("crm", &at(&url), token(), &Reach::default(), &pinned).unwrap();
    let outcome = echo(&offered[0], "x").await;
    let (kind, words) = told(&outcome);
    assert!(kind == "refused" && words.starts_with("ST0056") && !words.contains("s3cret"), "{outcome:?}");
}

#[tokio::test]
async fn a_server_that_does_not_serve_is_told_as_it_is() {
    let (url, _) = Double::serve("long-session").await;
    let error = mcp::discover_url(&at(&url), None, &Reach::default()).await.unwrap_err();
    assert!(error.detail.contains("session id"), "{error}");
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = at(&format!("http://{}/", silent.local_addr().unwrap()));
    config.start_timeout = std::time::Duration::from_millis(300);
    let error = mcp::discover_url(&config, None, &Reach::default()).await.unwrap_err();
    assert!(error.detail.contains("did not answer within 300 ms"), "{error}");
}

#[test]
fn where_a_server_may_be_is_checked_before_anything_is_sent() {
    for (value, why) in [
        (json!({"url": "http://crm.example/mcp"}), "plain_http"),
        (json!({"url": "http://10.0.0.1/mcp"}), "plain_http"),
        (json!({"url": "ftp://crm.example/mcp"}), "https"),
        (json!({"url": "https://u:p@crm.example/mcp"}), "credentials"),
        (json!({"url": "https://crm.example/mcp#x"}), "`#`"),
        (json!({"url": "https://crm.example", "headers": {"Authorization": "Bearer x"}}), "cannot be set"),
        (json!({"url": "https://crm.example", "headers": {"Mcp-Session-Id": "x"}}), "cannot be set"),
        (json!({"url": "https://crm.example", "headers": {"X-A": "a\r\nb"}}), "one line"),
        (json!({"url": "https://169.254.169.254/mcp"}), "link-local"),
        (json!({"url": "http://0xA9FEA9FE/mcp", "plain_http": true}), "link-local"),
    ] {
        let config: McpUrlConfig = config(value.clone());
        let error = mcp::offer_url("crm", &config, None, &Reach::default(), &[]).unwrap_err();
        assert!(error.detail.contains(why), "{value}: {error}");
    }
    for value in [json!({"url": "http://10.0.0.1/mcp", "plain_http": true}), json!({"url": "http://[::1]:1/mcp"})] {
        assert!(mcp::offer_url("crm", &config(value), None, &Reach::default(), &[]).is_ok());
    }
}
