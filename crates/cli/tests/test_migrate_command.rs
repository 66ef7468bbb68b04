//! `stead migrate`: data that a former release has written.

use std::fs;

use insta::assert_snapshot;

use crate::common::{TestEnvironment, root};

/// A folder with the data of the first format, as it was written then (`crates/store/examples/golden.rs` makes it).
fn of_the_first_format() -> TestEnvironment {
    let env = TestEnvironment::new();
    let packed = fs::read(root().join("crates/store/tests/golden/format-1.db.zst")).unwrap();
    fs::create_dir_all(env.path().join(".stead/keys")).unwrap();
    fs::write(env.path().join(".stead/keys/blob.key"), [7; 32]).unwrap();
    fs::write(env.path().join(".stead/stead.db"), zstd::decode_all(&packed[..]).unwrap()).unwrap();
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
    nothing was done
    ");
    assert!(database() == before && !env.path().join(".stead/before-format-3.backup").exists(), "nothing was done");
    assert_snapshot!(env.stead("migrate"), @"
    exit 0
    --- stdout
    format 2: indexes of open questions and of what runs have used, aliases of versions, lists by key and agent
    format 3: a table for the content of workspaces
    migrated from format 1; the data as it was is in .stead/before-format-3.backup
    ");
    assert_snapshot!(env.stead("backup verify .stead/before-format-3.backup"), @"
    exit 0
    --- stdout
    taken [time] from sqlite, generation 1, by release 0.1.0
    5 runs, 4 unfinished; 12 records; 5 long texts
    [version]
    ");
    assert_snapshot!(env.stead("migrate"), @"
    exit 0
    --- stdout
    format 3 is this release's: nothing to do
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
    assert!(doctor.contains("format 3, never restored"), "{doctor}");
    assert_snapshot!(env.stead("restore .stead/before-format-3.backup --data other"), @"
    exit 0
    --- stdout
    restored generation 2 from the backup of [time]: 5 runs, 12 records, 5 long texts
    4 runs paused; let them go on with `stead runs resume --all`
    ");
}
