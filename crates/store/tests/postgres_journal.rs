//! The journal's promises, kept by the PostgreSQL store: one server, and a schema of its own for each case.

use std::{any::Any, sync::Arc};

use stead_ports::conformance::{Case, JOURNAL};
use stead_store::{BlobKey, PgOptions, PgStore};
use stead_testkit::postgres::TestPostgres;
use tokio::{sync::Semaphore, task::JoinSet};

/// Cases at the same time; each has some connections.
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_of_the_journal_holds_on_postgresql() {
    let server = TestPostgres::start();
    let (url, turns) = (Arc::new(server.url()), Arc::new(Semaphore::new(AT_ONCE)));
    let mut cases = JoinSet::new();
    for (n, case) in JOURNAL.iter().copied().enumerate() {
        let (url, turns) = (url.clone(), turns.clone());
        cases.spawn(async move {
            let _turn = turns.acquire_owned().await.expect("never closed");
            let result = tokio::spawn(async move { run(&url, n, case).await }).await;
            result.map_err(|e| format!("{}: {}", case.name, e.try_into_panic().map_or("cancelled".into(), said)))
        });
    }
    let failed: Vec<String> = cases.join_all().await.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{} of {} cases failed:\n{}", failed.len(), JOURNAL.len(), failed.join("\n"));
}

async fn run(url: &str, n: usize, case: Case) {
    let options = PgOptions { schema: format!("case_{n}"), readers: 4, ..PgOptions::new(BlobKey::from_bytes([7; 32])) };
    let store = PgStore::connect(url, options).await.expect("connects to the test's own server");
    (case.run)(&store).await;
}

fn said(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("panicked").to_owned()
}
