//! Who gets in, and what everyone is told who asks for what is not there.

use reqwest::{Method, StatusCode};

use crate::lab::{Lab, entry, problem, start};

#[tokio::test]
async fn nothing_but_health_answers_without_a_token() {
    let lab = Lab::new().await;
    for path in ["/v1/runs", "/v1/openapi.json", "/metrics", "/nonsense", "/v1/status"] {
        let answer = lab.bare(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.headers()["www-authenticate"], "Bearer", "{path}");
        problem(answer, 401, "ST0200").await;
    }
    for wrong in ["x", "", &lab.token[1..], &format!("{}x", lab.token)] {
        let answer = lab.bare(Method::GET, "/v1/runs").bearer_auth(wrong).send().await.unwrap();
        problem(answer, 401, "ST0200").await;
    }
    // One of two tokens would do, but who knows which of them a proxy has looked at.
    let two = lab.get_with("/v1/runs", |r| r.header("authorization", "Bearer x")).await;
    problem(two, 401, "ST0200").await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(lab.bare(Method::GET, path).send().await.unwrap().status(), 200, "{path}");
    }
    assert_eq!(lab.get("/metrics").await.status(), 200);
}

#[tokio::test]
async fn metrics_are_open_only_when_the_configuration_says_so() {
    let lab = Lab::with(|c| c.metrics_open = true).await;
    lab.hello().await;
    let run = lab.start("hello").await;
    lab.ended(run).await;
    let answer = lab.bare(Method::GET, "/metrics").send().await.unwrap();
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = answer.text().await.unwrap();
    for line in [
        "stead_runs_started_total 1",
        "stead_runs_ended_total{status=\"completed\"} 1",
        "stead_http_requests_total{method=\"POST\",route=\"/v1/runs\",status=\"201\"} 1",
        "stead_http_connections ",
        "stead_spent_micro_usd_total 0",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    assert!(!text.contains(&run.to_string()));
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_document_too() {
    let lab = Lab::new().await;
    problem(lab.get("/v2/runs").await, 404, "ST0202").await;
    problem(lab.get("/v1/runs/nonsense").await, 404, "ST0202").await;
    problem(lab.get("/v1/runs/run_00000000000000000000000000").await, 404, "ST0202").await;
    let answer = lab.ask(Method::DELETE, "/v1/runs").send().await.unwrap();
    let allowed = answer.headers()["allow"].to_str().unwrap().to_owned();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
    problem(answer, 405, "ST0201").await;
    problem(lab.get("/v1/runs?colour=red").await, 400, "ST0201").await;
    problem(lab.get("/v1/runs?status=happy").await, 400, "ST0201").await;
    problem(lab.get("/v1/runs?limit=0").await, 400, "ST0201").await;
    problem(lab.get("/v1/runs?limit=501").await, 400, "ST0201").await;
    problem(lab.get("/v1/runs?cursor=xx").await, 400, "ST0201").await;
}

#[tokio::test]
async fn the_runs_of_one_tenant_do_not_exist_for_another() {
    let tokens = vec![entry("token-of-ann-which-is-long-enough", "ann", "acme")];
    let lab = Lab::with(|c| c.auth.tokens = tokens).await;
    let waiting = lab.waiting().await;
    let (run, session) = (waiting.summary.id, waiting.summary.session);
    let ann = stead_client::Client::new(&lab.url, "token-of-ann-which-is-long-enough").unwrap();
    let who = ann.status().await.unwrap();
    assert_eq!((who.subject.as_str(), who.tenant.as_str()), ("ann", "acme"));
    assert!(who.runs.values().all(|n| *n == 0), "{:?}", who.runs);

    let hidden = Some(404);
    assert!(ann.runs(&Default::default()).await.unwrap().items.is_empty());
    assert!(ann.agents().await.unwrap().items.is_empty());
    assert!(ann.approvals(&Default::default()).await.unwrap().items.is_empty());
    assert!(ann.sessions(&Default::default()).await.unwrap().items.is_empty());
    assert_eq!(ann.run(run).await.unwrap_err().status, hidden);
    assert_eq!(ann.facts(run, &Default::default()).await.unwrap_err().status, hidden);
    assert_eq!(ann.cancel(run).await.unwrap_err().status, hidden);
    assert_eq!(ann.kill(run).await.unwrap_err().status, hidden);
    assert_eq!(ann.pause(run).await.unwrap_err().status, hidden);
    assert_eq!(ann.resume(run).await.unwrap_err().status, hidden);
    assert_eq!(ann.session(session).await.unwrap_err().status, hidden);
    assert_eq!(ann.agent("asking").await.unwrap_err().status, hidden);
    assert_eq!(ann.version("asking", waiting.summary.version).await.unwrap_err().status, hidden);
    assert_eq!(ann.approval(waiting.approvals[0].id).await.unwrap_err().status, hidden);
    assert_eq!(ann.approve(waiting.approvals[0].id, None).await.unwrap_err().status, hidden);
    assert_eq!(ann.deny(waiting.approvals[0].id, None).await.unwrap_err().status, hidden);
    assert_eq!(ann.follow(run, None).next().await.unwrap().unwrap_err().status, hidden);
    assert!(ann.export(run).await.is_err_and(|e| e.status == hidden));
    let mut begin = start("asking");
    begin.version = Some(waiting.summary.version);
    assert_eq!(ann.start_run(&begin, None).await.unwrap_err().status, hidden);
    begin.session = Some(session);
    assert_eq!(ann.start_run(&begin, None).await.unwrap_err().status, hidden);
    assert_eq!(lab.client.run(run).await.unwrap().summary.status.as_str(), "waiting");
}

#[tokio::test]
async fn the_journal_names_the_caller() {
    let tokens = vec![entry("token-of-bob-which-is-long-enough", "bob", "default")];
    let lab = Lab::with(|c| c.auth.tokens = tokens).await;
    lab.hello().await;
    let bob = stead_client::Client::new(&lab.url, "token-of-bob-which-is-long-enough").unwrap();
    let run = bob.start_run(&start("hello"), None).await.unwrap().run;
    let facts = lab.client.facts(run, &Default::default()).await.unwrap().items;
    assert_eq!(facts[0].actor, stead_core::record::Actor::User("bob".into()));
}

#[tokio::test]
async fn a_head_request_is_answered_like_a_get() {
    let lab = Lab::new().await;
    let answer = lab.bare(Method::HEAD, "/healthz").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}
