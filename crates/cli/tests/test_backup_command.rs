//! `stead backup` and `stead restore`: what they say, and what they refuse.

use std::{fs, os::unix::fs::PermissionsExt as _};

use insta::assert_snapshot;

use crate::common::{Serving, TestEnvironment};

/// A folder with a run that waits for a human.
fn waiting() -> TestEnvironment {
    let env = TestEnvironment::with_refund_desk();
    assert_eq!(env.stead("run refund-desk 'Refund order 1042' --quiet").code, Some(3));
    env
}

#[test]
fn a_backup_is_taken_proven_and_restored() {
    let env = waiting();
    assert_snapshot!(env.stead("backup b"), @r#"
    exit 0
    --- stdout
    taken [time] from sqlite, generation 1, by release 0.1.0
    1 run, 1 unfinished; 4 records; 0 long texts
    [version]
    --- stderr
    hint: keep b.keys apart from the backup: it opens what is persons' in it
    "#);
    for file in ["b", "b.keys"] {
        assert_eq!(fs::metadata(env.path().join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    assert_snapshot!(env.stead("backup verify b"), @r#"
    exit 0
    --- stdout
    taken [time] from sqlite, generation 1, by release 0.1.0
    1 run, 1 unfinished; 4 records; 0 long texts
    [version]
    "#);
    assert_snapshot!(env.stead("restore b"), @r#"
    exit 1
    --- stderr
    error[ST0149]: .stead/stead.db exists already: restore into an empty data directory
    see: stead errors ST0149
    "#);
    assert_snapshot!(env.stead("restore b --data other"), @r#"
    exit 0
    --- stdout
    restored generation 2 from the backup of [time]: 1 run, 4 records, 0 long texts
    1 run paused; let them go on with `stead runs resume --all`
    "#);
    let doctor = env.stead("doctor --data other").succeeds().stdout;
    assert!(doctor.contains("generation 2: restored from a backup"), "{doctor}");
    assert_snapshot!(env.stead("approvals ls --data other"), @r#"
    exit 0
    --- stdout
    APPROVAL                           AGENT        TOOL             AGE  ARGUMENTS
    [run].e2  refund-desk  payments_refund  [age]  {"order_id":"1042","amount_cents":4990,"currency":"USD"}
    "#);
    assert_snapshot!(env.stead("runs resume --all --data other"), @r#"
    exit 0
    --- stdout
    1 run resumed
    "#);
}

#[test]
fn a_server_is_backed_up_while_it_runs_and_through_a_pipe() {
    let env = waiting();
    env.write("stead.toml", "listen = \"127.0.0.1:0\"\n");
    let _server = Serving::start(env.command(["serve"]), "serving");
    assert_snapshot!(env.stead("backup -"), @"
    exit 2
    --- stderr
    error: the backup goes to stdout: name a file for the keys of persons
    hint: stead backup - --subject-keys FILE
    ");
    let mut command = env.command(["backup", "-", "--subject-keys", "piped.keys"]);
    let piped = command.output().unwrap();
    assert!(piped.status.success());
    fs::write(env.path().join("piped"), &piped.stdout).unwrap();
    env.stead("backup verify piped").succeeds();
    env.stead("backup file").succeeds();
    let digest = |name: &str| env.json(&format!("backup verify {name} --json"))["digest"].clone();
    assert_ne!(digest("piped"), digest("file"), "each says when it was taken");
}

#[test]
fn keys_of_persons_are_needed_to_restore_and_are_not_lost_to_a_file_of_that_name() {
    let env = waiting();
    env.stead("backup b --subject-keys k").succeeds();
    assert_snapshot!(env.stead("backup verify b"), @"
    exit 0
    --- stdout
    taken [time] from sqlite, generation 1, by release 0.1.0
    1 run, 1 unfinished; 4 records; 0 long texts (their addresses are not proven without the key)
    [version]
    not looked into without keys of persons (--subject-keys): 4 records of 1 run, 0 long texts, 0 objects of workspaces
    ");
    assert_snapshot!(env.stead("restore b --data other"), @"
    exit 1
    --- stderr
    error[ST0367]: the texts of 1 run of 1 person, and what belongs to no person, cannot be opened: the keys are not there; name the file of subject keys that was written with the backup or after it with --subject-keys, or restore without these texts with --without-keys
    see: stead errors ST0367
    ");
    assert!(!env.path().join("other/stead.db").exists());
    env.write("mine", "a file of somebody");
    assert_snapshot!(env.stead("backup keys -o mine"), @"
    exit 1
    --- stderr
    error[ST0369]: mine: it is no file of subject keys: choose another name
    see: stead errors ST0369
    ");
    assert_snapshot!(env.stead("restore b --data other --subject-keys mine"), @"
    exit 1
    --- stderr
    error[ST0368]: mine: it does not begin like a file of subject keys
    see: stead errors ST0368
    ");
    let another = waiting();
    another.stead("backup keys -o k").succeeds();
    fs::copy(another.path().join("k"), env.path().join("another")).unwrap();
    assert!(env.stead("restore b --data other --subject-keys another").stderr.contains("error[ST0368]"));
    assert!(env.stead("backup keys -o another").stderr.contains("error[ST0369]"));
    // What cannot be kept is found out before anything is written.
    for (line, exit) in [
        ("backup c --subject-keys c", 2),
        ("backup c --key-file ./x --subject-keys x", 2),
        ("backup c --subject-keys none/k", 1),
        ("backup c --subject-keys mine", 1),
    ] {
        assert_eq!(env.stead(line).code, Some(exit), "{line}");
        assert!(!env.path().join("c").exists() && !env.path().join("x").exists(), "{line}");
    }
    // One of the same store makes room, and opens the backups of before.
    env.stead("backup keys -o k").succeeds();
    env.stead("restore b --data other --subject-keys k").succeeds();
    // A data folder may have them already.
    fs::create_dir_all(env.path().join("third/keys")).unwrap();
    fs::copy(env.path().join("k"), env.path().join("third/keys/subjects")).unwrap();
    env.stead("restore b --data third").succeeds();
}

#[test]
fn a_key_of_addresses_that_is_given_must_be_the_stores_own() {
    let env = waiting();
    assert!(env.stead("backup b --key-file k").succeeds().stdout.contains("1 run"));
    assert_eq!(fs::metadata(env.path().join("k")).unwrap().permissions().mode() & 0o777, 0o600);
    // No backup that is sealed has it: what is told of long texts there says nothing of what was in them.
    let key = fs::read(env.path().join("k")).unwrap();
    env.stead("backup c").succeeds();
    for file in ["b", "c"] {
        let bytes = fs::read(env.path().join(file)).unwrap();
        assert!(!bytes.windows(key.len()).any(|part| part == key), "{file}");
    }
    env.stead("restore c --data with-the-keys").succeeds();
    fs::write(env.path().join("wrong"), [7; 32]).unwrap();
    assert_snapshot!(env.stead("restore b --data other --key-file wrong"), @r#"
    exit 1
    --- stderr
    error[ST0155]: the key is not the one of the store that was backed up; name that with --key-file
    see: stead errors ST0155
    "#);
    assert!(!env.path().join("other/stead.db").exists());
    env.stead("restore b --data other --key-file k").succeeds();
}

#[test]
fn a_backup_that_fails_leaves_no_key_behind_and_takes_none_away() {
    let env = waiting();
    env.write("taken", "a file of somebody");
    for line in ["backup taken --key-file k", "backup none/b --key-file k"] {
        assert_eq!(env.stead(line).code, Some(1), "{line}");
        assert!(!env.path().join("k").exists(), "{line}");
    }
    assert_eq!(fs::read_to_string(env.path().join("taken")).unwrap(), "a file of somebody");
    assert_eq!(env.stead("backup b --key-file taken").code, Some(1));
    assert_eq!(fs::read_to_string(env.path().join("taken")).unwrap(), "a file of somebody");
    assert!(!env.path().join("b").exists());
    env.stead("backup b --key-file k").succeeds();
}

#[test]
fn a_backup_that_is_cut_or_changed_is_refused_and_leaves_nothing() {
    let env = waiting();
    env.stead("backup b").succeeds();
    let whole = fs::read(env.path().join("b")).unwrap();
    fs::write(env.path().join("cut"), &whole[..whole.len() - 1]).unwrap();
    assert_snapshot!(env.stead("backup verify cut"), @r#"
    exit 1
    --- stderr
    error[ST0148]: the backup: it is cut off; take another copy of the backup, or an older backup
    see: stead errors ST0148
    "#);
    let mut changed = whole;
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    fs::write(env.path().join("changed"), changed).unwrap();
    assert_eq!(env.stead("backup verify changed").code, Some(1));
    assert_eq!(env.stead("restore changed --data other").code, Some(1));
    assert!(!env.path().join("other/stead.db").exists());
    env.stead("restore b --data other").succeeds();
    assert_snapshot!(env.stead("backup verify refund-desk/agent.yaml"), @r#"
    exit 1
    --- stderr
    error[ST0148]: the backup: it does not begin like a backup of Stead; take another copy of the backup, or an older backup
    see: stead errors ST0148
    "#);
    assert_snapshot!(env.stead("backup b"), @r#"
    exit 1
    --- stderr
    error: b exists already
    hint: choose another name
    "#);
}

#[test]
fn data_of_this_release_needs_no_migration() {
    let env = waiting();
    assert_snapshot!(env.stead("migrate"), @"
    exit 0
    --- stdout
    format 10 is this release's: nothing to do
    ");
    assert_snapshot!(env.stead("migrate --dry-run --data other"), @"
    exit 1
    --- stderr
    error[ST0202]: [folder]/other has no data of Stead
    see: stead errors ST0202
    ");
}
