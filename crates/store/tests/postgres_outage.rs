//! What the PostgreSQL store does when its server goes away, when two owners meet, and when the database is not its own.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use common::{append, noise, run};
use futures_util::future::join_all;
use stead_core::{code, id::RunId, time::Span};
use stead_ports::journal::{AppendError, Journal as _};
use stead_store::{BlobKey, FORMAT, PgOptions, PgStore};
use stead_testkit::postgres::TestPostgres;
use tokio::sync::mpsc;

fn options() -> PgOptions {
    PgOptions::new(BlobKey::from_bytes([7; 32]))
}

async fn connect(server: &TestPostgres) -> Arc<PgStore> {
    Arc::new(PgStore::connect(&server.url(), options()).await.unwrap())
}

/// Appends `count` records as an owner does: after an unknown result it reads the tail, after a refusal it tries again.
async fn write(store: Arc<PgStore>, run: RunId, epoch: u64, count: u64, told: mpsc::UnboundedSender<()>) {
    let mut seq = 0;
    while seq < count {
        match store.append(append(run, seq, epoch, noise(600, seq))).await {
            Ok(()) => {
                seq += 1;
                told.send(()).unwrap();
            }
            Err(AppendError::Unavailable(_)) => {}
            Err(AppendError::Unknown(_)) => {
                seq = loop {
                    if let Ok(records) = store.read(run, 0, 10_000).await {
                        break records.len() as u64;
                    }
                }
            }
            Err(other) => panic!("{run} at {seq}: {other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_the_server_neither_loses_nor_doubles_an_append() {
    const RUNS: u64 = 20;
    const RECORDS: u64 = 60;
    let mut server = TestPostgres::start();
    let store = connect(&server).await;
    let epoch = store.acquire("test", Span::from_secs(600)).await.unwrap().epoch;
    let (told, mut acks) = mpsc::unbounded_channel();
    let writers: Vec<_> =
        (1..=RUNS).map(|n| tokio::spawn(write(store.clone(), run(n), epoch, RECORDS, told.clone()))).collect();
    drop(told);
    for _ in 0..3 {
        for _ in 0..RUNS * RECORDS / 5 {
            acks.recv().await.unwrap();
        }
        tokio::task::block_in_place(|| {
            server.crash();
            server.resume();
        });
    }
    for writer in writers {
        writer.await.unwrap();
    }
    for n in 1..=RUNS {
        let records = store.read(run(n), 0, 10_000).await.unwrap();
        assert_eq!(records.len() as u64, RECORDS);
        for (seq, r) in (0..).zip(records) {
            assert_eq!((r.seq, r.bytes), (seq, noise(600, seq)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stays_away_is_told_and_nothing_hangs() {
    let mut server = TestPostgres::start();
    let store = connect(&server).await;
    let epoch = store.acquire("test", Span::from_secs(600)).await.unwrap().epoch;
    store.append(append(run(1), 0, epoch, "a")).await.unwrap();
    tokio::task::block_in_place(|| server.crash());
    // The first may have met the dying connection; then its result is unknown. The second found none.
    let results =
        [store.append(append(run(1), 1, epoch, "b")).await, store.append(append(run(1), 1, epoch, "b")).await];
    let told = |e: &AppendError| matches!(e, AppendError::Unavailable(e) if e.code == code::DATA_UNREACHABLE);
    assert!(results[1].as_ref().is_err_and(told), "{results:?}");
    assert_eq!(store.run(run(1)).await.unwrap_err().code, code::DATA_UNREACHABLE);
    assert_eq!(PgStore::connect(&server.url(), options()).await.map(drop).unwrap_err().code, code::DATA_UNREACHABLE);
    tokio::task::block_in_place(|| server.resume());
    assert_eq!(store.append(append(run(1), 1, epoch, "b")).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_renews_keeps_the_database_and_one_that_ends_leaves_it() {
    let server = TestPostgres::start();
    let (a, b) = (connect(&server).await, connect(&server).await);
    let ttl = Span::from_millis(500);
    let lease = a.acquire("the first", ttl).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let renewing = tokio::spawn({
        let (a, stop) = (a.clone(), stop.clone());
        async move {
            while !stop.load(Ordering::SeqCst) {
                a.renew(lease, ttl).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    let refused = b.acquire("the second", ttl).await.unwrap_err();
    assert_eq!(refused.code, code::DATA_LOCKED);
    assert!(refused.detail.contains("the first"), "{refused}");
    stop.store(true, Ordering::SeqCst);
    renewing.await.unwrap();
    a.release(lease).await.unwrap();
    let second = b.acquire("the second", ttl).await.unwrap();
    assert!(second.epoch > lease.epoch);
    // Nobody renews any more: the next waits for the end and takes over.
    let third = a.acquire("the third", ttl).await.unwrap();
    assert!(third.epoch > second.epoch);
    assert_eq!(b.renew(second, ttl).await.unwrap_err().code, code::DATA_LOCKED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_former_owner_arrives_after_the_new_one_has_begun() {
    const RUNS: u64 = 50;
    let server = TestPostgres::start();
    let (old, new) = (connect(&server).await, connect(&server).await);
    let epoch = old.acquire("old", Span(1)).await.unwrap().epoch;
    let writers: Vec<_> = (1..=RUNS)
        .map(|n| {
            let old = old.clone();
            tokio::spawn(async move {
                for seq in 0.. {
                    if let Err(refusal) = old.append(append(run(n), seq, epoch, "x")).await {
                        return (seq, refusal);
                    }
                }
                unreachable!("the loop has no other end")
            })
        })
        .collect();
    while old.read(run(RUNS), 0, 10).await.unwrap().len() < 5 {}
    let lease = new.acquire("new", Span::from_secs(600)).await.unwrap();
    let tails = join_all((1..=RUNS).map(|n| new.read(run(n), 0, 10_000))).await;
    let tails: Vec<u64> = tails.into_iter().map(|t| t.unwrap().len() as u64).collect();
    // The memory of the old one is of another time; that of the new one is right.
    for (n, tail) in (1..).zip(&tails) {
        assert_eq!(new.append(append(run(n), *tail, lease.epoch, "y")).await, Ok(()));
    }
    for (writer, tail) in writers.into_iter().zip(&tails) {
        let (acknowledged, refusal) = writer.await.unwrap();
        assert_eq!(refusal, AppendError::Fenced { current: lease.epoch });
        assert_eq!(acknowledged, *tail);
    }
    // Nor does it know, when it owns again, what it knew before.
    new.release(lease).await.unwrap();
    let again = old.acquire("old", Span::from_secs(600)).await.unwrap();
    assert_eq!(
        old.append(append(run(1), tails[0], again.epoch, "z")).await,
        Err(AppendError::Conflict { next: tails[0] + 1 })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_its_own_is_refused() {
    let server = TestPostgres::start();
    let refused = async |options: PgOptions| PgStore::connect(&server.url(), options).await.map(drop).unwrap_err().code;
    connect(&server).await;
    assert_eq!(refused(PgOptions::new(BlobKey::from_bytes([8; 32]))).await, code::DATA_DAMAGED);
    for schema in ["", "Stead", "a;b", "pg_stead", &"a".repeat(49)] {
        assert_eq!(refused(PgOptions { schema: schema.into(), ..options() }).await, code::CONFIG, "{schema}");
    }
    let (client, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("CREATE SCHEMA theirs; CREATE TABLE theirs.t (x int)").await.unwrap();
    assert_eq!(refused(PgOptions { schema: "theirs".into(), ..options() }).await, code::DATA_DAMAGED);
    let newer = (FORMAT + 1).to_string();
    client.execute("UPDATE stead.meta SET value = $1 WHERE key = 'format'", &[&newer]).await.unwrap();
    assert_eq!(refused(options()).await, code::DATA_NEWER);
    let nobody = server.url().replace("/postgres", "/nothing-there").replacen("//nothing-there", "//postgres", 1);
    let error = PgStore::connect(&nobody, options()).await.map(drop).unwrap_err();
    assert_eq!(error.code, code::DATA_UNREACHABLE, "{error}");
}
