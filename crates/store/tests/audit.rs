//! Both stores keep the port of the audit log; a backup carries what operators did, and the records of a restored journal are in no log yet.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "other tests use all of it")]
mod common;

use bytes::Bytes;
use common::{append, run};
use stead_core::{
    fact::Fact,
    id::{ActivationId, LeafHash, RunId},
    record::{Actor, Encoded, Header, Record, VERSION},
    run::GENESIS,
    time::{Span, Timestamp},
};
use stead_ports::{
    audit::{Act, AuditStore, Integration, Unsequenced},
    journal::{BackupAsk, Journal},
};
use stead_store::{BlobKey, Checker, PgOptions, PgRestore, PgStore, Reader, SqliteOptions, SqliteRestore, SqliteStore};
use stead_testkit::postgres::TestPostgres;

stead_testkit::stores_pass!(audit_cases, AUDIT, every_case_of_the_audit_log_holds_on_postgresql);

fn options(schema: &str) -> PgOptions {
    PgOptions { schema: schema.to_owned(), ..PgOptions::new(BlobKey::from_bytes([7; 32])) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_commits_late_on_postgresql_is_not_skipped() {
    let server = TestPostgres::start();
    let store = PgStore::connect(&server.url(), options("stead")).await.unwrap();
    let lease = store.acquire("test", Span::from_secs(600)).await.unwrap();
    store.append(append(run(1), 0, lease.epoch, "early")).await.unwrap();
    // A transaction that took its number first, and commits last.
    server
        .execute(
            "INSERT INTO stead.audit_queue (n, id, seq) OVERRIDING SYSTEM VALUE
                 SELECT 1000, id, seq FROM stead.audit_queue; DELETE FROM stead.audit_queue WHERE n < 1000",
        )
        .await;
    let found = store.unsequenced(10).await.unwrap();
    assert!(store.integrate(lease, taken(&found)).await.unwrap());
    server
        .execute(
            "INSERT INTO stead.records SELECT run, 1, leaf, 'late' FROM stead.records;
             INSERT INTO stead.audit_queue (n, id, seq) OVERRIDING SYSTEM VALUE SELECT 3, run, seq FROM stead.records WHERE seq = 1",
        )
        .await;
    let found = store.unsequenced(10).await.unwrap();
    assert!(matches!(&found[..], [Unsequenced::Record { seq: 1, bytes, .. }] if bytes == "late"), "{found:?}");
}

fn taken(found: &[Unsequenced]) -> Integration {
    let mut out = Integration::default();
    for one in found {
        match one {
            Unsequenced::Record { place, .. } => out.records.push(*place),
            Unsequenced::Act { place, .. } => out.acts.push(*place),
        }
    }
    out
}

fn act(n: u128) -> Act {
    let (topic, body) = ("apply_policy".to_owned(), Bytes::from(format!("{{\"n\":{n}}}")));
    Act { id: n, at: Timestamp(n as i64), topic, salt: [n as u8; 16], body }
}

/// A record that can be read: the next of a run after one with that hash.
fn real(run: RunId, seq: u64, prev: Option<LeafHash>) -> Encoded {
    let header = Header {
        v: VERSION,
        run,
        seq,
        at: Timestamp(1_000_000),
        activation: ActivationId(1),
        epoch: 1,
        tenant: common::TENANT.into(),
        actor: Actor::Runtime,
        salt: [seq as u8; 16],
        subject_key: None,
    };
    Record { header, facts: vec![Fact::Paused], payloads: Vec::new() }.encode(prev.unwrap_or(GENESIS))
}

/// What is in no log, by what it is.
fn told(found: &[Unsequenced]) -> (Vec<u128>, Vec<(u64, u64)>) {
    let (mut acts, mut records) = (Vec::new(), Vec::new());
    for one in found {
        match one {
            Unsequenced::Act { act, .. } => acts.push(act.id),
            Unsequenced::Record { run, seq, .. } => records.push(((run.0 >> 80) as u64, *seq)),
        }
    }
    records.sort_unstable();
    (acts, records)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_restored_is_integrated_from_the_beginning_with_what_operators_did() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&dir.path().join("first"), SqliteOptions::default()).unwrap();
    let lease = store.acquire("test", Span::from_secs(600)).await.unwrap();
    for n in 1..=2 {
        let first = real(run(n), 0, None);
        let second = real(run(n), 1, Some(first.leaf));
        for (seq, encoded) in [first, second].into_iter().enumerate() {
            let append = append(run(n), seq as u64, lease.epoch, encoded.bytes);
            store.append(stead_ports::journal::Append { leaf: encoded.leaf, ..append }).await.unwrap();
        }
        store.act(act(n.into())).await.unwrap();
    }
    // What was integrated before the backup is no matter.
    let found = store.unsequenced(3).await.unwrap();
    assert!(store.integrate(lease, taken(&found)).await.unwrap());
    let ask = BackupAsk { taken: Timestamp(1), key: true, release: "test".into(), cassettes: None, seal: None };
    let mut pieces = store.backup(ask).await.unwrap();
    let mut backup = Vec::new();
    while let Some(piece) = pieces.recv().await {
        backup.extend(piece.unwrap());
    }
    let all = (vec![1, 2], vec![(1, 0), (1, 1), (2, 0), (2, 1)]);

    let mut reader = Reader::open(&backup[..]).unwrap();
    let key = BlobKey::of_backup(reader.head(), None, None).unwrap();
    let restore = SqliteRestore::begin(&dir.path().join("second")).unwrap();
    restore.fill(&mut reader, &key, Timestamp(1)).unwrap();
    restore.finish().unwrap();
    let second = SqliteStore::open(&dir.path().join("second"), SqliteOptions::default()).unwrap();
    assert_eq!(told(&second.unsequenced(100).await.unwrap()), all);
    assert_eq!((second.logs().await.unwrap().len(), second.generation().await.unwrap()), (0, 2));

    let server = TestPostgres::start();
    let mut reader = Reader::open(&backup[..]).unwrap();
    let options = PgOptions::new(key.clone());
    let restore = PgRestore::begin(&server.url(), options.clone(), reader.head(), None).await.unwrap();
    let mut checker = Checker::new(Some(key));
    while let Some(chunk) = reader.next_chunk().unwrap() {
        restore.fill(&chunk, &mut checker).await.unwrap();
    }
    restore.fence(reader.head(), checker, Timestamp(1)).await.unwrap();
    restore.finish().await.unwrap();
    let shared = PgStore::connect(&server.url(), options).await.unwrap();
    assert_eq!(told(&shared.unsequenced(100).await.unwrap()), all);
    assert_eq!(shared.find_act(2).await.unwrap(), Some(act(2)));
}
