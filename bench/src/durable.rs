//! Durable steps: runs of ten no-op tools, each between no-op model calls, on SQLite with fsync, envelope, leaf hashes
//! and budget reservations on.
//!
//! A run has 21 durable records after its start: eleven model replies and ten tool results. Counted are twenty steps:
//! the reply that ends the run is not.

pub(crate) mod agent;
pub(crate) mod crash;
pub(crate) mod kill_switch;
mod limits;
pub(crate) mod restore;
pub(crate) mod steps;
mod storage;
mod suspended;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use serde_json::{Value, json};
use stead_core::effect::EffectClass;

/// `f_type` of filesystems in memory (`statfs(2)`): tmpfs, ramfs.
const IN_MEMORY: [u32; 2] = [0x0102_1994, 0x8584_58f6];

/// Where a case keeps its data: in the folder that `STEAD_BENCH_DIR` names, or else in the build folder. It must be on a
/// disk, for in memory a sync costs nothing.
pub(crate) fn scratch() -> tempfile::TempDir {
    let base = std::env::var_os("STEAD_BENCH_DIR").map_or_else(beside_program, PathBuf::from);
    std::fs::create_dir_all(&base).expect("the bench directory can be made (STEAD_BENCH_DIR names another)");
    let kind = rustix::fs::statfs(&base).expect("the bench directory can be looked at").f_type as u32;
    assert!(!IN_MEMORY.contains(&kind), "{} is in memory: name a folder on a disk in STEAD_BENCH_DIR", base.display());
    tempfile::tempdir_in(base).expect("the bench directory can be written")
}

/// `bench` in the build folder, two above this program.
fn beside_program() -> PathBuf {
    let program = std::env::current_exe().expect("this program has a path");
    program.ancestors().nth(2).expect("it is in a build folder").join("bench")
}

/// A runtime like the server's.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts")
}

pub(crate) fn main(quick: bool, as_json: bool) -> ExitCode {
    let seconds = Duration::from_secs_f64(if quick { 1.5 } else { 5.0 });
    let say = |what: &str, value: &Value| {
        if !as_json {
            println!("{what:<22} {value}");
        }
    };
    let mut out = serde_json::Map::new();
    let mut put = |key: &str, value: Value| {
        say(key, &value);
        out.insert(key.to_owned(), value);
    };
    put("fdatasync_us", limits::fdatasync_us(quick).into());
    put("raw_append_1000_per_s", limits::raw_append_per_s(1_000, seconds).into());
    for (name, class) in [("pure", EffectClass::Pure), ("irreversible", EffectClass::Irreversible)] {
        let mut cells = serde_json::Map::new();
        for callers in [1, 64, 1_000] {
            cells.insert(format!("c{callers}"), steps::cell(class, callers, seconds));
        }
        put(name, cells.into());
    }
    put("suspended", suspended::case(if quick { 10_000 } else { 100_000 }));
    put("crash", crash::case());
    put("restore", restore::case());
    put("storage_1000_turns", storage::case());
    let (start_ms, binary_bytes) = limits::binary();
    put("start_ms", start_ms);
    put("binary_bytes", binary_bytes);
    put("quick", quick.into());
    println!("{}", Value::Object(out));
    ExitCode::SUCCESS
}

/// One cell alone, for profiling.
pub(crate) fn one_cell(class: &str, callers: &str, seconds: &str) -> ExitCode {
    let class = match class {
        "pure" => EffectClass::Pure,
        "irreversible" => EffectClass::Irreversible,
        _ => return ExitCode::from(2),
    };
    let (Ok(callers), Ok(seconds)) = (callers.parse(), seconds.parse()) else { return ExitCode::from(2) };
    println!("{}", json!(steps::cell(class, callers, Duration::from_secs(seconds))));
    ExitCode::SUCCESS
}

/// One of the other cases alone.
pub(crate) fn one_case(case: &str, quick: bool) -> ExitCode {
    let value = match case {
        "suspended" => suspended::case(if quick { 10_000 } else { 100_000 }),
        "crash" => crash::case(),
        "restore" => restore::case(),
        "storage" => storage::case(),
        _ => return ExitCode::from(2),
    };
    println!("{value}");
    ExitCode::SUCCESS
}
