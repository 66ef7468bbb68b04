//! What a data directory does when it is in use, newer, damaged, read-only or full.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    fs::{self, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use common::{append, noise, run};
use stead_core::{code, time::Span};
use stead_ports::journal::{AppendError, Journal as _, StoreError};
use stead_store::{FORMAT, SqliteOptions, SqliteStore};

const TTL: Span = Span::from_secs(600);

fn open(dir: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(dir, SqliteOptions::default())
}

fn refused(dir: &Path) -> StoreError {
    open(dir).err().unwrap_or_else(|| panic!("{} was opened", dir.display()))
}

/// A directory with `records` records of run 1.
async fn filled(dir: &Path, records: u64) {
    let store = open(dir).unwrap();
    let epoch = store.acquire("test", TTL).await.unwrap().epoch;
    for seq in 0..records {
        store.append(append(run(1), seq, epoch, noise(4_000, seq))).await.unwrap();
    }
}

/// Runs this test again in a process of its own, there with `dir` in the environment.
fn again(test: &str, dir: &Path, wrapper: &[&str]) -> std::process::ExitStatus {
    let exe = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        [] => Command::new(exe),
        [program, args @ ..] => {
            let mut command = Command::new(program);
            command.args(args).arg(exe);
            command
        }
    };
    command.args(["--exact", test, "--nocapture"]).env(INSIDE, dir).stdin(Stdio::null());
    command.status().unwrap_or_else(|e| panic!("{command:?}: {e}; install it: apt-get install util-linux"))
}

const INSIDE: &str = "STEAD_TEST_DATA_DIRECTORY";

/// A mount namespace of one's own, in a user namespace, so that it needs no root.
const NAMESPACE: &[&str] = &["unshare", "--map-root-user", "--mount", "--propagation", "private", "--"];

fn mount(dir: &Path, options: &str) {
    let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir).status();
    let status = status.unwrap_or_else(|e| panic!("mount: {e}; install it: apt-get install mount"));
    assert!(status.success(), "mount -o {options}: {status}");
}

#[test]
fn only_its_owner_reads_what_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("a/b");
    let store = open(&data).unwrap();
    let mode = |p: &str| fs::metadata(data.join(p)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("keys")), (0o700, 0o700));
    for file in ["stead.db", "stead.db-wal", "stead.db-shm", "lock", "keys/blob.key"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
    drop(store);
    open(&data).unwrap();
}

#[tokio::test]
async fn a_second_process_is_told_who_has_it() {
    if let Some(dir) = std::env::var_os(INSIDE) {
        let error = refused(Path::new(&dir));
        assert_eq!(error.code, code::DATA_LOCKED);
        assert!(error.detail.contains(&format!("process {} (the first)", std::os::unix::process::parent_id())));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    store.acquire("the\n first", TTL).await.unwrap();
    assert!(again("a_second_process_is_told_who_has_it", dir.path(), &[]).success());
    drop(store);
    open(dir.path()).unwrap();
}

#[tokio::test]
async fn each_owner_has_a_higher_epoch_than_those_of_lives_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    for _ in 0..3 {
        let lease = open(dir.path()).unwrap().acquire("test", TTL).await.unwrap();
        assert!(lease.epoch > last);
        last = lease.epoch;
    }
}

#[tokio::test]
async fn what_was_queued_is_written_before_it_closes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let epoch = store.acquire("test", TTL).await.unwrap().epoch;
    let pending: Vec<_> = (0..5_000).map(|seq| store.append(append(run(1), seq, epoch, vec![1; 20]))).collect();
    drop(store);
    for ack in pending {
        assert_eq!(ack.await, Ok(()));
    }
    assert_eq!(open(dir.path()).unwrap().read(run(1), 4_999, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn data_of_a_newer_format_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 1).await;
    let db = rusqlite::Connection::open(dir.path().join("stead.db")).unwrap();
    db.execute("UPDATE meta SET value = ? WHERE key = 'format'", [FORMAT + 1]).unwrap();
    drop(db);
    let before = fs::read(dir.path().join("stead.db")).unwrap();
    assert_eq!(refused(dir.path()).code, code::DATA_NEWER);
    assert_eq!(fs::read(dir.path().join("stead.db")).unwrap(), before);
}

#[tokio::test]
async fn damage_is_told_and_never_taken_for_an_empty_store() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("no database", |dir| fs::write(dir.join("stead.db"), "not a database, but a long text".repeat(100)).unwrap()),
        ("another program's", |dir| {
            fs::remove_file(dir.join("stead.db")).unwrap();
            rusqlite::Connection::open(dir.join("stead.db")).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        }),
        ("no key", |dir| fs::remove_file(dir.join("keys/blob.key")).unwrap()),
        ("another key", |dir| fs::write(dir.join("keys/blob.key"), [1; 32]).unwrap()),
        ("no format", |dir| {
            let db = rusqlite::Connection::open(dir.join("stead.db")).unwrap();
            db.execute("DELETE FROM meta WHERE key = 'format'", []).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path(), 1).await;
        damage(dir.path());
        assert_eq!(refused(dir.path()).code, code::DATA_DAMAGED, "{what}");
    }
}

#[tokio::test]
async fn a_damaged_page_is_an_error_of_those_who_need_it() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 200).await;
    let path = dir.path().join("stead.db");
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    let half = fs::metadata(&path).unwrap().len() / 2;
    file.seek(SeekFrom::Start(half / 8192 * 8192)).unwrap();
    file.write_all(&[0xa5; 3 * 8192]).unwrap();
    let store = open(dir.path()).unwrap();
    assert_eq!(store.read(run(1), 0, 1_000).await.unwrap_err().code, code::DATA_DAMAGED);
    let epoch = store.acquire("test", TTL).await.unwrap().epoch;
    assert_eq!(store.append(append(run(2), 0, epoch, "good")).await, Ok(()));
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_told() {
    let Some(dir) = std::env::var_os(INSIDE) else {
        let dir = tempfile::tempdir().unwrap();
        assert!(again("a_directory_that_cannot_be_written_is_told", dir.path(), NAMESPACE).success());
        return;
    };
    let dir = Path::new(&dir);
    mount(dir, "size=8m");
    filled(&dir.join("data"), 3).await;
    mount(dir, "remount,ro");
    assert_eq!(refused(&dir.join("data")).code, code::DATA_READONLY);
    assert_eq!(refused(&dir.join("new")).code, code::DATA_READONLY);
}

#[tokio::test]
async fn a_full_disk_refuses_appends_and_loses_none_and_then_goes_on() {
    let Some(dir) = std::env::var_os(INSIDE) else {
        let dir = tempfile::tempdir().unwrap();
        let test = "a_full_disk_refuses_appends_and_loses_none_and_then_goes_on";
        assert!(again(test, dir.path(), NAMESPACE).success());
        return;
    };
    let dir = Path::new(&dir);
    mount(dir, "size=6m");
    let (data, ballast) = (dir.join("data"), dir.join("ballast"));
    fs::write(&ballast, vec![1; 3 << 20]).unwrap();
    let store = SqliteStore::open(&data, SqliteOptions { log_pages: 64, ..SqliteOptions::default() }).unwrap();
    let epoch = store.acquire("test", TTL).await.unwrap().epoch;
    let mut next = 0;
    let refusal = loop {
        match store.append(append(run(1), next, epoch, noise(7_000, next))).await {
            Ok(()) => next += 1,
            Err(refusal) => break refusal,
        }
        assert!(next < 10_000, "3 MiB took {next} records of 7 kB");
    };
    assert!(matches!(&refusal, AppendError::Unavailable(e) if e.code == code::DATA_FULL), "{refusal}");
    assert!(next > 50, "{next}");
    // Nothing of the refused one is there, and readers go on.
    assert_eq!(store.read(run(1), 0, 10_000).await.unwrap().len() as u64, next);
    assert!(store.append(append(run(1), next, epoch, noise(7_000, next))).await.is_err());
    fs::remove_file(&ballast).unwrap();
    for seq in next..next + 50 {
        assert_eq!(store.append(append(run(1), seq, epoch, noise(7_000, seq))).await, Ok(()), "{seq}");
    }
    drop(store);
    let records = open(&data).unwrap().read(run(1), 0, 10_000).await.unwrap();
    assert_eq!(records.len() as u64, next + 50);
    for (seq, r) in (0..).zip(records) {
        assert_eq!((r.seq, r.bytes), (seq, noise(7_000, seq)));
    }
}
