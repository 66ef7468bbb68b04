//! `stead data`, and a data folder that is encrypted.

use std::{fs, path::Path};

use insta::assert_snapshot;

use crate::common::{Terminal, TestEnvironment};

/// What the runs say, and no file may have.
const SAID: &str = "Refund order 1042";

fn with_key() -> TestEnvironment {
    let env = TestEnvironment::with_refund_desk();
    let made = env.stead("data new-key data.key").succeeds();
    assert!(made.stderr.contains("made the key data.key: keep a copy of it elsewhere"), "{made}");
    env
}

fn stead(env: &TestEnvironment, key: &str, line: &str) -> Terminal {
    let mut command = env.command(line.split(' '));
    command.env("STEAD_ENCRYPT", format!("file:{key}"));
    env.finish(command)
}

/// A run that waits for a human, recorded.
fn waiting(env: &TestEnvironment, key: &str) {
    let mut command = env.command(["run", "--quiet", "--record", "cassette", "refund-desk", SAID]);
    command.env("STEAD_ENCRYPT", format!("file:{key}"));
    let asked = env.finish(command);
    assert_eq!(asked.code, Some(3), "{asked}");
}

fn found(dir: &Path) -> Vec<String> {
    let mut out = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(found(&path));
        } else if fs::read(&path).unwrap().windows(SAID.len()).any(|w| w == SAID.as_bytes()) {
            out.push(path.display().to_string());
        }
    }
    out
}

#[test]
fn an_encrypted_folder_says_nothing_and_opens_with_its_key_alone() {
    let env = with_key();
    let again = env.stead("data new-key data.key");
    assert!(again.code == Some(1) && again.stderr.contains("ST0157"), "{again}");
    waiting(&env, "data.key");
    assert_eq!(found(&env.path().join(".stead")), Vec::<String>::new());
    assert!(stead(&env, "data.key", "runs ls").succeeds().stdout.contains(SAID));
    let refused = env.stead("runs ls");
    assert!(refused.code == Some(1) && refused.stderr.contains("ST0157"), "{refused}");
    env.stead("data new-key other.key").succeeds();
    let refused = stead(&env, "other.key", "runs ls");
    assert!(refused.stderr.contains("under another key"), "{refused}");
    let refused = stead(&env, "gone.key", "runs ls");
    assert!(refused.stderr.contains("file:gone.key is not there"), "{refused}");
    fs::write(env.path().join("short.key"), "c2hvcnQ=").unwrap();
    let refused = stead(&env, "short.key", "runs ls");
    assert!(refused.stderr.contains("ST0157") && !refused.stderr.contains("c2hvcnQ"), "{refused}");
}

#[test]
fn a_rotated_folder_opens_with_the_new_key_and_its_backup_is_restored_with_it() {
    let env = with_key();
    waiting(&env, "data.key");
    env.stead("data new-key next.key").succeeds();
    assert_snapshot!(stead(&env, "data.key", "data rotate-key --to file:next.key"), @r#"
    exit 0
    --- stderr
    2 new keys made, 2 older keys kept for what was written before
    from now on: encrypt = "file:next.key"
    "#);
    assert!(stead(&env, "data.key", "runs ls").stderr.contains("ST0157"));
    assert!(stead(&env, "next.key", "runs ls").succeeds().stdout.contains(SAID));
    stead(&env, "next.key", "backup all.backup").succeeds();
    assert_eq!(found(env.path()).iter().filter(|f| f.ends_with(".backup") || f.contains(".stead")).count(), 0);
    let unproven = env.stead("backup verify all.backup").succeeds();
    assert!(unproven.stdout.contains("only the file's checksums are proven"), "{unproven}");
    let refused = env.stead("restore all.backup --data new");
    assert!(refused.code == Some(1) && refused.stderr.contains("ST0157"), "{refused}");
    stead(&env, "next.key", "restore all.backup --data new").succeeds();
    assert_eq!(found(&env.path().join("new")), Vec::<String>::new());
    let runs = stead(&env, "next.key", "runs ls --data new").succeeds();
    assert!(runs.stdout.contains(SAID), "{runs}");
}

#[test]
fn a_folder_without_data_or_key_is_told() {
    let env = with_key();
    assert_snapshot!(stead(&env, "data.key", "data rotate-key"), @"
    exit 1
    --- stderr
    error[ST0202]: .stead has no data of Stead
    see: stead errors ST0202
    ");
}
