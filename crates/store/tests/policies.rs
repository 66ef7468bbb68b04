//! Both stores keep the port of policy sets, and a backup carries them from one to the other.
#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use stead_core::{code, id::Name, time::Timestamp};
use stead_ports::{
    journal::{Backup, BackupAsk, Journal},
    policies::{Confirmed, NewPolicy, PolicyRow, PolicyStore},
};
use stead_store::{BlobKey, Checker, PgOptions, PgRestore, PgStore, Reader, SqliteOptions, SqliteRestore, SqliteStore};
use stead_testkit::postgres::TestPostgres;

stead_testkit::stores_pass!(policies_cases, POLICIES, the_shared_store_passes_the_suite_of_policy_sets);

async fn whole(mut pieces: Backup) -> Vec<u8> {
    let mut backup = Vec::new();
    while let Some(piece) = pieces.recv().await {
        backup.extend(piece.unwrap());
    }
    backup
}

fn ask() -> BackupAsk {
    BackupAsk { taken: Timestamp(1), key: true, release: "test".into(), cassettes: None, seal: None }
}

async fn everything(sets: &dyn PolicyStore, tenant: &Name) -> Vec<PolicyRow> {
    let mut kept = Vec::new();
    for epoch in 1..=3 {
        kept.push(sets.policy(tenant, epoch).await.unwrap().unwrap());
    }
    kept
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_carries_policy_sets_between_both_stores() {
    let (dir, tenant) = (tempfile::tempdir().unwrap(), Name::from("acme"));
    let store = SqliteStore::open(&dir.path().join("first"), SqliteOptions::default()).unwrap();
    for (n, proposed) in [(1, false), (2, true), (3, true)] {
        let set = NewPolicy {
            tenant: tenant.clone(),
            digest: [n; 32],
            body: Bytes::from(vec![n; 100_000]),
            by: "ann".into(),
            at: Timestamp(5),
            rollback: (n == 3).then_some(1),
            proposed,
        };
        store.put_policy(set).await.unwrap();
    }
    assert_eq!(store.confirm_policy(&tenant, 2, &"bob".into(), Timestamp(6)).await.unwrap(), Confirmed::Done);
    let kept = everything(&store, &tenant).await;

    let backup = whole(store.backup(ask()).await.unwrap()).await;
    let mut reader = Reader::open(&backup[..]).unwrap();
    let key = BlobKey::of_backup(reader.head(), None, None).unwrap();
    let server = TestPostgres::start();
    let options = PgOptions::new(key.clone());
    let restore = PgRestore::begin(&server.url(), options.clone(), reader.head(), None).await.unwrap();
    let mut checker = Checker::new(Some(key.clone()));
    while let Some(chunk) = reader.next_chunk().unwrap() {
        restore.fill(&chunk, &mut checker).await.unwrap();
    }
    restore.fence(reader.head(), checker, Timestamp(1)).await.unwrap();
    restore.finish().await.unwrap();
    let shared = PgStore::connect(&server.url(), options.clone()).await.unwrap();
    assert_eq!(everything(&shared, &tenant).await, kept);
    let taken = PgRestore::begin(&server.url(), options, reader.head(), None).await.err().map(|e| e.code);
    assert_eq!(taken, Some(code::RESTORE_TARGET), "policy sets alone are data that nobody may lose");

    let backup = whole(shared.backup(ask()).await.unwrap()).await;
    let mut reader = Reader::open(&backup[..]).unwrap();
    let restore = SqliteRestore::begin(&dir.path().join("second")).unwrap();
    restore.fill(&mut reader, &key, Timestamp(1)).unwrap();
    restore.finish().unwrap();
    let second = SqliteStore::open(&dir.path().join("second"), SqliteOptions::default()).unwrap();
    assert_eq!(everything(&second, &tenant).await, kept);
}
