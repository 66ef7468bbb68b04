//! Our log in the hands of other people's tools: the Python package `aics-tlog`, which reads C2SP's layout, checks every tile and
//! bundle, and verifies checkpoint, witness and proofs. `./test` installs it where there is a Python that it runs on, and says so where
//! there is none; the test fails without it.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "the test writes files and runs a program; modules are shared"
)]

#[path = "shared/history.rs"]
mod history;

use std::{env, fs, path::PathBuf, process::Command};

use history::{Log, Seeded, tree};
use stead_audit::{
    edge::Edge,
    hash,
    tile::{self, Holds, Tile},
};

/// The Python that has the package: as `./test` installs it.
fn python() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(env::var_os("HOME").unwrap()).join(".cache"));
    let python = cache.join("stead/aics-tlog-0.2.1/bin/python3");
    assert!(python.exists(), "{} is missing: ./test makes it with a Python 3.12 or later", python.display());
    python
}

#[test]
#[ignore = "needs a Python of 3.12 or later with the package aics-tlog; ./test runs it where there is one"]
fn a_reader_by_other_people_verifies_checkpoint_tiles_entries_and_proofs() {
    let log = Log::new(700, 9, &mut Seeded(4));
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, bytes: &[u8]| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let mut edge = Edge::default();
    for some in log.shown.chunks(90) {
        let hashes: Vec<_> = some.iter().map(|shown| hash::leaf(&shown.leaf)).collect();
        for (tile, bytes) in edge.append(&hashes).unwrap() {
            write(&tile.to_string(), &bytes);
        }
    }
    for (index, some) in log.shown.chunks(256).enumerate() {
        let tile = Tile::new(Holds::Entries, index as u64, some.len() as u16).unwrap();
        write(&tile.to_string(), &tile::bundle(some.iter().map(|shown| &shown.leaf[..])).unwrap());
    }
    write("checkpoint", log.cosigned(&tree(&log.shown)).to_string().as_bytes());
    write("checkpoint.old", log.checkpoint(&tree(&log.shown[..300])).to_string().as_bytes());
    let run = || {
        Command::new(python())
            .args(["-I", "-B"])
            .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/other_reader.py"))
            .arg(folder.path())
            .args([log.log.verifier().to_string(), log.witness.verifier().to_string()])
            .output()
            .unwrap()
    };
    let out = run();
    let said = String::from_utf8_lossy(&out.stdout);
    assert_eq!(
        said,
        "700 leaves audited, 7 included, consistent with 300\n",
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    // And it is no reader that says yes to everything.
    let mut tile = fs::read(folder.path().join("tile/0/000")).unwrap();
    tile[40] ^= 1;
    write("tile/0/000", &tile);
    assert!(!run().status.success());
}
