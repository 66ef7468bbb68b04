//! Keys of persons in both stores: what a file of keys tells of those that are destroyed, and which of them an erasure takes.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use all of it")]
mod common;

use std::{path::Path, sync::Arc};

use common::{append, run};
use stead_core::{
    code,
    fact::Fact,
    id::ActivationId,
    record::{Actor, Header, Record, VERSION},
    run::GENESIS,
    time::{Span, Timestamp},
};
use stead_ports::{
    erasure::{Erasure, ErasureStore},
    journal::{Append, BackupAsk, Journal},
    objects::Leads,
};
use stead_store::{BlobKey, KeySet, PgOptions, PgRestore, PgStore, Reader, SqliteOptions, SqliteRestore, SqliteStore};
use stead_testkit::postgres::TestPostgres;

/// When the run of ada began, as [`append`] has it.
const BEGAN: Timestamp = Timestamp(1_000_000);
/// When a backup made her key.
const MADE: Timestamp = Timestamp(3_000_000);

/// A sealed backup of a store in which ada had a run.
async fn worked(store: &dyn Journal) -> Vec<u8> {
    let lease = store.acquire("test", Span::from_secs(600)).await.unwrap();
    let header = Header {
        v: VERSION,
        run: run(1),
        seq: 0,
        at: BEGAN,
        activation: ActivationId(1),
        epoch: lease.epoch,
        tenant: common::TENANT.into(),
        actor: Actor::Runtime,
        salt: [1; 16],
        subject_key: None,
    };
    let encoded = Record { header, facts: vec![Fact::Paused], payloads: Vec::new() }.encode(GENESIS);
    let mut first = Append { leaf: encoded.leaf, ..append(run(1), 0, lease.epoch, encoded.bytes) };
    let create = first.index.as_mut().unwrap().create.as_mut().unwrap();
    (create.user, create.title) = (Some("ada".into()), "what ada asked".into());
    store.append(first).await.unwrap();
    backup(store).await
}

async fn backup(store: &dyn Journal) -> Vec<u8> {
    let seal = Some(Leads(Arc::new(|_, _| Vec::new())));
    let ask = BackupAsk { taken: MADE, key: true, release: "test".into(), cassettes: None, seal };
    let (mut pieces, mut whole) = (store.backup(ask).await.unwrap(), Vec::new());
    while let Some(piece) = pieces.recv().await {
        whole.extend(piece.unwrap());
    }
    whole
}

async fn keys(store: &dyn Journal) -> KeySet {
    KeySet::from_bytes(Path::new("keys"), &store.subject_keys(MADE).await.unwrap()).unwrap()
}

fn erasure(store: &dyn ErasureStore, id: u128, at: i64) -> Erasure {
    let tenant = common::TENANT.into();
    let subject = store.pseudonym(&tenant, &"ada".into());
    let (confirmed_by, certificate) = (None, None);
    let (by, at, runs) = ("op".into(), Timestamp(at), vec![run(1)]);
    Erasure { id, tenant, subject, by, at, runs, proposed: false, confirmed_by, certificate }
}

async fn only_keys_of_before_go_with_an_erasure_that_is_done_again(journal: &dyn Journal, store: &dyn ErasureStore) {
    worked(journal).await;
    assert_eq!(keys(journal).await.len(), 3, "hers, her tenant's, and that of no tenant");
    // It was done when there was no key yet. The one of now has her later texts.
    let old = erasure(store, 1, MADE.0 - 1);
    let again = Erasure { certificate: Some("a note".into()), ..old.clone() };
    assert!(store.begin_erasure(again.clone(), Some("ada".into()), Vec::new()).await.unwrap());
    // One that has begun does not begin again, and takes no key on the way.
    let now = Erasure { certificate: None, at: Timestamp(i64::MAX), ..again };
    assert!(!store.begin_erasure(now, Some("ada".into()), Vec::new()).await.unwrap());
    assert_eq!(store.destroy_keys(&erasure(store, 3, i64::MAX)).await.unwrap(), 0);
    assert_eq!(store.destroy_keys(&old).await.unwrap(), 0);
    assert_eq!(keys(journal).await.len(), 3);
    store.finish_erasure(1, "a note".into()).await.unwrap();
    // One that is asked for takes whatever there is: clocks of servers are not the same.
    let live = erasure(store, 2, MADE.0 - 1);
    assert!(store.begin_erasure(live.clone(), Some("ada".into()), Vec::new()).await.unwrap());
    assert_eq!(store.destroy_keys(&live).await.unwrap(), 1);
    assert_eq!(keys(journal).await.len(), 2);
}

/// Restores with these keys, and gives those that the restored store has then.
async fn restored(backup: &[u8], set: &KeySet, into: &Path) -> KeySet {
    let mut reader = Reader::open(backup).unwrap();
    reader.open_with(Some(set), true).unwrap();
    let key = reader.blob_key(None, None).unwrap();
    let restore = SqliteRestore::begin(into).unwrap();
    restore.fill(&mut reader, &key, MADE).unwrap();
    assert_eq!(reader.shut().runs().collect::<Vec<_>>(), [run(1)], "her title has no key");
    restore.finish().unwrap();
    keys(&SqliteStore::open(into, SqliteOptions::default()).unwrap()).await
}

async fn what_is_destroyed_is_told_before_there_is_a_certificate(journal: &dyn Journal, store: &dyn ErasureStore) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys");
    let backup = worked(journal).await;
    keys(journal).await.write(&file).unwrap();
    let erasure = erasure(store, 1, MADE.0);
    assert!(store.begin_erasure(erasure.clone(), Some("ada".into()), Vec::new()).await.unwrap());
    assert_eq!(store.destroy_keys(&erasure).await.unwrap(), 1);
    // Its certificate is not there yet.
    let now = keys(journal).await;
    assert_eq!((now.len(), now.certificates().len()), (2, 0));
    now.write(&file).unwrap();
    // The restored store knows nothing of the erasure, and tells of the key all the same.
    let then = restored(&backup, &now, &dir.path().join("restored")).await;
    then.write(&file).unwrap();
    restored(&backup, &then, &dir.path().join("again")).await;
}

/// The key of addresses is not in a sealed backup, which is read by nobody who says nothing of what is sealed.
async fn a_sealed_backup_has_no_key_of_addresses(journal: &dyn Journal) {
    let backup = worked(journal).await;
    let mut reader = Reader::open(&backup[..]).unwrap();
    assert!(reader.head().is_sealed() && !reader.head().has_key() && !reader.has_key());
    assert_eq!(reader.blob_key(None, None).unwrap_err().code, code::BACKUP_KEY);
    assert_eq!(reader.next_chunk().unwrap_err().code, code::BACKUP_SEALED);
    reader.open_with(Some(&keys(journal).await), true).unwrap();
    assert!(reader.has_key());
    reader.blob_key(None, None).unwrap();
    reader.next_chunk().unwrap().unwrap();
}

async fn postgres(server: &TestPostgres, schema: &str) -> PgStore {
    let options = PgOptions { schema: schema.to_owned(), ..PgOptions::new(BlobKey::from_bytes([7; 32])) };
    PgStore::connect(&server.url(), options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_persons_go_as_erasures_say_in_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| SqliteStore::open(&dir.path().join(name), SqliteOptions::default()).unwrap();
    let store = open("first");
    only_keys_of_before_go_with_an_erasure_that_is_done_again(&store, &store).await;
    let store = open("second");
    what_is_destroyed_is_told_before_there_is_a_certificate(&store, &store).await;
    a_sealed_backup_has_no_key_of_addresses(&open("third")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_persons_go_as_erasures_say_in_postgresql() {
    let server = TestPostgres::start();
    let store = postgres(&server, "first").await;
    only_keys_of_before_go_with_an_erasure_that_is_done_again(&store, &store).await;
    let store = postgres(&server, "second").await;
    what_is_destroyed_is_told_before_there_is_a_certificate(&store, &store).await;
    let store = postgres(&server, "third").await;
    a_sealed_backup_has_no_key_of_addresses(&store).await;
    // And it can be restored there with the keys alone.
    let backup = backup(&store).await;
    let mut reader = Reader::open(&backup[..]).unwrap();
    reader.open_with(Some(&keys(&store).await), true).unwrap();
    let options = PgOptions { schema: "fourth".to_owned(), ..PgOptions::new(reader.blob_key(None, None).unwrap()) };
    let restore = PgRestore::begin(&server.url(), options, reader.head(), reader.keys()).await.unwrap();
    let mut checker = restore.checker();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        restore.fill(&chunk, &mut checker).await.unwrap();
    }
    restore.fence(reader.head(), checker, MADE).await.unwrap();
    restore.finish().await.unwrap();
    let restored = postgres(&server, "fourth").await;
    assert_eq!(restored.run(run(1)).await.unwrap().unwrap().title, "what ada asked");
}
