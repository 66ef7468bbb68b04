//! `stead migrate`: data that a former release has written.

use std::fs;

use insta::assert_snapshot;
use stead_testkit::postgres::TestPostgres;

use crate::common::{TestEnvironment, root};

/// What the first format had written (`crates/store/examples/golden.rs` makes it).
fn written(file: &str) -> Vec<u8> {
    let packed = fs::read(root().join("crates/store/tests/golden").join(file)).unwrap();
    zstd::decode_all(&packed[..]).unwrap()
}

/// A folder with the key of that data.
fn with_its_key() -> TestEnvironment {
    let env = TestEnvironment::new();
    fs::create_dir_all(env.path().join(".stead/keys")).unwrap();
    fs::write(env.path().join(".stead/keys/blob.key"), [7; 32]).unwrap();
    env
}

/// A folder with the data of the first format.
fn of_the_first_format() -> TestEnvironment {
    let env = with_its_key();
    fs::write(env.path().join(".stead/stead.db"), written("format-1.db.zst")).unwrap();
    env
}

#[test]
fn data_of_the_first_format_is_backed_up_and_brought_to_this_one() {
    let env = of_the_first_format();
    let database = || fs::read(env.path().join(".stead/stead.db")).unwrap();
    let before = database();
    assert_snapshot!(env.stead("migrate --dry-run"), @"
    exit 0
    --- stdout
    format 2: indexes of open questions and of what runs have used, aliases of versions, lists by key and agent
    format 3: a table for the content of workspaces
    format 4: a table for policy sets
    format 5: a table for the keys of encrypted texts
    format 6: tables for the budgets of tenants and agents
    format 7: tables for what policies count
    format 8: tables for the audit log, for what operators turn off and for directories of approvers
    format 9: tables for notices of open questions, for erasures and for legal holds
    format 10: tables for the keys of persons under which backups are sealed
    nothing was done
    ");
    assert!(database() == before && !env.path().join(".stead/before-format-10.backup").exists(), "nothing was done");
    assert_snapshot!(env.stead("migrate"), @"
    exit 0
    --- stdout
    format 2: indexes of open questions and of what runs have used, aliases of versions, lists by key and agent
    format 3: a table for the content of workspaces
    format 4: a table for policy sets
    format 5: a table for the keys of encrypted texts
    format 6: tables for the budgets of tenants and agents
    format 7: tables for what policies count
    format 8: tables for the audit log, for what operators turn off and for directories of approvers
    format 9: tables for notices of open questions, for erasures and for legal holds
    format 10: tables for the keys of persons under which backups are sealed
    migrated from format 1; the data as it was is in .stead/before-format-10.backup
    --- stderr
    hint: it has every text in the clear, as the release before needs it: remove it when you need no way back
    ");
    assert_snapshot!(env.stead("backup verify .stead/before-format-10.backup"), @"
    exit 0
    --- stdout
    taken [time] from sqlite, generation 1, by release 0.1.0
    5 runs, 4 unfinished; 12 records; 5 long texts
    [version]
    ");
    assert_snapshot!(env.stead("migrate"), @"
    exit 0
    --- stdout
    format 10 is this release's: nothing to do
    ");
    env.stead("backup after").succeeds();
    assert_snapshot!(env.stead("backup verify after"), @"
    exit 0
    --- stdout
    taken [time] from sqlite, generation 1, by release 0.1.0
    5 runs, 4 unfinished; 12 records; 5 long texts
    [version]
    ");
    // What was written before opens, and so does the backup of it.
    let doctor = env.stead("doctor").stdout;
    assert!(doctor.contains("format 10, never restored"), "{doctor}");
    assert_snapshot!(env.stead("restore .stead/before-format-10.backup --data other"), @"
    exit 0
    --- stdout
    restored generation 2 from the backup of [time]: 5 runs, 12 records, 5 long texts
    4 runs paused; let them go on with `stead runs resume --all`
    ");
}

#[tokio::test]
async fn a_postgresql_database_of_the_first_format_is_backed_up_and_brought_to_this_one() {
    let (env, server) = (with_its_key(), TestPostgres::start());
    let stead = |line: &str| env.stead(&format!("{line} --store {}", server.url()));
    assert_snapshot!(stead("migrate"), @"
    exit 1
    --- stderr
    error[ST0202]: the database has no data of Stead
    see: stead errors ST0202
    ");
    server.execute(&String::from_utf8(written("format-1.sql.zst")).unwrap()).await;
    assert_snapshot!(stead("migrate --data other"), @"
    exit 1
    --- stderr
    error[ST0155]: other/keys/blob.key does not exist, and the database is opened with the key of its store; name the data folder that has it with --data
    see: stead errors ST0155
    ");
    let planned = stead("migrate --dry-run");
    assert_snapshot!(&planned, @"
    exit 0
    --- stdout
    format 2: indexes of open questions and of what runs have used, aliases of versions, lists by key and agent
    format 3: a table for the content of workspaces
    format 4: a table for policy sets
    format 5: a table for the keys of encrypted texts
    format 6: tables for the budgets of tenants and agents
    format 7: tables for what policies count
    format 8: tables for the audit log, for what operators turn off and for directories of approvers
    format 9: tables for notices of open questions, for erasures and for legal holds
    format 10: tables for the keys of persons under which backups are sealed
    nothing was done
    ");
    assert_eq!(stead("migrate --dry-run").stdout, planned.stdout, "nothing was done");
    assert!(!env.path().join(".stead/before-format-10.backup").exists(), "and nothing was backed up");
    env.write("taken", "a file of somebody");
    assert_snapshot!(stead("migrate --backup taken"), @"
    exit 1
    --- stderr
    error: taken exists already
    hint: choose another name
    ");
    assert_eq!(stead("migrate --dry-run").stdout, planned.stdout, "without a backup nothing is done");
    assert_snapshot!(stead("migrate"), @"
    exit 0
    --- stdout
    format 2: indexes of open questions and of what runs have used, aliases of versions, lists by key and agent
    format 3: a table for the content of workspaces
    format 4: a table for policy sets
    format 5: a table for the keys of encrypted texts
    format 6: tables for the budgets of tenants and agents
    format 7: tables for what policies count
    format 8: tables for the audit log, for what operators turn off and for directories of approvers
    format 9: tables for notices of open questions, for erasures and for legal holds
    format 10: tables for the keys of persons under which backups are sealed
    migrated from format 1; the data as it was is in .stead/before-format-10.backup
    --- stderr
    hint: it has every text in the clear, as the release before needs it: remove it when you need no way back
    ");
    assert_snapshot!(env.stead("backup verify .stead/before-format-10.backup"), @"
    exit 0
    --- stdout
    taken [time] from postgres, generation 1, by release 0.1.0
    5 runs, 4 unfinished; 12 records; 5 long texts
    [version]
    ");
    assert_snapshot!(stead("migrate"), @"
    exit 0
    --- stdout
    format 10 is this release's: nothing to do
    ");
    stead("backup after").succeeds();
    assert_snapshot!(env.stead("backup verify after"), @"
    exit 0
    --- stdout
    taken [time] from postgres, generation 1, by release 0.1.0
    5 runs, 4 unfinished; 12 records; 5 long texts
    [version]
    ");
    // What was there before can be had again, from a database into a folder.
    assert_snapshot!(env.stead("restore .stead/before-format-10.backup --data other"), @"
    exit 0
    --- stdout
    restored generation 2 from the backup of [time]: 5 runs, 12 records, 5 long texts
    4 runs paused; let them go on with `stead runs resume --all`
    ");
}
