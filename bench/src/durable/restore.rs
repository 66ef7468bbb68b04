//! The restore drill: 1,000 runs under way, a backup taken meanwhile, a life after it, `kill -9`, the data destroyed, the backup
//! restored, and all runs finished. What the lost life did is in no journal; a ledger outside of the runtime knows. The
//! operator of the drill answers what is asked by that ledger, as one would by the destination's own books.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{BufReader, Write as _},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stead_core::{
    effect::EffectClass,
    id::EffectId,
    record::Actor,
    time::{Span, Timestamp},
};
use stead_engine::{Engine, Restore, clock::SystemClock, mark_restored};
use stead_ports::{
    clock::Clock as _,
    journal::{ApprovalFilter, BackupAsk, Journal, RunFilter, Status},
};
use stead_store::{BlobKey, Reader, SqliteOptions, SqliteRestore, SqliteStore};

use super::{
    agent::{CALLS, Seen, engine, noop},
    crash::{RUNS, aftermath, class_of, ledger, spawn, start_all},
};

/// Runs marked at once.
const PAGE: u32 = 1_000;
/// Longest wait for what must happen soon.
const PATIENCE: Duration = Duration::from_secs(60);

/// One drill for each of two classes; the worst of both counts.
pub(crate) fn case() -> Value {
    let keyed = one("keyed");
    let irreversible = one("irreversible");
    let worst = |of: fn(&Drill) -> f64| of(&keyed).max(of(&irreversible));
    json!({
        "runs": RUNS,
        "backup_s": worst(|d| d.backup_s),
        "restore_s": worst(|d| d.restore_s),
        "finish_s": worst(|d| d.finish_s),
        "asked": keyed.asked + irreversible.asked,
        "done_after_the_backup": keyed.after + irreversible.after,
        "repeated_irreversible": irreversible.repeated,
        "repeated_under_another_key": keyed.other_key,
        "lost": keyed.lost + irreversible.lost,
    })
}

struct Drill {
    backup_s: f64,
    restore_s: f64,
    finish_s: f64,
    /// Questions that the operator answered.
    asked: u64,
    /// Executions that no journal knows of any more.
    after: u64,
    repeated: u64,
    other_key: u64,
    lost: u64,
}

fn one(class: &str) -> Drill {
    let dir = super::scratch();
    let path = dir.path();
    let mut child = spawn("restore-child", "live", class, path);
    // Every run is there and under way before the backup is asked for.
    let executed = || ledger(path).values().map(Vec::len).sum::<usize>();
    wait("the runs do not get under way", || {
        let acked = fs::read_to_string(path.join("acked")).map_or(0, |text| text.lines().count());
        acked == RUNS && executed() > RUNS * CALLS as usize / 5
    });
    let begin = Instant::now();
    File::create(path.join("now")).expect("the sign can be given");
    wait("the backup is not taken", || path.join("backup").exists());
    let backup_s = begin.elapsed().as_secs_f64();
    let at_backup = executed();
    // A life after it: until it has done much that the backup does not know, or everything.
    wait("nothing is done after the backup", || executed() > at_backup + RUNS || executed() >= RUNS * CALLS as usize);
    child.kill().expect("the child can be killed");
    child.wait().expect("the child ends");
    let after = executed().saturating_sub(at_backup) as u64;
    fs::remove_dir_all(path.join("data")).expect("the data can be destroyed");

    let begin = Instant::now();
    super::runtime().block_on(restored(path));
    let restore_s = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    let status = spawn("restore-child", "finish", class, path).wait().expect("the child ends");
    let finish_s = begin.elapsed().as_secs_f64();

    let times = ledger(path);
    let asked = fs::read_to_string(path.join("asked")).ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let (ended, unexecuted) =
        aftermath(&path.join("data"), class_of(class).unwrap_or(EffectClass::Irreversible), &times);
    let missing = RUNS.saturating_sub(ended.len()) as u64;
    Drill {
        backup_s,
        restore_s,
        finish_s,
        asked,
        after,
        repeated: times.values().filter(|t| t.len() > 1).count() as u64,
        other_key: times.values().filter(|t| t.iter().any(|k| k != &t[0])).count() as u64,
        lost: if status.success() { missing + unexecuted } else { RUNS as u64 },
    }
}

fn wait(what: &str, until: impl Fn() -> bool) {
    let begin = Instant::now();
    while !until() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What `stead restore` does.
async fn restored(dir: &Path) {
    let from = BufReader::new(File::open(dir.join("backup")).expect("the backup can be opened"));
    let mut reader = Reader::open(from).expect("the backup can be read");
    let key = BlobKey::of_backup(reader.head(), None, None).expect("the backup has its key");
    let restore = SqliteRestore::begin(&dir.join("data")).expect("the target is empty");
    restore.fill(&mut reader, &key, SystemClock.now()).expect("the backup can be restored");
    let head = reader.head().clone();
    let store = Arc::new(SqliteStore::open(restore.staging(), SqliteOptions::default()).expect("the store opens"));
    let journal: Arc<dyn Journal> = store.clone();
    let lease = journal.acquire("bench", Span::from_secs(60)).await.expect("nobody else has it");
    let marks = Restore { lease, generation: head.generation_after(), taken: Timestamp(head.taken) };
    let mut after = None;
    loop {
        let page = store.open_runs(after, PAGE).await.expect("the store answers");
        mark_restored(&journal, &SystemClock, marks, &page).await.expect("the runs can be marked");
        after = page.last().copied();
        if page.len() < PAGE as usize {
            break;
        }
    }
    journal.release(lease).await.expect("the lease can be given back");
    drop((journal, store));
    restore.finish().expect("the restore ends");
}

/// The process that is killed, and the one that finishes.
pub(crate) fn child(args: &[&str]) -> ExitCode {
    let [what, class, dir] = args else { return ExitCode::from(2) };
    let Some(class) = class_of(class) else { return ExitCode::from(2) };
    let dir = Path::new(dir);
    let seen = Arc::new(Seen::with_ledger(&dir.join("ledger")));
    super::runtime().block_on(async {
        let engine = engine(&dir.join("data"), noop(class, false, &seen)).await;
        if *what == "live" { live(&engine, dir).await } else { finish(&engine, dir).await }
    })
}

/// Works until it is killed, and takes a backup when it is told to.
async fn live(engine: &Engine, dir: &Path) -> ExitCode {
    start_all(engine, dir).await;
    while !dir.join("now").exists() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let ask = BackupAsk { taken: SystemClock.now(), key: true, release: "bench".into(), cassettes: None, seal: None };
    let mut pieces = engine.journal().backup(ask).await.expect("a backup can be taken");
    let part = dir.join("backup.part");
    let mut file = File::create(&part).expect("the backup can be written");
    while let Some(piece) = pieces.recv().await {
        file.write_all(&piece.expect("the store answers")).expect("the backup can be written");
    }
    file.sync_all().expect("the backup can be synced");
    fs::rename(part, dir.join("backup")).expect("the backup can be put in place");
    std::future::pending().await
}

/// Lets all runs go on, and answers by the ledger what is asked, until all have ended.
async fn finish(engine: &Engine, dir: &Path) -> ExitCode {
    let filter =
        RunFilter { tenant: "default".into(), status: vec![Status::Paused], limit: 10_000, ..RunFilter::default() };
    for row in engine.journal().runs(&filter).await.expect("the store answers") {
        engine.resume(row.id, Actor::Runtime).await.expect("the run goes on");
    }
    let mut asked = 0_u64;
    loop {
        let filter = ApprovalFilter { tenant: "default".into(), limit: 500, ..ApprovalFilter::default() };
        let open = engine.approvals(&filter).await.expect("the store answers").items;
        let done: HashSet<String> = ledger(dir).into_keys().collect();
        for EffectId { run, n } in open.iter().map(|question| question.effect) {
            let happened = done.contains(&format!("{:032x}{n:08x}", run.0));
            // Whoever is not asked any more has been answered.
            asked +=
                u64::from(engine.approve(EffectId { run, n }, !happened, "bench".into(), None, None).await.is_ok());
        }
        let counts: HashMap<Status, u64> =
            engine.journal().count(None).await.expect("the store answers").into_iter().collect();
        if counts.iter().all(|(status, n)| status.ended() || *n == 0) {
            fs::write(dir.join("asked"), asked.to_string()).expect("the count can be written");
            let failed = [Status::Failed, Status::Cancelled].iter().any(|s| counts.get(s).is_some_and(|n| *n > 0));
            return if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
        if open.is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}
