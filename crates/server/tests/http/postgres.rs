//! The same server over PostgreSQL.

use serde_json::{Value, json};
use stead_server::{config::DatabaseUrl, serve::Server};
use stead_testkit::postgres::TestPostgres;

use crate::lab::{Lab, config, problem, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_over_postgresql_runs_asks_streams_and_goes_on_after_a_restart() {
    let database = TestPostgres::start();
    let url = DatabaseUrl::new(&database.url());
    let lab = Lab::with(|c| c.database.clone_from(&url)).await;
    assert_eq!(lab.client.status().await.unwrap().store, "postgres");
    assert_eq!(lab.get("/readyz").await.status(), 200);
    assert!(lab.dir.path().join("data/keys/blob.key").is_file());
    assert!(!lab.dir.path().join("data/stead.db").exists());

    lab.hello().await;
    let run = lab.start("hello").await;
    assert_eq!(lab.ended(run).await.output.as_deref(), Some("Hello there, friend."));
    let first = lab.client.start_run(&start("hello"), Some("k")).await.unwrap();
    assert!(lab.client.start_run(&start("hello"), Some("k")).await.unwrap().existing);
    lab.ended(first.run).await;
    let text = lab.get(&format!("/v1/runs/{run}/stream")).await.text().await.unwrap();
    assert!(text.contains("event: fact") && text.contains("event: end"), "{text}");
    let page: Value = lab.get("/v1/runs?limit=1").await.json().await.unwrap();
    assert!(page["next"].is_string(), "{page}");
    // Texts that PostgreSQL itself would not take.
    let odd = lab.post("/v1/runs", &json!({"agent": "hello", "input": "a\u{0}b"})).await;
    assert_eq!(odd.status(), 201);
    let odd: stead_api::run::Started = odd.json().await.unwrap();
    lab.ended(odd.run).await;
    let facts = lab.client.facts(odd.run, &Default::default()).await.unwrap().items;
    assert_eq!(facts[0].text.as_deref(), Some("a\u{0}b"));
    problem(lab.get("/v1/agents/a%00b").await, 404, "ST0202").await;

    let waiting = lab.waiting().await;
    let dir = lab.stop().await;
    let mut settings = config(dir.path());
    settings.database.clone_from(&url);
    let lab = Lab::over(dir, settings).await;
    lab.client.approve(waiting.approvals[0].id, None).await.unwrap();
    assert_eq!(lab.ended(waiting.summary.id).await.output.as_deref(), Some("It was added."));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_does_not_answer_is_told_without_its_password() {
    let mut database = TestPostgres::start();
    let url = database.url().replace("postgres@", "postgres:hunter2@");
    database.crash();
    let dir = tempfile::tempdir().unwrap();
    let mut settings = config(dir.path());
    settings.database = DatabaseUrl::new(&url);
    assert!(!format!("{settings:?}").contains("hunter2"));
    let error = Server::open(settings).await.unwrap_err();
    assert_eq!(error.code().to_string(), "ST0145");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_database_is_gone_says_so_and_lives_on() {
    let mut database = TestPostgres::start();
    let url = DatabaseUrl::new(&database.url());
    let lab = Lab::with(|c| c.database = url).await;
    let waiting = lab.waiting().await;
    let approval = waiting.approvals[0].id;
    database.crash();
    problem(lab.get("/readyz").await, 503, "ST0145").await;
    problem(lab.get("/v1/runs").await, 503, "ST0145").await;
    // It is not told as missing what cannot be looked up.
    problem(lab.get(&format!("/v1/approvals/{approval}")).await, 503, "ST0145").await;
    problem(lab.post(&format!("/v1/approvals/{approval}/approve"), &json!({})).await, 503, "ST0145").await;
    assert_eq!(lab.get("/healthz").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_in_memory_cannot_be_stopped_while_the_database_is_gone_and_whoever_asks_is_told_so() {
    let mut database = TestPostgres::start();
    let url = DatabaseUrl::new(&database.url());
    let lab = Lab::with(|c| c.database = url).await;
    lab.apply(
        "stead: v1\nname: slow\nmodel: { rehearsal: ./script.yaml }\ninstructions: Think.\n",
        &[("./script.yaml", "rules:\n  - say: \"At last.\"\n    delay: 10m\n")],
    )
    .await;
    lab.hello().await;
    let run = lab.start("slow").await;
    tokio::task::block_in_place(|| database.crash());
    // What met the dying connection is of unknown fate; from the first that found none on, nothing is.
    while lab.post("/v1/runs", &json!({"agent": "hello", "input": "x"})).await.json::<Value>().await.unwrap()["code"]
        != "ST0145"
    {}
    for verb in ["pause", "cancel", "kill"] {
        let told = problem(lab.post(&format!("/v1/runs/{run}/{verb}"), &json!({})).await, 503, "ST0145").await;
        assert_eq!(told.to_string().contains("not acknowledged"), verb != "pause", "{told}");
    }
    tokio::task::block_in_place(|| database.resume());
    // Asked again, it is recorded; the server may need a moment to find its database.
    while lab.client.kill(run).await.is_err() {}
    assert_eq!(lab.ended(run).await.summary.status, stead_api::run::Status::Cancelled);
}
