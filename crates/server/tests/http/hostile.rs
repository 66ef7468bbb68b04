//! A token holder of another tenant, and requests made to hurt.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};
use stead_api::openapi;

use crate::lab::{HELLO, HELLO_SCRIPT, Lab, apply, entry_for, problem};

const TOKEN: &str = "token-of-mallory-which-is-long-enough";

async fn lab() -> Lab {
    let mallory = entry_for(TOKEN, "mallory", "evil", &stead_api::right::Right::ALL);
    Lab::with(|c| c.auth.tokens = vec![mallory]).await
}

/// An answer with everything in it but the ids that were asked for.
async fn told(
    lab: &Lab,
    method: &str,
    path: &str,
    body: &Value,
    ids: &[(String, String)],
) -> (u16, Vec<(String, String)>, String) {
    let request = lab.bare(method.parse().unwrap(), path).bearer_auth(TOKEN);
    let request = if method == "POST" { request.json(body) } else { request };
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let headers = answer.headers().iter().filter(|(name, _)| !matches!(name.as_str(), "date" | "content-length"));
    let headers = headers.map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned())).collect();
    let mut text = answer.text().await.unwrap();
    for (name, id) in ids {
        text = text.replace(id, name);
    }
    (status, headers, text)
}

#[tokio::test]
async fn what_another_tenant_has_is_answered_exactly_like_what_nobody_has() {
    let lab = lab().await;
    let waiting = lab.waiting().await;
    // Both tenants have the agent's name, with other versions of it.
    let mallory = stead_client::Client::new(&lab.url, TOKEN).unwrap();
    let own = HELLO.replace("name: hello", "name: asking");
    mallory.apply_agent(&apply(&own, &[("./script.yaml", HELLO_SCRIPT)])).await.unwrap();

    let ids = |run: String, session: String, version: String, log: &str| {
        let (approval, log) = (format!("{run}.e1"), log.to_owned());
        [("{approval}", approval), ("{run}", run), ("{session}", session), ("{version}", version), ("{log}", log)]
            .map(|(name, id)| (name.to_owned(), id))
    };
    let (run, session) = (waiting.summary.id, waiting.summary.session);
    assert_eq!(waiting.approvals[0].id.to_string(), format!("{run}.e1"));
    let theirs = ids(run.to_string(), session.to_string(), waiting.summary.version.to_string(), "default");
    let nobodys = ids(
        "run_01JD4Q2V7Q3N5T8W9X0Y1Z2A3B".into(),
        "ses_01JD4Q2V7Q3N5T8W9X0Y1Z2A3B".into(),
        format!("sha256:{}", "0f".repeat(32)),
        "nobodys",
    );
    let fill = |text: &str, ids: &[(String, String)]| {
        ids.iter().fold(text.replace("{agent}", "asking"), |text, (name, id)| text.replace(name, id))
    };
    let mut requests: Vec<(&str, String, Value)> = openapi::operations()
        .iter()
        .filter(|o| o.path.contains('{'))
        .map(|o| {
            let (path, body) = match o.path.rsplit('/').next().unwrap_or_default() {
                "runs" => (o.path.to_owned(), json!({"input": "x"})),
                "{alias}" => (o.path.replace("{alias}", "canary"), json!({"version": "{version}"})),
                "rollback" => (o.path.to_owned(), json!({"to": "{version}"})),
                "diff" => (format!("{}?from={{version}}", o.path), json!({})),
                "token" => (o.path.to_owned(), json!({"audience": "https://mail.example"})),
                "context" => (format!("{}?step=1", o.path), json!({})),
                "inclusion" => (format!("{}?index=0", o.path), json!({})),
                "consistency" => (format!("{}?old=0", o.path), json!({})),
                _ => (o.path.to_owned(), json!({})),
            };
            (o.method, path, body)
        })
        .collect();
    for body in [
        json!({"agent": "asking", "input": "x", "version": "{version}"}),
        json!({"agent": "asking", "input": "x", "session": "{session}"}),
        json!({"agent": "asking", "input": "x", "session": "{session}", "version": "{version}"}),
    ] {
        requests.push(("POST", "/v1/runs".into(), body));
    }
    for list in ["/v1/runs?session={session}", "/v1/runs?parent={run}", "/v1/sessions?agent=nobody"] {
        requests.push(("GET", list.into(), json!({})));
    }
    requests.push(("GET", "/v1/runs/{run}?wait=1s&until=waiting".into(), json!({})));
    for (method, path, body) in &requests {
        if path == "/v1/agents/{agent}" || path == "/v1/agents/{agent}/versions" {
            continue;
        }
        let body_of = |ids: &[(String, String)]| serde_json::from_str(&fill(&body.to_string(), ids)).unwrap();
        let foreign = told(&lab, method, &fill(path, &theirs), &body_of(&theirs), &theirs).await;
        let missing = told(&lab, method, &fill(path, &nobodys), &body_of(&nobodys), &nobodys).await;
        assert_eq!(foreign, missing, "{method} {path} {body}");
        let one = ["wait", "diff", "context", "inclusion", "consistency"];
        let lists = path.contains('?') && !one.iter().any(|p| path.contains(p));
        assert_eq!(foreign.0, if lists { 200 } else { 404 }, "{method} {path}: {}", foreign.2);
    }
    assert_eq!(lab.client.run(run).await.unwrap().approvals, waiting.approvals);
}

#[tokio::test]
async fn the_same_idempotency_key_of_another_tenant_is_another_key() {
    let lab = lab().await;
    lab.hello().await;
    let mallory = stead_client::Client::new(&lab.url, TOKEN).unwrap();
    mallory.apply_agent(&apply(HELLO, &[("./script.yaml", HELLO_SCRIPT)])).await.unwrap();
    let first = lab.client.start_run(&crate::lab::start("hello"), Some("k")).await.unwrap();
    let second = mallory.start_run(&crate::lab::start("hello"), Some("k")).await.unwrap();
    assert!(!second.existing && second.run != first.run && second.session != first.session);
}

#[tokio::test]
async fn numbers_at_their_ends_are_answered_and_break_nothing() {
    let lab = lab().await;
    lab.hello().await;
    let most = u64::MAX;
    for limits in [
        json!({"tokens": most, "usd": most, "active": most, "deadline": most, "tool_calls": u32::MAX, "children": u32::MAX}),
        json!({"tokens": 0, "usd": 0, "active": 0, "deadline": 0, "tool_calls": 0, "children": 0}),
    ] {
        let answer = lab.post("/v1/runs", &json!({"agent": "hello", "input": "x", "limits": limits})).await;
        assert_eq!(answer.status(), 201);
        let started: stead_api::run::Started = answer.json().await.unwrap();
        assert!(lab.ended(started.run).await.summary.status.ended());
    }
    let bad = json!({"agent": "hello", "input": "x", "limits": {"tokens": -1}});
    problem(lab.post("/v1/runs", &bad).await, 400, "ST0201").await;

    let run = lab.start("hello").await;
    lab.ended(run).await;
    let cursor = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    for at in [u64::MAX, u64::MAX - 1, i64::MAX as u64, i64::MAX as u64 + 1] {
        let path = format!("/v1/runs/{run}/facts?limit=500&cursor={}", cursor(&format!("f1:{at}")));
        let page: Value = lab.get(&path).await.json().await.unwrap();
        assert_eq!(page, json!({"items": [], "next": null}), "{at}");
    }
    let last = "run_7ZZZZZZZZZZZZZZZZZZZZZZZZZ";
    assert_eq!(lab.get(&format!("/v1/runs?cursor={}", cursor(&format!("r1:{last}")))).await.status(), 200);
    problem(lab.get(&format!("/v1/runs/{last}")).await, 404, "ST0202").await;
    problem(lab.get(&format!("/v1/approvals/{last}.e4294967295")).await, 404, "ST0202").await;
    for after in ["18446744073709551615.4294967295.4294967295", "0.4294967295.4294967295"] {
        let text = lab.get(&format!("/v1/runs/{run}/stream?after={after}")).await.text().await.unwrap();
        assert!(text.contains("event: end"), "{after}: {text}");
    }
}

#[tokio::test]
async fn names_that_no_agent_has_are_not_looked_for() {
    let lab = lab().await;
    lab.hello().await;
    let long = "x".repeat(100_000);
    for name in ["", "a\u{0}b", "a b", "é", "../hello", "hello/../hello", long.as_str()] {
        let run = lab.post("/v1/runs", &json!({"agent": name, "input": "x"})).await;
        let told = problem(run, 404, "ST0202").await;
        assert!(told["detail"].as_str().unwrap().len() < 400, "{}", told["detail"]);
        let version = format!("sha256:{}", "00".repeat(32));
        let run = lab.post("/v1/runs", &json!({"agent": name, "input": "x", "version": version})).await;
        problem(run, 404, "ST0202").await;
        problem(lab.post("/v1/sessions", &json!({"agent": name, "key": "k"})).await, 404, "ST0202").await;
    }
    for path in ["/v1/agents/a%00b", "/v1/agents/..%2f..%2fetc", "/v1/agents/a%00b/versions", "/v1/agents/%FF"] {
        problem(lab.get(path).await, 404, "ST0202").await;
    }
    for path in ["/v1/runs?agent=a%00b", "/v1/sessions?agent=a%00b", "/v1/runs?agent="] {
        problem(lab.get(path).await, 400, "ST0201").await;
    }
}

#[tokio::test]
async fn an_input_of_odd_characters_is_kept_as_it_is() {
    let lab = lab().await;
    lab.hello().await;
    for input in ["\u{0}", "a\u{0}b\u{1b}[2J\u{202e}", "", "\u{feff}\r\n\u{2028}"] {
        let answer = lab.post("/v1/runs", &json!({"agent": "hello", "input": input})).await;
        assert_eq!(answer.status(), 201, "{input:?}");
        let started: stead_api::run::Started = answer.json().await.unwrap();
        lab.ended(started.run).await;
        let facts = lab.client.facts(started.run, &Default::default()).await.unwrap().items;
        assert_eq!(facts[0].text.as_deref(), Some(input));
        // Odd characters do not break a stream's frames either.
        let text = lab.get(&format!("/v1/runs/{}/stream", started.run)).await.text().await.unwrap();
        assert!(text.contains("event: end"), "{text}");
    }
}

#[tokio::test]
async fn two_headers_where_one_belongs_are_refused() {
    let lab = lab().await;
    lab.hello().await;
    let body = json!({"agent": "hello", "input": "x"});
    let request = lab.ask(Method::POST, "/v1/runs").header("idempotency-key", "a").header("idempotency-key", "b");
    problem(request.json(&body).send().await.unwrap(), 400, "ST0201").await;
    assert!(lab.client.runs(&Default::default()).await.unwrap().items.is_empty());
}
