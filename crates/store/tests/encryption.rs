//! Encryption at rest: with a key, both stores keep every promise of the ports; nothing that was said is in any file; a row that
//! is moved does not open; without the key nothing opens.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use all of it")]
mod common;

use std::{fs, path::Path};

use bytes::Bytes;
use common::{TENANT, append, run};
use stead_core::{
    code,
    id::{LeafHash, Name, RunId, VersionId},
    time::{Span, Timestamp},
};
use stead_ports::{
    conformance::{JOURNAL, OBJECTS, POLICIES},
    journal::{
        AliasMove, Append, BackupAsk, InboxRow, Journal, LIVE, Lease, MovedBy, NewBlob, RunFilter, Snapshot, Step,
        VersionRow,
    },
    objects::Objects,
    policies::{NewPolicy, PolicyStore},
};
use stead_store::{
    BlobKey, Checker, PgOptions, PgRestore, PgStore, Reader, Rotated, SqliteOptions, SqliteRestore, SqliteStore,
    WrappingKey,
};
use stead_testkit::postgres::TestPostgres;

/// What must not be readable.
const CANARY: &str = "canary-7f3a9b2c-said-in-confidence";

fn key(n: u8) -> WrappingKey {
    WrappingKey::from_bytes(&[n; 32])
}

fn options(n: u8) -> SqliteOptions {
    SqliteOptions { encrypt: Some(key(n)), ..SqliteOptions::default() }
}

fn opened(dir: &Path, n: u8) -> SqliteStore {
    SqliteStore::open(dir, options(n)).unwrap()
}

macro_rules! tests {
    ($($name:ident)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let dir = tempfile::tempdir().unwrap();
            stead_ports::conformance::$name(&opened(dir.path(), 1)).await;
        }
    )* };
}
mod journal {
    use super::*;
    stead_ports::journal_cases!(tests);
}
mod objects {
    use super::*;
    stead_ports::objects_cases!(tests);
}
mod policies {
    use super::*;
    stead_ports::policies_cases!(tests);
}
mod switches {
    use super::*;
    stead_ports::switches_cases!(tests);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_holds_on_postgresql_with_a_key() {
    let server = TestPostgres::start();
    let store = async |name: String| {
        let options = PgOptions {
            schema: name,
            readers: 4,
            encrypt: Some(key(1)),
            ..PgOptions::new(BlobKey::from_bytes([7; 32]))
        };
        PgStore::connect(&server.url(), options).await.unwrap()
    };
    for (n, case) in JOURNAL.iter().enumerate() {
        println!("{}", case.name);
        (case.run)(&store(format!("journal_{n}")).await).await;
    }
    for (n, case) in OBJECTS.iter().enumerate() {
        println!("{}", case.name);
        (case.run)(&store(format!("objects_{n}")).await).await;
    }
    for (n, case) in POLICIES.iter().enumerate() {
        println!("{}", case.name);
        (case.run)(&store(format!("policies_{n}")).await).await;
    }
}

/// A run that says it in every place where a store keeps a text; its blob is longer than a record may be.
async fn said<S: Journal + Objects + PolicyStore>(store: &S) -> (RunId, Lease) {
    let lease = store.acquire("test", Span::from_secs(60)).await.unwrap();
    let (run, tenant) = (run(1), Name::from(TENANT));
    let long = Bytes::from(CANARY.repeat(1_000));
    let blob = NewBlob { tenant: tenant.clone(), id: store.blob_id(&tenant, &long), content: long };
    let mut first = append(run, 0, lease.epoch, CANARY);
    first.blobs.push(blob);
    let index = first.index.as_mut().unwrap();
    index.create.as_mut().unwrap().title = CANARY.into();
    index.send.push(InboxRow { to: common::run(2), from: run, effect: 1, body: CANARY.into() });
    store.append(first).await.unwrap();
    store.append(append(run, 1, lease.epoch, format!("{CANARY} again"))).await.unwrap();
    let snapshot = Snapshot { seq: 1, leaf: LeafHash([0; 32]), version: 1, body: CANARY.into() };
    store.put_snapshot(run, snapshot).await.unwrap();
    let row = VersionRow {
        tenant: tenant.clone(),
        agent: "desk".into(),
        version: VersionId([9; 32]),
        body: CANARY.into(),
        created: Timestamp(1),
        live: false,
    };
    let live = AliasMove {
        tenant: tenant.clone(),
        agent: "desk".into(),
        alias: LIVE.into(),
        to: Some(VersionId([9; 32])),
        expect: None,
        at: Timestamp(1),
        by: "user:ada".into(),
        why: MovedBy::Apply,
        step: Step::Moved,
    };
    store.put_version(row, live).await.unwrap();
    store.put(&tenant, &[CANARY.into()], Timestamp(i64::MAX)).await.unwrap();
    store.put_policy(policy(&tenant)).await.unwrap();
    (run, lease)
}

fn policy(tenant: &Name) -> NewPolicy {
    NewPolicy {
        tenant: tenant.clone(),
        digest: [3; 32],
        body: CANARY.into(),
        by: "user:ada".into(),
        at: Timestamp(1),
        rollback: None,
        proposed: false,
    }
}

/// Everything of [`said`] is read as it was.
async fn heard<S: Journal + Objects + PolicyStore>(store: &S) {
    let (run, tenant) = (run(1), Name::from(TENANT));
    let records = store.read(run, 0, 10).await.unwrap();
    assert_eq!(
        records.iter().map(|r| &r.bytes[..]).collect::<Vec<_>>(),
        [CANARY.as_bytes(), format!("{CANARY} again").as_bytes()]
    );
    let opened = store.open(run, 10).await.unwrap().unwrap();
    assert_eq!((opened.row.title.as_str(), &opened.snapshot.unwrap().body[..]), (CANARY, CANARY.as_bytes()));
    let filter = RunFilter { tenant: tenant.clone(), limit: 9, ..RunFilter::default() };
    assert_eq!(store.runs(&filter).await.unwrap()[0].title, CANARY);
    assert_eq!(store.inbox(common::run(2)).await.unwrap()[0].body, CANARY);
    assert_eq!(store.version(&tenant, VersionId([9; 32])).await.unwrap().unwrap().body, CANARY);
    assert_eq!(store.aliased(&tenant, &"desk".into(), &LIVE.into()).await.unwrap().unwrap().body, CANARY);
    let long = CANARY.repeat(1_000);
    let blob = store.blob(&tenant, store.blob_id(&tenant, long.as_bytes())).await.unwrap();
    assert_eq!(blob.unwrap(), long);
    let object = store.get(&tenant, &[store.address(&tenant, CANARY.as_bytes())]).await.unwrap();
    assert_eq!(object, [Some(CANARY.into())]);
    assert_eq!(store.policy(&tenant, 1).await.unwrap().unwrap().body, CANARY);
}

/// Whether any file below the folder has it.
fn found(dir: &Path) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() { found(&path) } else { has(&fs::read(path).unwrap()) }
    })
}

fn has(bytes: &[u8]) -> bool {
    bytes.windows(CANARY.len()).any(|w| w == CANARY.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_said_is_in_any_file() {
    for encrypt in [None, Some(key(1))] {
        let (dir, sealed) = (tempfile::tempdir().unwrap(), encrypt.is_some());
        let store = SqliteStore::open(dir.path(), SqliteOptions { encrypt, ..SqliteOptions::default() }).unwrap();
        said(&store).await;
        heard(&store).await;
        // In the log, before it is copied into the database, and after.
        assert_eq!(found(dir.path()), !sealed, "a search that finds nothing anyway proves nothing");
        drop(store);
        assert_eq!(found(dir.path()), !sealed);
        let again = SqliteStore::open(dir.path(), if sealed { options(1) } else { SqliteOptions::default() }).unwrap();
        heard(&again).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_key_nothing_opens() {
    let dir = tempfile::tempdir().unwrap();
    let store = opened(dir.path(), 1);
    said(&store).await;
    drop(store);
    for options in [SqliteOptions::default(), options(2)] {
        let error = SqliteStore::open(dir.path(), options).unwrap_err();
        assert_eq!(error.code, code::DATA_KEY);
        assert!(error.detail.contains("STEAD_ENCRYPT"), "{error}");
    }
    heard(&opened(dir.path(), 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_before_stays_readable_and_what_comes_after_is_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path(), SqliteOptions::default()).unwrap();
    let (run, lease) = said(&store).await;
    drop(store);
    let store = opened(dir.path(), 1);
    heard(&store).await;
    store.append(append(run, 2, lease.epoch, "a late word that nobody shall see")).await.unwrap();
    assert_eq!(store.read(run, 2, 1).await.unwrap()[0].bytes, "a late word that nobody shall see");
    drop(store);
    let all = fs::read(dir.path().join("stead.db")).unwrap();
    assert!(!all.windows(11).any(|w| w == b"a late word") && has(&all));
}

/// Says statements to the database of a closed store.
fn tamper(dir: &Path, sql: &str) {
    let conn = rusqlite::Connection::open(dir.join("stead.db")).unwrap();
    conn.execute_batch(sql).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_stands_elsewhere_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let store = opened(dir.path(), 1);
    let (one, lease) = said(&store).await;
    let other = Append { tenant: "other".into(), ..append(run(3), 0, lease.epoch, "of another tenant") };
    let mut other = other;
    other.index.as_mut().unwrap().create.as_mut().unwrap().tenant = "other".into();
    other.index.as_mut().unwrap().create.as_mut().unwrap().title = "its title".into();
    store.append(other).await.unwrap();
    drop(store);
    tamper(
        dir.path(),
        "CREATE TEMP TABLE was AS SELECT * FROM records; CREATE TEMP TABLE r AS SELECT * FROM runs;
        UPDATE records SET body = (SELECT w.body FROM was w WHERE w.id != records.id ORDER BY w.id LIMIT 1);
        UPDATE runs SET title = (SELECT r.title FROM r WHERE r.rid != runs.rid);
        UPDATE snapshots SET seq = 0",
    );
    let store = opened(dir.path(), 1);
    for record in store.read(one, 0, 10).await.unwrap().iter().chain(&store.read(run(3), 0, 10).await.unwrap()) {
        assert!(record.bytes.starts_with(&[0xff]), "it stays as it is stored: {record:?}");
    }
    for id in [one, run(3)] {
        assert_eq!(store.run(id).await.unwrap().unwrap().title, "(cannot be decrypted)");
    }
    assert!(store.snapshot(one).await.unwrap().unwrap().body.starts_with(&[0xff]));
    // A text of one tenant, kept as another's.
    drop(store);
    tamper(
        dir.path(),
        "UPDATE versions SET tenant = 'other'; UPDATE objects SET tenant = 'other'; UPDATE policies SET tenant = 'other'",
    );
    let store = opened(dir.path(), 1);
    let other = Name::from("other");
    assert!(store.version(&other, VersionId([9; 32])).await.unwrap().unwrap().body.starts_with(&[0xff]));
    assert!(store.policy(&other, 1).await.unwrap().unwrap().body.starts_with(&[0xff]));
    let id = store.address(&Name::from(TENANT), CANARY.as_bytes());
    assert_eq!(store.get(&other, &[id]).await.unwrap_err().code, code::DATA_DAMAGED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_changes_both_keys_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = opened(dir.path(), 1);
    let (run, lease) = said(&store).await;
    assert_eq!(SqliteStore::rotate(dir.path(), &key(1), &key(2)).unwrap_err().code, code::DATA_LOCKED);
    drop(store);
    let rows = |dir: &Path| -> Vec<(i64, bool)> {
        let conn = rusqlite::Connection::open(dir.join("stead.db")).unwrap();
        let mut all = conn.prepare("SELECT id, current FROM data_keys ORDER BY current").unwrap();
        all.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap().map(Result::unwrap).collect()
    };
    let first = rows(dir.path());
    assert_eq!(SqliteStore::rotate(dir.path(), &key(3), &key(2)).unwrap_err().code, code::DATA_KEY);
    let wrapped: Vec<u8> = {
        let conn = rusqlite::Connection::open(dir.path().join("stead.db")).unwrap();
        conn.query_row("SELECT wrapped FROM data_keys", [], |r| r.get(0)).unwrap()
    };
    let kept = || {
        let files = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file());
        files.filter(|p| fs::read(p).unwrap().windows(wrapped.len()).any(|w| w == wrapped)).count()
    };
    assert!(kept() > 0);
    assert_eq!(SqliteStore::rotate(dir.path(), &key(1), &key(2)), Ok(Rotated { tenants: 1, kept: 1 }));
    assert_eq!(kept(), 0, "what the old key opens is in no file any more");
    assert_eq!(SqliteStore::open(dir.path(), options(1)).unwrap_err().code, code::DATA_KEY, "the old key is of no use");
    let store = opened(dir.path(), 2);
    heard(&store).await;
    store.append(append(run, 2, lease.epoch, "after it")).await.unwrap();
    assert_eq!(store.read(run, 2, 1).await.unwrap()[0].bytes, "after it");
    drop(store);
    let now = rows(dir.path());
    assert_eq!((now[0], now.len()), ((first[0].0, false), 2));
    let conn = rusqlite::Connection::open(dir.path().join("stead.db")).unwrap();
    let last: Vec<u8> = conn.query_row("SELECT body FROM records ORDER BY id DESC", [], |r| r.get(0)).unwrap();
    assert_eq!(last[4..12], now[1].0.to_be_bytes(), "what is written now is sealed with the new data key");
}

async fn backup(store: &dyn Journal) -> Vec<u8> {
    let ask = BackupAsk { taken: Timestamp(1), key: true, release: "test".into(), cassettes: None, seal: None };
    let (mut pieces, mut out) = (store.backup(ask).await.unwrap(), Vec::new());
    while let Some(piece) = pieces.recv().await {
        out.extend(piece.unwrap());
    }
    out
}

/// The rows of a backup, unpacked, as docs/backup.md has its format.
fn rows(backup: &[u8]) -> Vec<u8> {
    let (mut at, mut out) = (8, Vec::new());
    while at < backup.len() {
        let number = |n: usize| u32::from_be_bytes(backup[at + n..at + n + 4].try_into().unwrap()) as usize;
        let (plain, stored) = (number(5), number(9));
        let body = &backup[at + 13..at + 13 + stored];
        out.extend(if stored < plain { zstd::bulk::decompress(body, plain).unwrap() } else { body.to_vec() });
        at += 13 + stored + 32;
    }
    out
}

/// A run of real records, which a restore proves.
async fn real(store: &SqliteStore) -> RunId {
    let lease = store.acquire("test", Span::from_secs(60)).await.unwrap();
    let (run, tenant) = (run(1), Name::from(TENANT));
    let header = stead_core::record::Header {
        v: stead_core::record::VERSION,
        run,
        seq: 0,
        at: Timestamp(1),
        activation: stead_core::id::ActivationId(1),
        epoch: lease.epoch,
        tenant: tenant.clone(),
        actor: stead_core::record::Actor::Runtime,
        salt: [1; 16],
        subject_key: None,
    };
    let payloads = vec![stead_core::record::Payload::inline(CANARY, stead_core::record::Source::User)];
    let record = stead_core::record::Record { header, facts: Vec::new(), payloads };
    let encoded = record.encode(stead_core::run::GENESIS);
    let mut first = append(run, 0, lease.epoch, encoded.bytes);
    first.leaf = encoded.leaf;
    first.index.as_mut().unwrap().create.as_mut().unwrap().title = CANARY.into();
    let sent = InboxRow { to: common::run(2), from: run, effect: 1, body: CANARY.into() };
    first.index.as_mut().unwrap().send.push(sent);
    store.append(first).await.unwrap();
    store.put(&tenant, &[CANARY.into()], Timestamp(i64::MAX)).await.unwrap();
    store.put_policy(policy(&tenant)).await.unwrap();
    run
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_encrypted_data_is_encrypted_and_needs_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let store = opened(&dir.path().join("old"), 1);
    let run = real(&store).await;
    let backup = backup(&store).await;
    assert!(!has(&rows(&backup)) && Reader::open(&backup[..]).unwrap().head().is_encrypted());
    let fill = |name: &str, encrypt: Option<WrappingKey>| {
        let mut reader = Reader::open(&backup[..]).unwrap();
        let blob_key = BlobKey::of_backup(reader.head(), None, None).unwrap();
        let restore = SqliteRestore::begin(&dir.path().join(name)).unwrap().encrypt(encrypt);
        restore.fill(&mut reader, &blob_key, Timestamp(1)).and_then(|summary| restore.finish().map(|()| summary))
    };
    for wrong in [None, Some(key(2))] {
        assert_eq!(fill("new", wrong).unwrap_err().code, code::DATA_KEY);
    }
    assert_eq!(fill("new", Some(key(1))).unwrap().records, 1);
    assert!(!found(&dir.path().join("new")));
    let new = opened(&dir.path().join("new"), 1);
    assert_eq!(new.run(run).await.unwrap().unwrap().title, CANARY);
    assert!(has(&new.read(run, 0, 1).await.unwrap()[0].bytes));
    // Its proof without the key: the chain of chunks alone.
    let proof = |encrypt: Option<WrappingKey>| {
        let mut reader = Reader::open(&backup[..]).unwrap();
        let mut checker = Checker::new(None).with_key(reader.head(), encrypt.as_ref()).unwrap();
        while let Some(chunk) = reader.next_chunk().unwrap() {
            checker.look(&chunk).unwrap();
        }
        checker.finish().unwrap().sealed
    };
    assert_eq!((proof(None), proof(Some(key(1)))), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_encrypts_what_was_not() {
    let (dir, server) = (tempfile::tempdir().unwrap(), TestPostgres::start());
    let store = SqliteStore::open(&dir.path().join("old"), SqliteOptions::default()).unwrap();
    let run = real(&store).await;
    let backup = backup(&store).await;
    assert!(has(&rows(&backup)));
    let head = Reader::open(&backup[..]).unwrap().head().clone();
    let blob_key = BlobKey::of_backup(&head, None, None).unwrap();
    let new = dir.path().join("new");
    let restore = SqliteRestore::begin(&new).unwrap().encrypt(Some(key(1)));
    restore.fill(&mut Reader::open(&backup[..]).unwrap(), &blob_key, Timestamp(1)).unwrap();
    restore.finish().unwrap();
    assert!(!found(&new));
    let sealed = opened(&new, 1);
    let after = async |store: &dyn Journal| {
        assert_eq!(store.run(run).await.unwrap().unwrap().title, CANARY);
        assert!(has(&store.read(run, 0, 1).await.unwrap()[0].bytes));
        assert_eq!(store.inbox(common::run(2)).await.unwrap()[0].body, CANARY);
    };
    after(&sealed).await;
    assert_eq!(sealed.policy(&TENANT.into(), 1).await.unwrap().unwrap().body, CANARY);
    // The same into the other store, and out of it again.
    let options = || PgOptions { encrypt: Some(key(1)), ..PgOptions::new(blob_key.clone()) };
    let restore = PgRestore::begin(&server.url(), options(), &head, None).await.unwrap();
    let (mut reader, mut checker) = (Reader::open(&backup[..]).unwrap(), restore.checker());
    while let Some(chunk) = reader.next_chunk().unwrap() {
        restore.fill(&chunk, &mut checker).await.unwrap();
    }
    restore.fence(&head, checker, Timestamp(1)).await.unwrap();
    restore.finish().await.unwrap();
    let wide = PgStore::connect(&server.url(), options()).await.unwrap();
    after(&wide).await;
    assert_eq!(wide.policy(&TENANT.into(), 1).await.unwrap().unwrap().body, CANARY);
    assert!(!has(&rows(&self::backup(&wide).await)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_of_one_database_share_its_keys() {
    let server = TestPostgres::start();
    let options = |encrypt: Option<WrappingKey>| PgOptions { encrypt, ..PgOptions::new(BlobKey::from_bytes([7; 32])) };
    let connect = async |encrypt| PgStore::connect(&server.url(), options(encrypt)).await;
    let (one, other) = (connect(Some(key(1))).await.unwrap(), connect(Some(key(1))).await.unwrap());
    let (_, lease) = said(&one).await;
    // Made after it was opened.
    heard(&other).await;
    for wrong in [None, Some(key(2))] {
        assert_eq!(connect(wrong).await.map(drop).unwrap_err().code, code::DATA_KEY);
    }
    let rotate = async |from| PgStore::rotate(&server.url(), options(Some(key(from))), &key(2)).await;
    assert_eq!(rotate(1).await.unwrap_err().code, code::DATA_LOCKED);
    one.release(lease).await.unwrap();
    let (client, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("SET search_path TO stead").await.unwrap();
    let wrapped: Vec<u8> = client.query_one("SELECT wrapped FROM data_keys", &[]).await.unwrap().get(0);
    let kept = async || {
        let file = client.query_one("SELECT pg_relation_filepath('data_keys')", &[]).await.unwrap().get::<_, String>(0);
        client.batch_execute("CHECKPOINT").await.unwrap();
        let bytes = client.query_one("SELECT pg_read_binary_file($1)", &[&file]).await.unwrap().get::<_, Vec<u8>>(0);
        bytes.windows(wrapped.len()).any(|w| w == wrapped)
    };
    assert!(kept().await);
    assert_eq!(rotate(1).await, Ok(Rotated { tenants: 1, kept: 1 }));
    assert!(!kept().await, "what the old key opens is not in the table's file any more");
    assert_eq!(rotate(1).await.unwrap_err().code, code::DATA_KEY);
    heard(&connect(Some(key(2))).await.unwrap()).await;
}
