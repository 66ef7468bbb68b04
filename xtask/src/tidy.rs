//! `cargo xtask tidy`: the rules of the repository that no compiler knows, each with a reason and each able to fail.
//!
//! Not here: style (rustfmt, clippy), licences (cargo deny), and sizes of files, which are for the eye: long files are
//! named, and fail nothing.

mod abuse;
pub(crate) mod codes;
mod dependencies;
mod edges;
mod generated;
mod links;
mod promises;
mod rust;
mod sources;
mod unused;

use std::time::Instant;

use crate::{Fail, repo::Repo};

/// What is wrong, one line each, with the file first.
type Findings = Vec<String>;

/// One rule: its name, and how it is checked.
type Check = (&'static str, fn(&Repo) -> Result<Findings, Fail>);

const CHECKS: &[Check] = &[
    ("crates import only what the map allows", edges::check),
    ("every direct dependency is argued for", dependencies::check),
    ("every crate uses what it depends on", unused::check),
    ("every code has its page, its use, and every page its code", codes::check),
    ("every promise has a test and a mutant", promises::check),
    ("every abuse case is shown in every tier, or said not to be there", abuse::check),
    ("generated files are fresh", generated::check),
    ("sources open with a description and leave nothing behind", sources::check),
    ("links in the documents lead somewhere", links::check),
];

/// Runs every check, and fails when one found something.
pub(crate) fn run(repo: &Repo) -> Result<(), Fail> {
    let mut found = 0;
    for (name, check) in CHECKS {
        let start = Instant::now();
        let findings = check(repo)?;
        let mark = if findings.is_empty() { "ok  " } else { "FAIL" };
        println!("{mark} {name} ({} ms)", start.elapsed().as_millis());
        for finding in &findings {
            println!("       {finding}");
        }
        found += findings.len();
    }
    for long in sources::long(repo)? {
        println!("note {long}");
    }
    if found == 0 { Ok(()) } else { Err(format!("tidy: {found} findings")) }
}
