//! Both stores keep the port of directories, and a backup carries them from one to the other.
#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use stead_core::{id::Name, time::Timestamp};
use stead_ports::{
    journal::{BackupAsk, Journal},
    trust::{DirectoryRow, DirectoryStore},
};
use stead_store::{BlobKey, Checker, PgOptions, PgRestore, PgStore, Reader, SqliteOptions, SqliteRestore, SqliteStore};
use stead_testkit::postgres::TestPostgres;

stead_testkit::stores_pass!(directories_cases, DIRECTORIES, the_shared_store_passes_the_suite_of_directories);

async fn whole(store: &dyn Journal) -> Vec<u8> {
    let ask = BackupAsk { taken: Timestamp(1), key: true, release: "test".into(), cassettes: None, seal: None };
    let (mut pieces, mut backup) = (store.backup(ask).await.unwrap(), Vec::new());
    while let Some(piece) = pieces.recv().await {
        backup.extend(piece.unwrap());
    }
    backup
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_carries_directories_between_both_stores() {
    let (dir, tenant) = (tempfile::tempdir().unwrap(), Name::from("acme"));
    let store = SqliteStore::open(&dir.path().join("first"), SqliteOptions::default()).unwrap();
    for seq in 0..3 {
        let row = DirectoryRow { seq, body: Bytes::from(vec![7; 9_000]), by: "ann".into(), at: Timestamp(5) };
        assert!(store.add_entry(&tenant, row).await.unwrap());
    }
    let kept = store.entries(&tenant, 0, 10).await.unwrap();

    let backup = whole(&store).await;
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
    let shared = PgStore::connect(&server.url(), options).await.unwrap();
    assert_eq!(shared.entries(&tenant, 0, 10).await.unwrap(), kept);

    let backup = whole(&shared).await;
    let mut reader = Reader::open(&backup[..]).unwrap();
    let restore = SqliteRestore::begin(&dir.path().join("second")).unwrap();
    restore.fill(&mut reader, &key, Timestamp(1)).unwrap();
    restore.finish().unwrap();
    let second = SqliteStore::open(&dir.path().join("second"), SqliteOptions::default()).unwrap();
    assert_eq!(second.entries(&tenant, 0, 10).await.unwrap(), kept);
}
