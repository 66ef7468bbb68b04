//! `cargo xtask COMMAND`: what developers and `./test` run on the repository itself.
//!
//! Not here: anything a user runs, and any dependency on the crates of the product, so that these commands build in
//! seconds and judge the tree from outside. Where they need the product, they build its binary and call it.

mod agentdojo;
mod dist;
mod generate;
mod mutants;
mod programs;
mod repo;
mod smoke;
mod tidy;

use std::process::ExitCode;

/// What a command says when it cannot do its work; shown to the developer as it is.
type Fail = String;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  tidy                     prove what must be absent or present in the tree
  gen                      write the generated files that are stale
  dist [--target TRIPLE]   the packages of a release: docs/install.md says which
  check-target TRIPLE [PACKAGE…]
                           whether the binary compiles for another system, as far as this one can tell
  mutants [--list] [NAME…] break each promise on purpose and demand that its named test fails
  bench NAME [--json] [--quick]
                           figures of this machine; bench/README.md says which
  sim [ARGUMENTS]          simulated histories; without arguments as many as ./test runs
  smoke-local-model        a real model on this machine, end to end; fetches and builds it once
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    repo::Repo::find().and_then(|repo| run(&repo, &args)).unwrap_or_else(|message| {
        eprintln!("{message}");
        ExitCode::FAILURE
    })
}

fn run(repo: &repo::Repo, args: &[&str]) -> Result<ExitCode, Fail> {
    match args {
        ["tidy"] => tidy::run(repo)?,
        ["dist", rest @ ..] => dist::run(repo, rest)?,
        ["check-target", triple, packages @ ..] => dist::check::run(repo, triple, packages)?,
        ["gen"] => generate::write(repo)?,
        ["mutants", rest @ ..] => mutants::run(repo, rest)?,
        ["bench", "agentdojo", rest @ ..] => return agentdojo::run(repo, rest),
        ["bench", rest @ ..] => return programs::bench(repo, rest),
        ["smoke-local-model"] => smoke::local_model(repo)?,
        ["sim", rest @ ..] => return programs::sim(repo, rest),
        _ => {
            eprint!("{USAGE}");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}
