//! Runs the named tests in the copy, first with the code as it is, then with each guarantee broken.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::Instant,
};

use crate::{
    Fail,
    mutants::{Mutant, copy::Copy},
    repo::Repo,
};

/// What became of a mutant.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its test failed, as it must.
    Caught,
    /// Its test passed: the promise has no test.
    Survived,
    /// Its test does not pass, or does not exist, before anything is broken.
    TestBroken(String),
    /// With the guarantee broken the code does not build, which proves nothing.
    NotBuilt(String),
}

/// Judges all, tells of each, and fails unless each was caught.
pub(super) fn all(repo: &Repo, cache: &Path, mutants: &BTreeMap<String, Mutant>) -> Result<(), Fail> {
    let copy = Copy::of(repo, cache)?;
    let target = cache.join("target");
    let mut bad = Vec::new();
    for (name, mutant) in mutants {
        let start = Instant::now();
        let verdict = one(&copy, &target, mutant)?;
        let seconds = start.elapsed().as_secs();
        let Mutant { promise, package, test, .. } = mutant;
        match &verdict {
            Verdict::Caught => {
                println!("caught   {name} (promise {promise}, {seconds} s)");
                continue;
            }
            Verdict::Survived => println!("SURVIVED {name}: {package}::{test} passes with promise {promise} broken"),
            Verdict::TestBroken(why) => println!("BROKEN   {name}: {package}::{test} does not pass as it is\n{why}"),
            Verdict::NotBuilt(why) => println!("BROKEN   {name}: does not build\n{why}"),
        }
        bad.push(name.as_str());
    }
    if bad.is_empty() {
        println!("{} mutants, all caught", mutants.len());
        Ok(())
    } else {
        Err(format!("mutants: {} of {} not caught: {}", bad.len(), mutants.len(), bad.join(", ")))
    }
}

/// Judges one, and mends the copy afterwards.
pub(super) fn one(copy: &Copy, target: &Path, mutant: &Mutant) -> Result<Verdict, Fail> {
    let path = copy.root().join(&mutant.file);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let broken = mutant.apply(&text)?;
    match run(copy, target, mutant)? {
        Ran::Passed => {}
        Ran::Failed(said) | Ran::NotBuilt(said) | Ran::NoSuchTest(said) => return Ok(Verdict::TestBroken(said)),
    }
    copy.write(&mutant.file, broken.as_bytes())?;
    let ran = run(copy, target, mutant);
    copy.write(&mutant.file, text.as_bytes())?;
    Ok(match ran? {
        Ran::Passed => Verdict::Survived,
        Ran::Failed(_) => Verdict::Caught,
        Ran::NotBuilt(said) | Ran::NoSuchTest(said) => Verdict::NotBuilt(said),
    })
}

/// Variables through which a test run of cargo speaks to its tests.
const INHERITED: &[&str] = &["NEXTEST", "CARGO_BIN", "CARGO_MANIFEST", "CARGO_PKG"];

/// How one run of the test ended.
enum Ran {
    Passed,
    Failed(String),
    NotBuilt(String),
    NoSuchTest(String),
}

fn run(copy: &Copy, target: &Path, mutant: &Mutant) -> Result<Ran, Fail> {
    let mut command = Command::new("cargo");
    command
        .args(["nextest", "run", "--package", &mutant.package])
        // The whole name, or the last part of a path of modules.
        .args(["-E", &format!("test(/(^|::){}$/)", mutant.test)])
        // Tests that need root are ignored elsewhere; where they cannot run they fail, and their mutants are not caught.
        .args(["--run-ignored", "all"])
        .args(["--no-fail-fast", "--retries", "0", "--hide-progress-bar", "--no-tests", "fail"])
        .current_dir(copy.root())
        .env("CARGO_TARGET_DIR", target)
        // Warnings of the real tree are judged there; here dead code is the point.
        .env_remove("RUSTFLAGS")
        .stdin(Stdio::null());
    // A run inside a test run of cargo must not take its settings over.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if INHERITED.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    let out = command
        .output()
        .map_err(|e| format!("cargo nextest: {e}; install it with `cargo install --locked cargo-nextest`"))?;
    let said = tail(&out);
    // The exit codes are nextest's documented interface.
    match out.status.code() {
        Some(0) => Ok(Ran::Passed),
        Some(100) => Ok(Ran::Failed(said)),
        Some(101) => Ok(Ran::NotBuilt(said)),
        Some(4) => Ok(Ran::NoSuchTest(said)),
        _ => Err(format!("cargo nextest: {}\n{said}", out.status)),
    }
}

/// The last lines of what a run said.
fn tail(out: &Output) -> String {
    let text = [String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)].concat();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
