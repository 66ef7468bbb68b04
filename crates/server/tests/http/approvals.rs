//! A human is asked, and answers.

use serde_json::json;
use stead_api::{
    page::PageQuery,
    run::{Status, WaitUntil},
};
use stead_client::ApprovalQuery;

use crate::lab::{Lab, problem};

#[tokio::test]
async fn an_approved_action_is_done_and_the_run_goes_on() {
    let lab = Lab::new().await;
    let waiting = lab.waiting().await;
    assert_eq!(waiting.summary.status, Status::Waiting);
    let open = lab.client.approvals(&Default::default()).await.unwrap().items;
    assert_eq!(open, waiting.approvals);
    assert_eq!((open[0].tool.as_str(), open[0].arguments.as_str()), ("notes_add", r#"{"text":"milk"}"#));
    assert_eq!(lab.client.approval(open[0].id).await.unwrap(), open[0]);

    lab.client.approve(open[0].id, Some("fine".into())).await.unwrap();
    let ended = lab.ended(waiting.summary.id).await;
    assert_eq!(ended.output.as_deref(), Some("It was added."));
    assert!(lab.client.approvals(&Default::default()).await.unwrap().items.is_empty());
    let id = open[0].id;
    problem(lab.get(&format!("/v1/approvals/{id}")).await, 404, "ST0202").await;
    problem(lab.post(&format!("/v1/approvals/{id}/approve"), &json!({})).await, 409, "ST0008").await;
}

#[tokio::test]
async fn a_denied_action_is_not_done_and_the_model_is_told() {
    let lab = Lab::new().await;
    let waiting = lab.waiting().await;
    // Without a body, too.
    let path = format!("/v1/approvals/{}/deny", waiting.approvals[0].id);
    let answer = lab.ask(reqwest::Method::POST, &path).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(lab.ended(waiting.summary.id).await.output.as_deref(), Some("It was not added."));
    let database = stead_server::agents::data_folder(&lab.dir.path().join("data"), &"default".into(), &"asking".into());
    assert!(database.join("notes.db").is_file());
}

#[tokio::test]
async fn an_approval_that_does_not_exist_is_not_found() {
    let lab = Lab::new().await;
    let waiting = lab.waiting().await;
    let other = stead_core::id::EffectId { run: waiting.summary.id, n: 99 };
    problem(lab.get(&format!("/v1/approvals/{other}")).await, 404, "ST0202").await;
    problem(lab.get("/v1/approvals/nonsense").await, 404, "ST0202").await;
    let path = format!("/v1/approvals/{}/approve", waiting.approvals[0].id);
    problem(lab.post(&path, &json!({"note": "x".repeat(5_000)})).await, 400, "ST0201").await;
    problem(lab.post(&path, &json!({"nota": "x"})).await, 400, "ST0201").await;
}

#[tokio::test]
async fn a_run_that_waits_for_a_human_survives_a_restart() {
    let lab = Lab::new().await;
    let waiting = lab.waiting().await;
    let dir = lab.stop().await;
    let config = crate::lab::config(dir.path());
    let lab = Lab::over(dir, config).await;
    let found = lab.client.wait(waiting.summary.id, WaitUntil::Waiting).await.unwrap();
    assert_eq!(found.approvals, waiting.approvals);
    lab.client.approve(found.approvals[0].id, None).await.unwrap();
    assert_eq!(lab.ended(waiting.summary.id).await.output.as_deref(), Some("It was added."));
}

#[tokio::test]
async fn open_approvals_are_listed_in_pages_and_by_what_they_belong_to() {
    let lab = Lab::new().await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(lab.waiting().await);
    }
    let newest: Vec<_> = waiting.iter().rev().map(|r| r.approvals[0].clone()).collect();
    let (mut seen, mut page) = (Vec::new(), PageQuery { limit: Some(2), cursor: None });
    loop {
        let query = ApprovalQuery { page: page.clone(), ..ApprovalQuery::default() };
        let answer = lab.client.approvals(&query).await.unwrap();
        assert!(answer.items.len() <= 2);
        seen.extend(answer.items);
        page.cursor = answer.next;
        if page.cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, newest);
    let list = async |query: ApprovalQuery| lab.client.approvals(&query).await.unwrap().items;
    let all = ApprovalQuery::default;
    assert_eq!(list(ApprovalQuery { run: Some(newest[1].run), ..all() }).await, newest[1..2]);
    assert_eq!(list(ApprovalQuery { session: Some(newest[2].session.into()), ..all() }).await, newest[2..]);
    assert_eq!(list(ApprovalQuery { agent: Some("asking".into()), ..all() }).await, newest);
    assert!(list(ApprovalQuery { agent: Some("hello".into()), ..all() }).await.is_empty());
    problem(lab.get("/v1/approvals?cursor=abc").await, 400, "ST0201").await;
    problem(lab.get("/v1/approvals?limit=501").await, 400, "ST0201").await;
    problem(lab.get("/v1/approvals?waiting=1").await, 400, "ST0201").await;
}
