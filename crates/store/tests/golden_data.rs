//! Data of every format that was ever released, kept as it was written, opens in this release: every record of it folds,
//! every index, blob and message is found. `examples/golden.rs` says how a fixture is made.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::PathBuf, sync::Arc};

use bytes::Bytes;
use stead_core::{
    budget::{Caps, Per},
    fact::Fact,
    id::{Name, RunId, SessionId, VersionId},
    record::{Body, Record},
    run::{CallPhase, Carry, GENESIS, Life, State, fold},
    time::{Span, Timestamp},
};
use stead_ports::journal::{
    ApprovalFilter, Backup, BackupAsk, BudgetKey, BudgetRow, Journal, LIVE, MovedBy, RunFilter, SetBudget, Status,
    UsageFilter,
};
use stead_ports::{
    audit::{AuditStore, Unsequenced},
    objects::Objects,
    policies::{NewPolicy, PolicyStore},
    switches::{NewSwitch, SwitchStore, What},
    trust::{DirectoryRow, DirectoryStore},
};
use stead_store::{
    BlobKey, FORMAT, PgOptions, PgStore, Reader, SqliteOptions, SqliteRestore, SqliteStore, Stored, WrappingKey, look,
};
use stead_testkit::postgres::TestPostgres;

/// The key of every fixture.
const KEY: [u8; 32] = [7; 32];
/// Records of every fixture, and those that the fixtures have in a log from format 8 on.
const RECORDS: usize = 12;
const INTEGRATED: usize = 3;

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let packed = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; examples/golden.rs makes it", path.display()));
    zstd::decode_all(&packed[..]).unwrap()
}

// The present format has its fixture from its release on: until then it may still grow.
#[tokio::test]
async fn sqlite_data_of_every_format_opens_and_folds() {
    // Also with a key: what was written before is read as it is.
    let keys = [None, Some(WrappingKey::from_bytes(&[1; 32]))];
    for (format, encrypt) in (1..=FORMAT).flat_map(|format| keys.clone().map(|key| (format, key))) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("keys")).unwrap();
        fs::write(dir.path().join("keys/blob.key"), KEY).unwrap();
        fs::write(dir.path().join("stead.db"), fixture(&format!("format-{format}.db.zst"))).unwrap();
        let store = SqliteStore::open(dir.path(), SqliteOptions { encrypt, ..SqliteOptions::default() }).unwrap();
        check(&store, format).await;
        content(&store, format).await;
        policies(&store, format).await;
        budgets(&store, format).await;
        counters(&store, format).await;
        audit(&store, format).await;
        switches(&store, format).await;
        directories(&store, format).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_data_of_every_format_opens_and_folds() {
    let server = TestPostgres::start();
    for format in 1..=FORMAT {
        load(&server, format).await;
        let store = PgStore::connect(&server.url(), PgOptions::new(BlobKey::from_bytes(KEY))).await.unwrap();
        check(&store, format).await;
        content(&store, format).await;
        policies(&store, format).await;
        budgets(&store, format).await;
        counters(&store, format).await;
        audit(&store, format).await;
        switches(&store, format).await;
        directories(&store, format).await;
    }
}

/// Formats before 3 had no content of workspaces, and take it now.
async fn content(objects: &dyn Objects, format: u32) {
    let (tenant, file, long) = (Name::from("acme"), Bytes::from_static(b"a file"), Bytes::from(vec![b'x'; 5_000]));
    let ids = [&file, &long].map(|c| objects.address(&tenant, c));
    let kept = if format < 3 { vec![None, None] } else { vec![Some(file.clone()), Some(long)] };
    assert_eq!(objects.get(&tenant, &ids).await.unwrap(), kept);
    objects.put(&tenant, std::slice::from_ref(&file), Timestamp(1)).await.unwrap();
    assert_eq!(objects.get(&tenant, &ids[..1]).await.unwrap(), [Some(file)]);
}

/// Formats before 4 had no policy sets, and take them now.
async fn policies(sets: &dyn PolicyStore, format: u32) {
    let tenant = Name::from("acme");
    let kept = sets.policies(&tenant, None, 10).await.unwrap();
    let applied: Vec<_> = kept.iter().map(|row| (row.epoch, row.is_applied())).collect();
    assert_eq!(applied, if format < 4 { Vec::new() } else { vec![(2, false), (1, true)] });
    let body = Bytes::from_static(b"a policy set");
    if format >= 4 {
        assert_eq!(sets.policy(&tenant, 1).await.unwrap().unwrap().body, body);
    }
    let (by, at) = (Name::from("bob"), Timestamp(2));
    let new = NewPolicy { tenant, digest: [4; 32], body, by, at, rollback: Some(1), proposed: false };
    assert_eq!(sets.put_policy(new).await.unwrap(), Some(if format < 4 { 1 } else { 3 }));
}

/// Formats before 6 had no budgets, and take them now.
async fn budgets(journal: &dyn Journal, format: u32) {
    let (tenant, now) = (Name::from("acme"), Timestamp(1_767_225_600_000_000));
    let used = |rows: &[BudgetRow]| rows.iter().map(|r| (r.key.per, r.settled.tokens)).collect::<Vec<_>>();
    let kept = journal.budgets(Some(&tenant), now).await.unwrap();
    assert_eq!(used(&kept), if format < 6 { Vec::new() } else { vec![(Per::Month, 240), (Per::Day, 240)] });
    let key = BudgetKey { tenant: tenant.clone(), agent: None, per: Per::Ever };
    let caps = Caps { tokens: Some(7), ..Caps::default() };
    assert!(journal.set_budget(SetBudget { key, caps, at: now, by: "bob".into() }).await.unwrap());
    assert_eq!(journal.budgets(Some(&tenant), now).await.unwrap().len(), kept.len() + 1);
}

/// Formats before 7 had nothing that policies count, and keep it now.
async fn counters(journal: &dyn Journal, format: u32) {
    let tenant = Name::from("acme");
    let (kept, rows) = (journal.counters(&tenant).await.unwrap(), journal.counted(&tenant, 0, 10).await.unwrap());
    let rows: Vec<&[u8]> = rows.iter().map(|row| &row.body[..]).collect();
    let none = format < 7;
    assert_eq!(kept.as_deref(), if none { None } else { Some(&b"what was counted"[..]) });
    assert_eq!(rows, if none { Vec::new() } else { vec![&b"what a run adds"[..]] });
    let lease = journal.acquire("counts", Span::from_secs(60)).await.unwrap();
    journal.keep_counters(lease, &tenant, Bytes::from_static(b"anew"), 0).await.unwrap();
    assert_eq!(journal.counters(&tenant).await.unwrap().as_deref(), Some(&b"anew"[..]));
    journal.release(lease).await.unwrap();
}

/// Formats before 8 had no audit log: all of their journals is to be integrated.
async fn audit(store: &dyn AuditStore, format: u32) {
    let found = store.unsequenced(1_000).await.unwrap();
    let records = found.iter().filter(|one| matches!(one, Unsequenced::Record { .. })).count();
    // The fixture of format 8 has some of it in a log.
    assert_eq!(records, if format < 8 { RECORDS } else { RECORDS - INTEGRATED });
    assert_eq!(found.len() - records, usize::from(format >= 8), "what an operator did");
    assert_eq!(store.logs().await.unwrap().len(), usize::from(format >= 8));
}

/// Formats before 8 had no directories of approvers, and keep them now.
async fn directories(store: &dyn DirectoryStore, format: u32) {
    let tenant = "acme".into();
    let kept = store.entries(&tenant, 0, 10).await.unwrap();
    assert_eq!(kept.iter().map(|row| &*row.body).collect::<Vec<_>>(), if format < 8 { vec![] } else { vec![b"{}"] });
    let row = |seq| DirectoryRow { seq, body: "[]".into(), by: "bob".into(), at: Timestamp(2) };
    assert!(!store.add_entry(&tenant, row(9)).await.unwrap(), "not the next place");
    assert!(store.add_entry(&tenant, row(kept.len() as u64)).await.unwrap());
}

/// Formats before 8 had nothing that operators turn off, and keep it now.
async fn switches(store: &dyn SwitchStore, format: u32) {
    let kept = store.switches(0, 10).await.unwrap();
    let told: Vec<_> = kept.iter().map(|row| (row.n, row.switch.what, row.switch.on, row.heard)).collect();
    let all = [(1, What::Tool, false, false), (2, What::Tool, true, false), (3, What::Runs, false, true)];
    assert_eq!(told, if format < 8 { Vec::new() } else { all.to_vec() });
    let (tenant, name, by, at) = ("acme".into(), "desk".into(), "bob".into(), Timestamp(2));
    let switch = NewSwitch { tenant, what: What::Agent, name, on: false, by, at, reason: String::new() };
    assert_eq!(store.put_switch(switch).await.unwrap(), Some(if format < 8 { 1 } else { 4 }));
}

/// Makes the database one of that format.
async fn load(server: &TestPostgres, format: u32) {
    let dump = String::from_utf8(fixture(&format!("format-{format}.sql.zst"))).unwrap();
    server.execute(&format!("DROP SCHEMA IF EXISTS stead CASCADE;\n{dump}")).await;
}

fn ask() -> BackupAsk {
    BackupAsk { taken: Timestamp(1), key: true, release: "test".into(), cassettes: None, seal: None }
}

#[tokio::test]
async fn sqlite_data_of_every_format_is_backed_up_as_it_is_and_restored() {
    for format in 1..=FORMAT {
        let old = tempfile::tempdir().unwrap();
        fs::create_dir(old.path().join("keys")).unwrap();
        fs::write(old.path().join("keys/blob.key"), KEY).unwrap();
        fs::write(old.path().join("stead.db"), fixture(&format!("format-{format}.db.zst"))).unwrap();
        let pieces = SqliteStore::backup_of(old.path(), ask()).unwrap();
        check_restored(pieces, format).await;
        assert_eq!(look(old.path()).unwrap().unwrap().format, format, "nothing was brought forward");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_data_of_every_format_is_backed_up_as_it_is_and_restored() {
    let server = TestPostgres::start();
    for format in 1..=FORMAT {
        load(&server, format).await;
        let options = PgOptions::new(BlobKey::from_bytes(KEY));
        check_restored(PgStore::backup_of(&server.url(), &options, ask()).unwrap(), format).await;
        assert_eq!(PgStore::look(&server.url(), &options).await.unwrap(), Some(format), "nothing was brought forward");
    }
}

/// A backup of old data is one of its own format, and is restored into this release's.
async fn check_restored(mut pieces: Backup, format: u32) {
    let mut backup = Vec::new();
    while let Some(piece) = pieces.recv().await {
        backup.extend(piece.unwrap());
    }
    let mut reader = Reader::open(&backup[..]).unwrap();
    assert_eq!(reader.head().format, format);
    let new = tempfile::tempdir().unwrap();
    let new = new.path().join("new");
    let restore = SqliteRestore::begin(&new).unwrap();
    let summary = restore.fill(&mut reader, &BlobKey::from_bytes(KEY), Timestamp(1)).unwrap();
    assert_eq!((summary.runs, summary.unfinished, summary.blobs), (5, 4, 5));
    restore.finish().unwrap();
    assert_eq!(look(&new).unwrap(), Some(Stored { format: FORMAT, generation: 2 }));
    let store = SqliteStore::open(&new, SqliteOptions::default()).unwrap();
    assert_eq!(store.open_runs(None, 10).await.unwrap().len(), 4);
    assert_eq!(store.unlisted(None, 10).await.unwrap().len(), 3, "what is asked is entered by the next owner");
    let (tenant, agent) = (Name::from("acme"), Name::from("desk"));
    assert!(store.aliased(&tenant, &agent, &LIVE.into()).await.unwrap().is_some());
    let moves = store.alias_history(&tenant, &agent, 10).await.unwrap().len();
    let usage = store.usage(&UsageFilter { tenant, limit: 10, ..UsageFilter::default() }).await.unwrap();
    let owed = store.unmetered(None, 10).await.unwrap().len();
    let expected = if format == 1 { (0, 0, 5) } else { (3, 500, 0) };
    assert_eq!((moves, usage[0].used.input, owed), expected, "what is not known is entered by the next owner");
    let session = store.session(SessionId(1)).await.unwrap().unwrap();
    assert_eq!((session.spent.tokens, session.used.tool_calls), (240, if format < 6 { 0 } else { 1 }));
    budgets(&store, format).await;
}

async fn folded(journal: &dyn Journal, run: RunId) -> State {
    let (mut records, mut prev) = (Vec::new(), GENESIS);
    for stored in journal.read(run, 0, 1_000).await.unwrap() {
        let (record, leaf) = Record::decode(&stored.bytes, prev).unwrap();
        assert_eq!(leaf, stored.leaf);
        prev = leaf;
        records.push(record);
    }
    let Some(Fact::RunStarted(started)) = records[0].facts.first() else { panic!("it does not begin") };
    let Body::Blob { id, len, .. } = &records[0].payloads[usize::from(started.input)].body else { panic!("no blob") };
    let text = journal.blob(&"acme".into(), *id).await.unwrap().unwrap();
    assert_eq!(text.len() as u64, *len);
    assert!(text.starts_with(b"order "));
    fold(&records, |_| Carry::default()).unwrap()
}

async fn check(journal: &dyn Journal, format: u32) {
    let tenant = Name::from("acme");
    let filter = RunFilter { tenant: tenant.clone(), limit: 100, ..RunFilter::default() };
    let mut rows = journal.runs(&filter).await.unwrap();
    rows.reverse();
    let statuses: Vec<Status> = rows.iter().map(|r| r.state.status).collect();
    use Status::{Completed, Paused, Queued, Running, Waiting};
    assert_eq!(statuses, [Completed, Waiting, Queued, Running, Paused]);
    let mut states = Vec::new();
    for row in &rows {
        states.push(Arc::new(folded(journal, row.id).await));
    }
    let phase = |n: usize| &states[n].calls[0].phase;
    assert_eq!((states[0].life, states[0].next_effect), (Life::Completed, 2));
    assert!(matches!(phase(1), CallPhase::Asking { expires: Some(_), .. }));
    assert_eq!(states[2].life, Life::Queued);
    assert!(matches!(phase(3), CallPhase::Intended { .. }));
    assert!(states[4].paused && matches!(phase(4), CallPhase::Undecided));

    let session = journal.session(SessionId(1)).await.unwrap().unwrap();
    assert_eq!(session.key.as_deref(), Some("customer/42"));
    assert_eq!((session.active, session.head), (Some(rows[1].id), Some(rows[0].id)));
    assert_eq!(session.spent.tokens, 240);
    assert_eq!(
        session.used.tool_calls,
        if format < 6 { 0 } else { 1 },
        "formats before 6 counted tokens and money alone"
    );
    assert_eq!(journal.by_key(&tenant, &"key-3".into()).await.unwrap(), Some((rows[2].id, [3; 32])));
    assert_eq!(journal.queued(SessionId(1), 10).await.unwrap(), [rows[2].id]);
    assert_eq!(journal.inbox(rows[3].id).await.unwrap()[0].body, "a message");
    let agent = Name::from("desk");
    let live = journal.aliased(&tenant, &agent, &LIVE.into()).await.unwrap().unwrap();
    assert_eq!((live.version, &live.body[..]), (VersionId([9; 32]), &b"a bundle"[..]));
    assert!(journal.snapshot(rows[1].id).await.unwrap().is_some());
    assert_eq!(journal.generation().await.unwrap(), 1);
    // Format 1 had no history of aliases, and knew not what was used: that is entered by its owner.
    let moved: Vec<_> = journal.alias_history(&tenant, &agent, 10).await.unwrap().iter().map(|m| m.why).collect();
    let total = UsageFilter { tenant: tenant.clone(), limit: 10, ..UsageFilter::default() };
    let used = journal.usage(&total).await.unwrap()[0].clone();
    let unmetered = journal.unmetered(None, 10).await.unwrap();
    if format == 1 {
        assert_eq!((moved, used.runs, unmetered.len()), (Vec::new(), 0, 5));
    } else {
        assert_eq!(moved, [MovedBy::Set, MovedBy::Set, MovedBy::Apply]);
        assert_eq!((used.runs, used.used.replies, used.used.input, unmetered.len()), (4, 5, 500, 0));
    }
    // Format 1 had no index of questions: its owner enters them.
    let query = ApprovalFilter { tenant, limit: 10, ..ApprovalFilter::default() };
    let mut asked: Vec<_> = journal.approvals(&query).await.unwrap().iter().map(|a| a.effect.run).collect();
    if format == 1 {
        asked.extend(journal.unlisted(None, 10).await.unwrap());
        assert!(asked.contains(&rows[1].id), "{asked:?}");
    } else {
        assert_eq!(asked, [rows[1].id]);
    }
    // It can be worked on.
    let lease = journal.acquire("golden", Span::from_secs(60)).await.unwrap();
    journal.release(lease).await.unwrap();
}
