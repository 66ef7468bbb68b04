//! Both stores keep what operators turn off, and a backup carries it from one to the other.
#![expect(clippy::unwrap_used, reason = "tests")]

use stead_core::time::Timestamp;
use stead_ports::{
    journal::{Backup, BackupAsk, Journal as _},
    switches::{NewSwitch, SwitchStore as _, What},
};
use stead_store::{BlobKey, Checker, PgOptions, PgRestore, PgStore, Reader, SqliteOptions, SqliteStore};
use stead_testkit::postgres::TestPostgres;

stead_testkit::stores_pass!(switches_cases, SWITCHES, the_shared_store_passes_the_suite_of_switches);

async fn whole(mut pieces: Backup) -> Vec<u8> {
    let mut backup = Vec::new();
    while let Some(piece) = pieces.recv().await {
        backup.extend(piece.unwrap());
    }
    backup
}

/// A restore that turned everything on again would start what somebody had stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_carries_switches_to_the_other_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&dir.path().join("first"), SqliteOptions::default()).unwrap();
    for (what, on) in [(What::Tool, false), (What::Runs, false), (What::Tool, true)] {
        let (tenant, name, by, at) = ("acme".into(), "refund".into(), "ann".into(), Timestamp(5));
        store.put_switch(NewSwitch { tenant, what, name, on, by, at, reason: "twice".into() }).await.unwrap();
    }
    store.switch_heard(2).await.unwrap();
    let kept = store.switches(0, 10).await.unwrap();
    assert_eq!(kept.len(), 3);

    let ask = BackupAsk { taken: Timestamp(1), key: true, release: "test".into(), cassettes: None, seal: None };
    let backup = whole(store.backup(ask).await.unwrap()).await;
    let mut reader = Reader::open(&backup[..]).unwrap();
    let key = BlobKey::of_backup(reader.head(), None, None).unwrap();
    let server = TestPostgres::start();
    let options = PgOptions::new(key.clone());
    let restore = PgRestore::begin(&server.url(), options.clone(), reader.head(), None).await.unwrap();
    let mut checker = Checker::new(Some(key));
    while let Some(chunk) = reader.next_chunk().unwrap() {
        restore.fill(&chunk, &mut checker).await.unwrap();
    }
    restore.fence(reader.head(), checker, Timestamp(1)).await.unwrap();
    restore.finish().await.unwrap();
    let shared = PgStore::connect(&server.url(), options).await.unwrap();
    assert_eq!(shared.switches(0, 10).await.unwrap(), kept);
}
