//! Backups through the API, and out of one store into the other.

use std::{io::Cursor, path::PathBuf};

use futures_util::TryStreamExt as _;
use serde_json::json;
use stead_api::{
    right::Right,
    run::StartRun,
    usage::{UsageBy, UsageReport},
    version::Versions,
};
use stead_client::{Client, UsageQuery};
use stead_core::{code, fact::AskReason, id::RunId};
use stead_server::{
    backup::{Shut, Summary, Target, restore, verify},
    config::DatabaseUrl,
};
use stead_testkit::postgres::TestPostgres;

use crate::lab::{HELLO, Lab, apply, config, entry_for, problem, start};

async fn taken(client: &Client) -> Vec<u8> {
    let pieces: Vec<_> = client.backup(true).await.unwrap().try_collect().await.unwrap();
    pieces.concat()
}

/// The keys of its persons, in a file of that folder.
async fn keys_of(client: &Client, dir: &tempfile::TempDir) -> Option<PathBuf> {
    let path = dir.path().join("subject.keys");
    std::fs::write(&path, client.subject_keys().await.unwrap()).unwrap();
    Some(path)
}

/// What a server had before its backup.
struct Before {
    done: RunId,
    waiting: RunId,
    recorded: RunId,
    versions: Versions,
    usage: UsageReport,
    cassette: String,
}

async fn cassette(lab: &Lab, run: RunId) -> String {
    lab.get(&format!("/v1/runs/{run}/cassette")).await.text().await.unwrap()
}

async fn versions(lab: &Lab) -> Versions {
    lab.client.versions("hello").await.unwrap()
}

async fn usage(lab: &Lab) -> UsageReport {
    lab.client.usage(&UsageQuery { by: UsageBy::ALL.to_vec(), since: None, until: None }).await.unwrap()
}

/// A run of its own, one that waits for a human, a long text, and aliases of two versions with a history.
async fn busy(lab: &Lab) -> Before {
    let hello = lab.hello().await;
    let long = StartRun { input: "Hi, friend. ".repeat(1_000), ..start("hello") };
    let done = lab.client.start_run(&long, Some("once")).await.unwrap().run;
    lab.ended(done).await;
    let other = apply(HELLO, &[("./script.yaml", "rules: [{ say: Other }]")]);
    lab.client.apply_agent(&other).await.unwrap();
    lab.client.set_alias("hello", "canary", Some("live".into())).await.unwrap();
    lab.client.set_alias("hello", "gone", Some("live".into())).await.unwrap();
    lab.client.set_alias("hello", "gone", None).await.unwrap();
    assert_eq!(lab.client.rollback("hello", None).await.unwrap().version, Some(hello.version));
    let waiting = lab.waiting().await.summary.id;
    let recorded = lab.client.start_run(&StartRun { record: true, ..start("hello") }, None).await.unwrap().run;
    lab.ended(recorded).await;
    let cassette = cassette(lab, recorded).await;
    assert!(cassette.contains(r#""source":"recorded""#) && cassette.lines().count() == 2, "{cassette}");
    let (versions, usage) = (versions(lab).await, usage(lab).await);
    assert_eq!((versions.aliases.len(), versions.history.len(), usage.total.runs), (2, 6, 3));
    Before { done, waiting, recorded, versions, usage, cassette }
}

/// What a restored server must show.
async fn same(lab: &Lab, before: &Before, generation: u32) {
    let Before { done, waiting, .. } = *before;
    assert_eq!(lab.client.status().await.unwrap().generation, Some(generation));
    assert_eq!(versions(lab).await, before.versions);
    assert_eq!(usage(lab).await, before.usage);
    assert_eq!(cassette(lab, before.recorded).await, before.cassette);
    assert_eq!(lab.ended(done).await.output.as_deref(), Some("Hello there, friend."));
    let facts = lab.client.facts(done, &Default::default()).await.unwrap().items;
    assert_eq!(facts[0].text.as_deref(), Some("Hi, friend. ".repeat(1_000).as_str()));
    let paused = lab.client.run(waiting).await.unwrap();
    assert_eq!(paused.summary.status, stead_api::run::Status::Paused);
    assert_eq!(paused.approvals[0].reason, AskReason::Restored);
    let kinds: Vec<_> = lab.client.facts(waiting, &Default::default()).await.unwrap().items;
    assert!(kinds.iter().any(|f| f.fact.kind() == "restored"));
    lab.client.resume(waiting).await.unwrap();
    lab.client.approve(paused.approvals[0].id, None).await.unwrap();
    assert_eq!(lab.ended(waiting).await.output.as_deref(), Some("It was added."));
    // Where `live` goes back to, and what an alias names, are known as before.
    let canary = lab.start("hello@canary").await;
    assert_eq!(lab.ended(canary).await.output.as_deref(), Some("Other"));
    problem(lab.post("/v1/agents/hello/rollback", &json!({})).await, 409, "ST0216").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_either_store_is_restored_into_either() {
    let database = TestPostgres::start();
    let url = DatabaseUrl::new(&database.url());
    let lab = Lab::new().await;
    let before = busy(&lab).await;
    let sqlite = taken(&lab.client).await;
    let apart = tempfile::tempdir().unwrap();
    let subject_keys = keys_of(&lab.client, &apart).await;
    // The chain is proven without keys of persons, and with them all of it, addresses too.
    let shut = verify(Cursor::new(sqlite.clone()), None, None).unwrap();
    assert_eq!((shut.summary.runs, shut.shut.runs().count()), (3, 3));
    let whole = verify(Cursor::new(sqlite.clone()), None, subject_keys.as_deref()).unwrap();
    assert_eq!(whole.shut, Shut::default());
    let summary = whole.summary;
    assert_eq!((shut.summary.addresses, shut.head.has_key()), (false, false));
    assert_eq!(Summary { addresses: true, ..shut.summary }, summary);
    assert_eq!((summary.runs, summary.unfinished, summary.addresses, summary.cassettes), (3, 1, true, 1));
    assert!(summary.blobs > 0);
    lab.stop().await;

    // SQLite to PostgreSQL.
    let dir = tempfile::tempdir().unwrap();
    let mut settings = config(dir.path());
    settings.database.clone_from(&url);
    let target = Target {
        data_dir: settings.data_dir.clone(),
        database: url.clone(),
        subject_keys: subject_keys.clone(),
        ..Target::default()
    };
    let bare = Target { subject_keys: None, ..target.clone() };
    let refused = restore(Cursor::new(sqlite.clone()), bare).await.unwrap_err();
    assert_eq!(refused.code(), code::BACKUP_SEALED);
    let told = restore(Cursor::new(sqlite.clone()), target.clone()).await.unwrap();
    assert_eq!((told.generation, told.marked.paused), (2, 1));
    let error = restore(Cursor::new(sqlite), target).await.unwrap_err();
    assert_eq!(error.code(), code::RESTORE_TARGET);
    let lab = Lab::over(dir, settings).await;
    let postgres = taken(&lab.client).await;
    // Those that were brought along are the new store's.
    let subject_keys = keys_of(&lab.client, &apart).await;
    same(&lab, &before, 2).await;
    lab.stop().await;

    // And back.
    let dir = tempfile::tempdir().unwrap();
    let settings = config(dir.path());
    let target = Target { data_dir: settings.data_dir.clone(), subject_keys, ..Target::default() };
    let told = restore(Cursor::new(postgres), target).await.unwrap();
    assert_eq!((told.generation, told.head.store.as_str()), (3, "postgres"));
    same(&Lab::over(dir, settings).await, &before, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_half_restored_is_not_served_and_is_restored_anew() {
    let database = TestPostgres::start();
    let url = DatabaseUrl::new(&database.url());
    let lab = Lab::new().await;
    busy(&lab).await;
    let backup = taken(&lab.client).await;
    let apart = tempfile::tempdir().unwrap();
    let subject_keys = keys_of(&lab.client, &apart).await;
    lab.stop().await;
    let dir = tempfile::tempdir().unwrap();
    let mut settings = config(dir.path());
    settings.database.clone_from(&url);
    let target = Target { data_dir: settings.data_dir.clone(), database: url, subject_keys, ..Target::default() };
    let cut = Cursor::new(backup[..backup.len() - 10].to_vec());
    assert_eq!(restore(cut, target.clone()).await.unwrap_err().code(), code::BACKUP_DAMAGED);
    let error = stead_server::serve::Server::open(settings.clone()).await.unwrap_err();
    assert_eq!(error.code(), code::DATA_RESTORING);
    restore(Cursor::new(backup), target).await.unwrap();
    Lab::over(dir, settings).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_needs_the_right_to_everything() {
    let others = Right::ALL.into_iter().filter(|r| *r != Right::Admin).collect::<Vec<_>>();
    let (plain, admin) = ("p".repeat(43), "a".repeat(43));
    let tokens = vec![entry_for(&plain, "ann", "default", &others), entry_for(&admin, "ops", "other", &[Right::Admin])];
    let lab = Lab::with(|c| c.auth.tokens = tokens).await;
    busy(&lab).await;
    let ask = |token: &str| lab.bare(reqwest::Method::GET, "/v1/backup?key=false").bearer_auth(token.to_owned()).send();
    problem(ask(&plain).await.unwrap(), 403, "ST0209").await;
    let keys = lab.bare(reqwest::Method::GET, "/v1/backup/subject-keys").bearer_auth(plain.clone()).send();
    problem(keys.await.unwrap(), 403, "ST0209").await;
    let answer = ask(&admin).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/vnd.stead.backup");
    assert!(answer.headers()["link"].to_str().unwrap().starts_with("</v1/backup/subject-keys>;"));
    let found = verify(Cursor::new(answer.bytes().await.unwrap().to_vec()), None, None).unwrap();
    assert_eq!((found.summary.runs, found.head.has_key()), (3, false), "of all tenants, and without the key");
}
