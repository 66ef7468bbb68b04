//! Backups that were taken before an erasure: what of a person is in them, with which keys, and what is left when the person's key is
//! destroyed.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use stead_testkit::postgres::TestPostgres;

use crate::{
    common::TestEnvironment,
    test_erasure_command::{ADA, As, BOB, OTHER, WRITER, environment, is_in, places, serve, verified, work},
};

/// Words of a file that two persons have given to their runs.
const SHARED: &str = "Tj6sharedYc1marker";

/// All that is kept of a person in a store of SQLite.
const PLACES: [&str; 5] = ["records", "runs", "sessions", "blobs", "cassettes"];

/// Three persons work, two of them on the same file.
fn worked(env: &TestEnvironment) {
    As(env, "op").does(&["agents", "apply", "desk"]).succeeds();
    As(env, "globex").does(&["agents", "apply", "desk"]).succeeds();
    work(env);
    env.write("shared.txt", &format!("{SHARED} {}", "of both ".repeat(1_000)));
    for (who, mark) in [("ada", ADA), ("bob", BOB)] {
        let args = ["--quiet", "runs", "start", "desk", mark, "--attach", "shared.txt", "--watch"];
        As(env, who).does(&args).succeeds();
    }
    fs::remove_file(env.path().join("shared.txt")).unwrap();
}

/// Nothing of these words in a backup, packed or not, nor in a file of keys.
fn shows_nothing(env: &TestEnvironment, files: &[&str]) {
    for file in files {
        let bytes = fs::read(env.path().join(file)).unwrap();
        for mark in [ADA, BOB, OTHER, SHARED] {
            assert!(!is_in(&bytes, mark), "{mark} in {file}");
        }
    }
}

/// All of a person's texts are there.
fn has_all(folder: &Path, mark: &str) {
    let found = places(folder, mark);
    for place in PLACES {
        assert!(found.iter().any(|one| one.contains(place)), "{mark}: {place} of {found:?}");
    }
}

fn has_none(folder: &Path, mark: &str) {
    assert_eq!(places(folder, mark), Vec::<String>::new());
}

/// A restored folder takes the place of the one that there was; a server works on it, and every run and every proof of it holds.
fn holds(env: &TestEnvironment, folder: &str, bundle: &str) -> String {
    fs::remove_dir_all(env.path().join(".stead")).unwrap();
    fs::rename(env.path().join(folder), env.path().join(".stead")).unwrap();
    let server = serve(env);
    let op = As(env, "op");
    let listed = op.json(&["runs", "ls"]);
    let runs = listed["items"].as_array().unwrap();
    assert_eq!(runs.len(), 8);
    for run in runs {
        let id = run["id"].as_str().unwrap();
        op.does(&["runs", "show", id]).succeeds();
        op.does(&["runs", "verify", id]).succeeds();
    }
    verified(env, bundle);
    while op.json(&["audit", "erasures"])["erasures"].as_array().unwrap().iter().any(|one| one["state"] != "done") {}
    server.stop();
    listed.to_string()
}

#[test]
fn a_backup_of_before_an_erasure_shows_nothing_of_the_person_once_the_key_is_gone() {
    let env = environment(None);
    let server = serve(&env);
    worked(&env);
    has_all(&env.path().join(".stead"), ADA);
    env.stead("backup old.backup --subject-keys old.keys").succeeds();
    env.stead("backup verify old.backup --subject-keys old.keys").succeeds();
    // Before anything is erased, too.
    shows_nothing(&env, &["old.backup", "old.keys"]);
    fs::copy(env.path().join("old.keys"), env.path().join("kept.keys")).unwrap();

    let erased = As(&env, "op").does(&["audit", "erase", "ada", "-o", "certificate"]).succeeds();
    assert!(erased.stderr.contains("stead backup keys -o KEYS"), "{erased}");
    let certificate = fs::read_to_string(env.path().join("certificate")).unwrap();
    assert!(certificate.contains("\nkeys 1\n"), "{certificate}");
    env.stead("backup keys -o old.keys").succeeds();
    assert_eq!(fs::metadata(env.path().join("old.keys")).unwrap().permissions().mode() & 0o777, 0o600);
    // The keys of those who were not erased are as they were, and a person who comes back has another one.
    As(&env, "ada").does(&["--quiet", "runs", "start", "desk", "something else", "--watch"]).succeeds();
    env.stead("backup later.backup").succeeds();
    fs::copy(env.path().join(".stead/erasures"), env.path().join("kept.erasures")).unwrap();
    server.stop();

    // The old backup with the new keys: as if the person's texts had never been in it.
    let told = env.stead("restore old.backup --data first --subject-keys old.keys").succeeds();
    assert!(told.stdout.contains("1 erasure done again: the texts of 4 runs are gone"), "{told}");
    let first = env.path().join("first");
    has_none(&first, ADA);
    for mark in [BOB, OTHER] {
        has_all(&first, mark);
    }
    assert!(places(&first, SHARED).iter().any(|one| one.contains("blobs")), "what somebody else has too stays");
    // With the keys of before, which somebody has kept: it is all there, and goes with the file of erasures.
    env.stead("restore old.backup --data second --subject-keys kept.keys").succeeds();
    has_all(&env.path().join("second"), ADA);
    let told =
        env.stead("restore old.backup --data third --subject-keys kept.keys --erasures kept.erasures").succeeds();
    assert!(told.stdout.contains("1 erasure done again"), "{told}");
    has_none(&env.path().join("third"), ADA);
    has_all(&env.path().join("third"), BOB);
    // And then the key is gone from that store, too.
    fs::copy(env.path().join("kept.keys"), env.path().join("again.keys")).unwrap();
    env.stead("backup keys -o again.keys --data third").succeeds();
    env.stead("restore old.backup --data fourth --subject-keys again.keys").succeeds();
    has_none(&env.path().join("fourth"), ADA);

    // Without keys nothing is restored, and it is said of how many that is.
    let refused = env.stead("restore old.backup --data none");
    assert!(refused.stderr.contains("error[ST0367]: the texts of 11 runs of 3 persons"), "{refused}");
    assert!(!env.path().join("none/stead.db").exists());
    let told = env.stead("restore old.backup --data none --without-keys").succeeds();
    assert!(told.stdout.contains("11 runs came without texts"), "{told}");
    for mark in [ADA, BOB, OTHER, SHARED] {
        has_none(&env.path().join("none"), mark);
    }
    let listed = holds(&env, "none", "none.bundle");
    assert_eq!(listed.matches("[erased]").count(), 8, "{listed}");
    let listed = holds(&env, "first", "first.bundle");
    assert_eq!(listed.matches("[erased]").count(), 4, "{listed}");
    has_none(&env.path().join(".stead"), ADA);
    has_all(&env.path().join(".stead"), BOB);
    // What was written later is restored with the keys of then.
    env.stead("restore later.backup --data later").succeeds();
    assert!(!places(&env.path().join("later"), "something else").is_empty());
    has_none(&env.path().join("later"), ADA);
}

#[test]
fn a_data_folder_keeps_no_file_of_keys_that_an_erasure_would_not_reach() {
    let env = environment(None);
    let server = serve(&env);
    worked(&env);
    env.stead("backup old.backup --subject-keys kept.keys").succeeds();
    server.stop();
    fs::create_dir_all(env.path().join("other/keys")).unwrap();
    let own = env.path().join("other/keys/subjects");
    fs::copy(env.path().join("kept.keys"), &own).unwrap();
    env.stead("restore old.backup --data other").succeeds();
    assert!(!own.exists(), "its keys are in the database");
    fs::remove_dir_all(env.path().join(".stead")).unwrap();
    fs::rename(env.path().join("other"), env.path().join(".stead")).unwrap();
    let server = serve(&env);
    As(&env, "op").does(&["audit", "erase", "ada"]).succeeds();
    env.stead("backup keys -o now.keys").succeeds();
    server.stop();
    assert!(!env.path().join(".stead/keys/subjects").exists());
    // The keys of then are in no file that the folder has.
    fs::create_dir_all(env.path().join("again/keys")).unwrap();
    fs::copy(env.path().join("now.keys"), env.path().join("again/keys/subjects")).unwrap();
    env.stead("restore old.backup --data again").succeeds();
    has_none(&env.path().join("again"), ADA);
    has_all(&env.path().join("again"), BOB);
}

#[test]
fn a_restore_without_keys_begins_no_erasure_of_whom_a_hold_covers() {
    let env = environment(None);
    let server = serve(&env);
    worked(&env);
    As(&env, "op").does(&["audit", "hold", "place", "subject", "bob", "--reason", "case 7"]).succeeds();
    env.stead("backup old.backup --subject-keys kept.keys").succeeds();
    server.stop();
    let told = env.stead("restore old.backup --data other --without-keys").succeeds();
    assert!(told.stdout.contains("11 runs came without texts"), "{told}");
    assert!(told.stdout.contains("of 4 runs of these no erasure is begun: legal holds are in force"), "{told}");
    fs::remove_dir_all(env.path().join(".stead")).unwrap();
    fs::rename(env.path().join("other"), env.path().join(".stead")).unwrap();
    let server = serve(&env);
    let begun = As(&env, "op").json(&["audit", "erasures"]);
    assert_eq!(begun["erasures"].as_array().unwrap().len(), 1, "that of the other person alone: {begun}");
    let refused = As(&env, "op").does(&["audit", "erase", "bob"]);
    assert!(refused.stderr.contains("error[ST0361]"), "{refused}");
    server.stop();
}

#[test]
fn keys_of_persons_are_in_postgresql_for_all_its_servers_and_an_erasure_destroys_them() {
    let (postgres, other) = (TestPostgres::start(), TestPostgres::start());
    let env = environment(Some(&postgres.url()));
    let server = serve(&env);
    worked(&env);
    env.stead("backup old.backup --subject-keys old.keys").succeeds();
    // Whoever reads the database itself seals with the same keys.
    let url = postgres.url();
    env.stead(&format!("backup direct.backup --subject-keys old.keys --store {url}")).succeeds();
    shows_nothing(&env, &["old.backup", "direct.backup", "old.keys"]);
    env.stead("restore old.backup --data before --subject-keys old.keys").succeeds();
    has_all(&env.path().join("before"), ADA);
    fs::copy(env.path().join("old.keys"), env.path().join("kept.keys")).unwrap();

    As(&env, "op").does(&["audit", "erase", "ada"]).succeeds();
    env.stead(&format!("backup keys -o old.keys --store {url}")).succeeds();
    server.stop();
    for (backup, folder) in [("old.backup", "one"), ("direct.backup", "two")] {
        let told = env.stead(&format!("restore {backup} --data {folder} --subject-keys old.keys")).succeeds();
        assert!(told.stdout.contains("1 erasure done again"), "{told}");
        has_none(&env.path().join(folder), ADA);
        assert!(!places(&env.path().join(folder), BOB).is_empty());
    }
    let into = other.url();
    let told = env.stead(&format!("restore old.backup --data three --subject-keys old.keys --store {into}")).succeeds();
    assert!(told.stdout.contains("1 erasure done again: the texts of 4 runs are gone"), "{told}");
    env.stead(&format!("backup new.backup --data three --store {into}")).succeeds();
    env.stead("restore new.backup --data four").succeeds();
    has_none(&env.path().join("four"), ADA);
    assert!(!places(&env.path().join("four"), BOB).is_empty());
    // The keys of before open the backup of before, so what was looked for could be found.
    env.stead("restore old.backup --data five --subject-keys kept.keys").succeeds();
    assert!(!places(&env.path().join("five"), ADA).is_empty());
}

#[test]
fn the_backup_of_an_encrypted_store_takes_both_kinds_of_keys() {
    let env = environment(None);
    env.stead("data new-key data.key").succeeds();
    let config = fs::read_to_string(env.path().join("stead.toml")).unwrap();
    let key = env.path().join("data.key");
    env.write("stead.toml", &format!("encrypt = \"file:{}\"\n{config}", key.display()));
    let encrypted = |line: &str| {
        let mut command = env.command(line.split(' ').collect::<Vec<_>>());
        command.env("STEAD_ENCRYPT", format!("file:{}", key.display()));
        env.finish(command)
    };
    let server = serve(&env);
    worked(&env);
    encrypted("backup old.backup --subject-keys old.keys").succeeds();
    As(&env, "op").does(&["audit", "erase", "ada"]).succeeds();
    encrypted("backup keys -o new.keys").succeeds();
    server.stop();
    let refused = env.stead("restore old.backup --data none --subject-keys old.keys");
    assert!(refused.stderr.contains("error[ST0157]"), "{refused}");
    let refused = encrypted("restore old.backup --data none");
    assert!(refused.stderr.contains("error[ST0367]"), "{refused}");
    encrypted("restore old.backup --data before --subject-keys old.keys").succeeds();
    let told = encrypted("restore old.backup --data after --subject-keys new.keys").succeeds();
    assert!(told.stdout.contains("1 erasure done again: the texts of 4 runs are gone"), "{told}");
    // The keys of persons are wrapped in the store with its key, and go on with the next one.
    encrypted("data new-key next.key").succeeds();
    let next = format!("file:{}", env.path().join("next.key").display());
    encrypted(&format!("data rotate-key --to {next} --data after")).succeeds();
    let mut command = env.command(["backup", "keys", "-o", "rotated.keys", "--data", "after"]);
    command.env("STEAD_ENCRYPT", &next);
    env.finish(command).succeeds();
    encrypted("restore old.backup --data again --subject-keys rotated.keys").succeeds();
    let mut command = env.command(["runs", "ls", "--data", "again"]);
    command.env("STEAD_ENCRYPT", format!("file:{}", key.display()));
    env.finish(command).succeeds();
}

#[test]
fn files_of_a_workspace_are_sealed_for_those_who_made_them() {
    let env = environment(None);
    env.write("writer/agent.yaml", WRITER);
    let script = "rules:\n- when: { tool: shell }\n  say: Written.\n- say: Writing.\n  \
        call: [{ tool: shell, args: { command: 'mkdir -p deep/er; seq -f \"{{user}} %.0f\" 60000 > deep/er/note.txt' } }]\n";
    env.write("writer/script.yaml", script);
    let server = serve(&env);
    As(&env, "op").does(&["agents", "apply", "writer"]).succeeds();
    for (who, mark) in [("ada", ADA), ("bob", BOB)] {
        As(&env, who).does(&["--quiet", "runs", "start", "writer", mark, "--watch"]).succeeds();
    }
    env.stead("backup old.backup --subject-keys old.keys").succeeds();
    shows_nothing(&env, &["old.backup"]);
    fs::copy(env.path().join("old.keys"), env.path().join("kept.keys")).unwrap();
    As(&env, "op").does(&["audit", "erase", "ada"]).succeeds();
    env.stead("backup keys -o old.keys").succeeds();
    server.stop();
    let objects =
        |folder: &str, mark: &str| places(&env.path().join(folder), mark).iter().any(|found| found.contains("objects"));
    // A directory, the directory in it, the list of the file's pieces, and the pieces.
    let shut = env.json("backup verify old.backup --subject-keys old.keys --json")["shut"].clone();
    assert!(shut["objects"].as_u64().unwrap() >= 5, "{shut}");
    env.stead("restore old.backup --data before --subject-keys kept.keys").succeeds();
    env.stead("restore old.backup --data after --subject-keys old.keys").succeeds();
    assert_eq!((objects("before", ADA), objects("before", BOB)), (true, true));
    assert_eq!((objects("after", ADA), objects("after", BOB)), (false, true));
    has_none(&env.path().join("after"), ADA);
}
