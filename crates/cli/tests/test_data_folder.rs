//! The data folder: who may use it, and what is said when nobody can.

use std::{fs, os::unix::fs::PermissionsExt as _};

use insta::assert_snapshot;

use crate::common::TestEnvironment;

#[test]
fn a_folder_held_by_another_process_is_told_after_a_while() {
    let env = TestEnvironment::new();
    env.stead("runs ls").succeeds();
    let lock = fs::OpenOptions::new().read(true).write(true).open(env.path().join(".stead/lock")).unwrap();
    lock.lock().unwrap();
    assert_snapshot!(env.stead("runs ls"), @"
    exit 1
    --- stderr
    error[ST0140]: [folder]/.stead/lock is held by process [pid] (stead-[pid]): use that server, stop it, or choose another data directory
    hint: wait for that command to end, or choose another folder with --data
    see: stead errors ST0140
    ");
}

#[test]
fn commands_at_the_same_time_take_turns() {
    let env = TestEnvironment::with_refund_desk();
    let spawn = || env.command(["run", "-q", "refund-desk", "Where is order 1041?"]).spawn().unwrap();
    let runs: Vec<_> = (0..4).map(|_| spawn()).collect();
    for mut run in runs {
        assert!(run.wait().unwrap().success());
    }
    let runs = env.json("runs ls --json");
    let runs = runs["items"].as_array().unwrap();
    assert_eq!(runs.len(), 4);
    assert!(runs.iter().all(|r| r["status"] == "completed"), "{runs:?}");
}

#[test]
fn a_server_file_that_a_dead_process_left_is_not_believed() {
    let env = TestEnvironment::new();
    env.stead("runs ls").succeeds();
    // No process has this number: it is above the kernel's largest.
    env.write(".stead/server.json", r#"{"url":"http://127.0.0.1:1","pid":4194305,"version":"0.1.0"}"#);
    assert_snapshot!(env.stead("runs ls"), @"
    exit 0
    --- stdout
    RUN  AGENT  STATUS  SESSION  AGE  INPUT
    ");
}

#[test]
fn a_folder_from_a_newer_release_is_told() {
    let env = TestEnvironment::new();
    env.stead("runs ls").succeeds();
    let db = rusqlite::Connection::open(env.path().join(".stead/stead.db")).unwrap();
    db.execute("UPDATE meta SET value = 999 WHERE key = 'format'", []).unwrap();
    drop(db);
    assert_snapshot!(env.stead("runs ls"), @"
    exit 1
    --- stderr
    error[ST0141]: [folder]/.stead/stead.db has format 999 and this release knows 10
    hint: use the release that wrote it, or a later one
    see: stead errors ST0141
    ");
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let env = TestEnvironment::new();
    // A file where the folder should be: also root cannot make that one.
    env.write("file", "");
    assert_snapshot!(env.stead("runs ls --data file/data"), @"
    exit 1
    --- stderr
    error[ST0142]: file/data cannot be made: Not a directory (os error 20)
    hint: choose a folder that you may write with --data
    see: stead errors ST0142
    ");
    assert_snapshot!(env.stead("runs ls --data /proc/stead"), @"
    exit 1
    --- stderr
    error[ST0142]: /proc/stead cannot be made: No such file or directory (os error 2)
    hint: choose a folder that you may write with --data
    see: stead errors ST0142
    ");
}

#[test]
fn the_token_and_the_journal_are_for_their_owner_alone() {
    let env = TestEnvironment::new();
    env.stead("runs ls").succeeds();
    let mode = |name: &str| fs::metadata(env.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(".stead"), mode(".stead/token"), mode(".stead/stead.db")), (0o700, 0o600, 0o600));
}
