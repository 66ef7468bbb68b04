//! `cargo xtask COMMAND`: what developers and `./test` run on the repository itself.
//!
//! Not here: anything a user runs, and any dependency on the crates of the product, so that these commands build in
//! seconds and judge the tree from outside.

mod generate;
mod mutants;
mod repo;
mod tidy;

use std::process::ExitCode;

/// What a command says when it cannot do its work; shown to the developer as it is.
type Fail = String;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  tidy                     prove what must be absent or present in the tree
  gen                      write the generated files that tidy compares
  mutants [--list] [NAME…] break each promise on purpose and demand that its named test fails
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["tidy"] => repo::Repo::find().and_then(|repo| tidy::run(&repo)),
        ["gen"] => repo::Repo::find().and_then(|repo| generate::write(&repo)),
        ["mutants", rest @ ..] => repo::Repo::find().and_then(|repo| mutants::run(&repo, rest)),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
