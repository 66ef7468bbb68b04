//! Starting, listing, showing, stopping runs.

use serde_json::{Value, json};
use stead_api::{
    page::PageQuery,
    run::{ExportHeader, Limits, SandboxLimits, Status},
};
use stead_client::RunQuery;
use stead_server::config::units::Size;

use crate::lab::{Lab, problem, start};

#[tokio::test]
async fn a_run_can_be_started_waited_for_and_read() {
    let lab = Lab::new().await;
    let agent = lab.hello().await;
    let run = lab.start("hello").await;
    let ended = lab.ended(run).await;
    assert_eq!(ended.summary.status, Status::Completed);
    assert_eq!(ended.output.as_deref(), Some("Hello there, friend."));
    assert_eq!((ended.summary.version, ended.summary.turns), (agent.version, 1));
    assert_eq!(ended.summary.title, "Hi");
    let facts = lab.client.facts(run, &PageQuery::default()).await.unwrap();
    let kinds: Vec<_> = facts.items.iter().map(|f| f.fact.kind()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"run_started"), Some(&"run_completed")));
    assert_eq!(facts.next, None);
}

#[tokio::test]
async fn the_same_key_starts_one_run() {
    let lab = Lab::new().await;
    lab.hello().await;
    let first = lab.client.start_run(&start("hello"), Some("k-1")).await.unwrap();
    assert!(!first.existing);
    lab.ended(first.run).await;
    // Also after another version went live.
    lab.apply(crate::lab::HELLO, &[("./script.yaml", "rules: [{ say: Other }]")]).await;
    let again = lab.client.start_run(&start("hello"), Some("k-1")).await.unwrap();
    assert_eq!((again.run, again.existing), (first.run, true));
    let mut other = start("hello");
    other.input = "Something else".into();
    let error = lab.client.start_run(&other, Some("k-1")).await.unwrap_err();
    assert_eq!((error.status, error.code.to_string()), (Some(409), "ST0204".into()));
    assert!(error.hint.is_some());
    assert_eq!(lab.client.runs(&RunQuery::default()).await.unwrap().items.len(), 1);
    let answer = lab
        .ask(reqwest::Method::POST, "/v1/runs")
        .header("idempotency-key", "a key")
        .json(&start("hello"))
        .send()
        .await
        .unwrap();
    problem(answer, 400, "ST0201").await;
}

#[tokio::test]
async fn a_wait_that_is_over_tells_the_run_as_it_stands() {
    let lab = Lab::new().await;
    let run = lab.waiting().await.summary.id;
    let seen: Value = lab.get(&format!("/v1/runs/{run}?wait=1ms")).await.json().await.unwrap();
    assert_eq!(seen["status"], "waiting");
    let seen: Value = lab.get(&format!("/v1/runs/{run}?wait=1m&until=waiting")).await.json().await.unwrap();
    assert_eq!(seen["status"], "waiting");
    for bad in ["1h", "soon", "-1s", "99999999999999999999s"] {
        problem(lab.get(&format!("/v1/runs/{run}?wait={bad}")).await, 400, "ST0201").await;
    }
    problem(lab.get(&format!("/v1/runs/{run}?until=christmas")).await, 400, "ST0201").await;
}

#[tokio::test]
async fn runs_are_listed_by_filter_and_in_pages_newest_first() {
    let lab = Lab::new().await;
    lab.hello().await;
    let waiting = lab.waiting().await.summary;
    let mut started = Vec::new();
    for _ in 0..5 {
        let run = lab.start("hello").await;
        lab.ended(run).await;
        started.push(run);
    }
    started.reverse();
    let all = |query: RunQuery| {
        let client = lab.client.clone();
        async move {
            let (mut query, mut found) = (query, Vec::new());
            query.page.limit = Some(2);
            loop {
                let page = client.runs(&query).await.unwrap();
                assert!(page.items.len() <= 2);
                found.extend(page.items.into_iter().map(|r| r.id));
                query.page.cursor = page.next;
                if query.page.cursor.is_none() {
                    return found;
                }
            }
        }
    };
    assert_eq!(all(RunQuery { agent: Some("hello".into()), ..Default::default() }).await, started);
    assert_eq!(all(RunQuery { status: vec![Status::Completed], ..Default::default() }).await, started);
    assert_eq!(all(RunQuery { session: Some(waiting.session.into()), ..Default::default() }).await, [waiting.id]);
    let both = vec![Status::Waiting, Status::Completed];
    assert_eq!(all(RunQuery { status: both, ..Default::default() }).await.len(), 6);
    assert!(all(RunQuery { parent: Some(waiting.id), ..Default::default() }).await.is_empty());
}

#[tokio::test]
async fn facts_come_in_pages_that_join_without_a_gap() {
    let lab = Lab::new().await;
    lab.hello().await;
    let run = lab.start("hello").await;
    lab.ended(run).await;
    let whole = lab.client.facts(run, &PageQuery::default()).await.unwrap().items;
    let (mut page, mut joined) = (PageQuery { cursor: None, limit: Some(1) }, Vec::new());
    loop {
        let answer = lab.client.facts(run, &page).await.unwrap();
        joined.extend(answer.items);
        page.cursor = answer.next;
        if page.cursor.is_none() {
            break;
        }
    }
    assert_eq!(joined, whole);
}

#[tokio::test]
async fn an_export_has_the_run_and_every_fact_a_line() {
    let lab = Lab::new().await;
    lab.hello().await;
    let run = lab.start("hello").await;
    lab.ended(run).await;
    let answer = lab.get(&format!("/v1/runs/{run}/export")).await;
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    let text = answer.text().await.unwrap();
    let mut lines = text.lines();
    let header: ExportHeader = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!((header.stead_export, header.run.summary.id), (1, run));
    let facts: Vec<stead_api::fact::FactEvent> = lines.map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(facts, lab.client.facts(run, &PageQuery::default()).await.unwrap().items);
}

#[tokio::test]
async fn a_run_can_be_paused_resumed_cancelled_and_killed() {
    let lab = Lab::new().await;
    let run = lab.waiting().await.summary.id;
    assert_eq!(lab.client.pause(run).await.unwrap().summary.status, Status::Paused);
    assert_ne!(lab.client.resume(run).await.unwrap().summary.status, Status::Paused);
    lab.client.cancel(run).await.unwrap();
    let ended = lab.ended(run).await;
    assert_eq!(ended.summary.status, Status::Cancelled);
    assert!(ended.approvals.is_empty());
    problem(lab.post(&format!("/v1/runs/{run}/pause"), &json!({})).await, 409, "ST0008").await;

    let run = lab.start("asking").await;
    lab.client.wait(run, stead_api::run::WaitUntil::Waiting).await.unwrap();
    lab.client.kill(run).await.unwrap();
    assert_eq!(lab.ended(run).await.summary.status, Status::Cancelled);
}

#[tokio::test]
async fn limits_of_a_runs_sandboxes_are_facts_and_hold_until_it_ends() {
    let lab = Lab::new().await;
    let run = lab.waiting().await.summary.id;
    let memory = SandboxLimits { memory: Some(64 << 20), ..SandboxLimits::default() };
    let cpu = SandboxLimits { cpu_milli: Some(250), ..SandboxLimits::default() };
    lab.client.limit(run, &memory).await.unwrap();
    lab.client.limit(run, &cpu).await.unwrap();
    let set = lab.client.why(run, None).await.unwrap().budget.sandbox;
    assert_eq!(set, SandboxLimits { cpu_milli: Some(250), ..memory });
    let facts = lab.client.facts(run, &PageQuery::default()).await.unwrap().items;
    let told: Vec<_> = facts.iter().filter(|f| f.fact.kind() == "sandbox_limited").collect();
    assert_eq!(told.len(), 2);
    for (bad, status) in [
        (json!({}), 400),
        (json!({"memory": 1}), 400),
        (json!({"pids": 0}), 400),
        (json!({"wall": 1}), 400),
        (json!({"memory": -1}), 400),
        (json!({"mem": 1 << 30}), 400),
    ] {
        assert_eq!(lab.post(&format!("/v1/runs/{run}/limit"), &bad).await.status(), status, "{bad}");
    }
    lab.client.kill(run).await.unwrap();
    lab.ended(run).await;
    problem(lab.post(&format!("/v1/runs/{run}/limit"), &json!({"pids": 9})).await, 409, "ST0008").await;
}

#[tokio::test]
async fn limits_beyond_what_the_operator_gives_are_refused_with_the_key_and_change_nothing() {
    let lab = Lab::with(|c| {
        c.sandbox.max.memory = Size(128 << 20);
        c.sandbox.max.cpu = 1.5;
    })
    .await;
    let run = lab.waiting().await.summary.id;
    let path = format!("/v1/runs/{run}/limit");
    for (asked, key) in [
        (json!({"memory": (128 << 20) + 1}), "memory"),
        (json!({"cpu_milli": 1_501}), "cpu"),
        (json!({"pids": 4_097, "cpu_milli": 100}), "pids"),
        (json!({"disk": (4_u64 << 30) + 1}), "disk"),
        (json!({"wall": 86_400_000_001_u64}), "timeout"),
        (json!({"inodes": 1_000_001}), "inodes"),
        (json!({"open_files": 65_537}), "open_files"),
        (json!({"output": (4 << 20) + 1}), "output"),
    ] {
        let told = problem(lab.post(&path, &asked).await, 422, "ST0311").await;
        assert!(told["hint"].as_str().unwrap().contains(&format!("[sandbox.max] {key}")), "{told}");
    }
    assert_eq!(lab.client.why(run, None).await.unwrap().budget.sandbox, SandboxLimits::default());
    let most = SandboxLimits { memory: Some(128 << 20), cpu_milli: Some(1_500), ..SandboxLimits::default() };
    lab.client.limit(run, &most).await.unwrap();
    assert_eq!(lab.client.why(run, None).await.unwrap().budget.sandbox, most);
}

#[tokio::test]
async fn a_caller_can_tighten_limits() {
    let lab = Lab::new().await;
    lab.hello().await;
    let mut begin = start("hello");
    begin.limits = Limits { tokens: Some(1), ..Limits::default() };
    let run = lab.client.start_run(&begin, None).await.unwrap().run;
    let ended = lab.ended(run).await;
    assert_eq!(ended.summary.status, Status::Failed);
    assert_eq!(ended.summary.code.map(|c| c.to_string()), Some("ST0001".into()));
    assert!(ended.error.is_some());
    assert_eq!(ended.summary.spent.tokens, 0);
}
