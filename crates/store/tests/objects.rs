//! The objects port on both stores: each case on a store of its own. And that a backup has them.
#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use stead_core::{id::Name, time::Timestamp};
use stead_ports::{
    journal::{BackupAsk, Journal as _},
    objects::Objects as _,
};
use stead_store::{BlobKey, Reader, SqliteOptions, SqliteRestore, SqliteStore};

stead_testkit::stores_pass!(objects_cases, OBJECTS, every_case_of_objects_holds_on_postgresql);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_has_the_content_of_workspaces_and_proves_it() {
    let (dir, tenant) = (tempfile::tempdir().unwrap(), Name::from("acme"));
    let store = SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap();
    let contents = [Bytes::from_static(b"a file"), Bytes::from(vec![b'x'; 100_000])];
    store.put(&tenant, &contents, Timestamp(5)).await.unwrap();
    let ask = BackupAsk { taken: Timestamp(1), key: true, release: "test".into(), cassettes: None, seal: None };
    let mut pieces = store.backup(ask).await.unwrap();
    let mut backup = Vec::new();
    while let Some(piece) = pieces.recv().await {
        backup.extend(piece.unwrap());
    }
    let fill = |name: &str, key: &BlobKey| {
        let new = dir.path().join(name);
        let restore = SqliteRestore::begin(&new).unwrap();
        let filled = restore.fill(&mut Reader::open(&backup[..]).unwrap(), key, Timestamp(1));
        filled.and_then(|_| restore.finish()).map(|()| new)
    };
    assert!(fill("other", &BlobKey::from_bytes([1; 32])).is_err(), "each content is compared with its address");
    let head = Reader::open(&backup[..]).unwrap().head().clone();
    let new = fill("new", &BlobKey::of_backup(&head, None, None).unwrap()).unwrap();
    let back = SqliteStore::open(&new, SqliteOptions::default()).unwrap();
    let ids = contents.each_ref().map(|c| back.address(&tenant, c));
    assert_eq!(back.get(&tenant, &ids).await.unwrap(), contents.map(Some));
    assert_eq!(back.remove(&tenant, &ids, Timestamp(5)).await.unwrap(), 0, "holds are kept");
}
