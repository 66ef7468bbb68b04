//! What a token allows, route by route.

use reqwest::Method;
use serde_json::{Value, json};
use stead_api::{
    openapi,
    right::Right::{self, Apply, Approve, Metrics, Read, Run},
    run::SandboxLimits,
};
use stead_client::Client;

use crate::lab::{HELLO, HELLO_SCRIPT, Lab, apply, entry_for, problem, start};

/// A token that stands for a set of rights.
fn token(rights: &[Right]) -> String {
    let words: Vec<_> = rights.iter().map(|r| r.as_str()).collect();
    format!("token-which-is-long-enough-{}", words.join("-"))
}

async fn lab(sets: &[&[Right]]) -> Lab {
    let tokens: Vec<_> = sets.iter().map(|s| entry_for(&token(s), "someone", "default", s)).collect();
    Lab::with(|c| c.auth.tokens = tokens).await
}

/// Every subset of the rights.
fn subsets() -> Vec<Vec<Right>> {
    (0..1_u32 << Right::ALL.len())
        .map(|set| Right::ALL.into_iter().enumerate().filter(|(i, _)| set & (1 << i) != 0).map(|(_, r)| r).collect())
        .collect()
}

#[tokio::test]
async fn a_request_is_refused_exactly_when_the_token_lacks_a_right_that_the_document_names() {
    let sets = subsets();
    let borrowed: Vec<&[Right]> = sets.iter().map(Vec::as_slice).collect();
    let lab = lab(&borrowed).await;
    for operation in openapi::operations() {
        // Ids of the right form that name nothing: a request that is let through gets another answer.
        let path = operation
            .path
            .replace("{run}", "run_00000000000000000000000000")
            .replace("{session}", "ses_00000000000000000000000000")
            .replace("{approval}", "run_00000000000000000000000000.e1")
            .replace("{version}", &format!("sha256:{}", "0".repeat(64)))
            .replace("{agent}", "nobody");
        for set in &sets {
            let method: Method = operation.method.parse().unwrap();
            let answer = lab.bare(method, &path).bearer_auth(token(set)).send().await.unwrap();
            let missing = operation.rights.iter().find(|r| !set.contains(r));
            match missing {
                None => assert_ne!(answer.status(), 403, "{} {path} with {set:?}", operation.method),
                Some(right) => {
                    let told = problem(answer, 403, "ST0209").await;
                    assert!(told["detail"].as_str().unwrap().contains(right.as_str()), "{told}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_token_without_more_may_read_run_and_approve_but_not_apply() {
    let lab = lab(&[&Right::USUAL, &[Apply]]).await;
    let usual = Client::new(&lab.url, &token(&Right::USUAL)).unwrap();
    let hello = apply(HELLO, &[("./script.yaml", HELLO_SCRIPT)]);
    let refused = usual.apply_agent(&hello).await.unwrap_err();
    assert_eq!((refused.status, refused.code.to_string()), (Some(403), "ST0209".into()));
    assert!(refused.hint.is_some());
    // Also when the refused body is large, and still being sent.
    let script = format!("# {}\n{HELLO_SCRIPT}", "x".repeat(900_000));
    let refused = usual.apply_agent(&apply(HELLO, &[("./script.yaml", &script)])).await.unwrap_err();
    assert_eq!(refused.status, Some(403));
    assert!(lab.client.agents().await.unwrap().items.is_empty());

    let applier = Client::new(&lab.url, &token(&[Apply])).unwrap();
    applier.apply_agent(&hello).await.unwrap();
    let run = usual.start_run(&start("hello"), None).await.unwrap().run;
    assert_eq!(usual.wait(run, Default::default()).await.unwrap().output.as_deref(), Some("Hello there, friend."));
    let waiting = lab.waiting().await;
    usual.approve(waiting.approvals[0].id, None).await.unwrap();
    assert_eq!(lab.ended(waiting.summary.id).await.output.as_deref(), Some("It was added."));
}

#[tokio::test]
async fn who_may_run_but_not_read_starts_runs_and_sees_none() {
    let lab = lab(&[&[Run]]).await;
    lab.hello().await;
    let starter = Client::new(&lab.url, &token(&[Run])).unwrap();
    let mut begin = start("hello");
    begin.session_key = Some("customer/42".into());
    let run = starter.start_run(&begin, None).await.unwrap().run;
    lab.ended(run).await;
    let limits = SandboxLimits { pids: Some(9), ..SandboxLimits::default() };
    for refused in
        [starter.run(run).await, starter.cancel(run).await, starter.pause(run).await, starter.limit(run, &limits).await]
    {
        assert_eq!(refused.unwrap_err().status, Some(403));
    }
    assert_eq!(lab.ended(run).await.output.as_deref(), Some("Hello there, friend."));
    assert!(starter.status().await.unwrap().runs.is_empty());
}

#[tokio::test]
async fn a_token_is_told_its_rights_and_figures_of_all_tenants_only_with_metrics() {
    let lab = lab(&[&[Read], &[Read, Metrics], &[Approve]]).await;
    let own = lab.client.status().await.unwrap();
    assert_eq!((own.subject.as_str(), own.rights.as_slice()), ("owner", &Right::ALL[..]));
    assert!(own.work.is_some());
    let reader = Client::new(&lab.url, &token(&[Read])).unwrap().status().await.unwrap();
    assert_eq!((reader.rights, reader.work), (vec![Read], None));
    let told: Value =
        lab.bare(Method::GET, "/v1/status").bearer_auth(token(&[Read])).send().await.unwrap().json().await.unwrap();
    assert_eq!((&told["rights"], told.get("work")), (&json!(["read"]), None));
    let metrics = |set: &[Right]| lab.bare(Method::GET, "/metrics").bearer_auth(token(set)).send();
    assert_eq!(metrics(&[Read]).await.unwrap().status(), 403);
    assert_eq!(metrics(&[Read, Metrics]).await.unwrap().status(), 200);
}

/// The document names every route; each is asked by nobody, by somebody with a token that nobody knows, and by everybody of another tenant.
#[tokio::test]
async fn every_operation_of_the_document_refuses_who_has_no_token_and_shows_nothing_of_another_tenant() {
    const SECRET: &str = "what-only-the-first-tenant-may-read";
    let mallory = entry_for("token-of-mallory-which-is-long-enough", "mallory", "evil", &Right::ALL);
    let lab = Lab::with(|c| c.auth.tokens = vec![mallory]).await;
    let waiting = lab.waiting().await;
    let told = HELLO_SCRIPT.replace("Hello there, friend.", SECRET);
    lab.apply(HELLO, &[("./script.yaml", &told)]).await;
    let run = lab.ended(lab.start("hello").await).await;
    assert_eq!(run.output.as_deref(), Some(SECRET));
    let (run, session, version) = (run.summary.id, run.summary.session, run.summary.version);
    for operation in openapi::operations() {
        let path = operation
            .path
            .replace("{run}", &run.to_string())
            .replace("{session}", &session.to_string())
            .replace("{approval}", &waiting.approvals[0].id.to_string())
            .replace("{version}", &version.to_string())
            .replace("{agent}", "hello");
        let method: Method = operation.method.parse().unwrap();
        for token in [None, Some(""), Some("nobody-knows-this-token-at-all"), Some("a.b.c")] {
            let request = lab.bare(method.clone(), &path);
            let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
            let answer = request.send().await.unwrap();
            if operation.open {
                assert_ne!(answer.status(), 401, "{method} {path}");
            } else {
                problem(answer, 401, "ST0200").await;
            }
        }
        if operation.path.contains('{') {
            let request = lab.bare(method.clone(), &path).bearer_auth("token-of-mallory-which-is-long-enough");
            let request = if operation.method == "POST" { request.json(&json!({})) } else { request };
            let answer = request.send().await.unwrap();
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            assert!(!status.is_success() && !text.contains(SECRET), "{method} {path}: {status} {text}");
        }
    }
}
