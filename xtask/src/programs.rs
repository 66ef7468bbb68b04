//! Programs of the workspace. `cargo xtask bench` and `cargo xtask sim` build one and run it in our place, with its
//! arguments, its standard output and its exit code untouched. What cargo says goes to stderr.

use std::{
    path::PathBuf,
    process::{Command, ExitCode, ExitStatus},
};

use crate::{Fail, repo::Repo};

/// Where the cases of a bench keep their data, unless the caller has chosen.
const BENCH_DIR: &str = "STEAD_BENCH_DIR";

/// The binary of the product that a bench measures; unset when there is none.
const BENCH_BINARY: &str = "STEAD_BENCH_BINARY";

/// Runs `stead-bench` as it would be released.
pub(crate) fn bench(repo: &Repo, args: &[&str]) -> Result<ExitCode, Fail> {
    let mut words = vec!["--release", "--package", "stead-bench"];
    if args.first() == Some(&"sandbox") {
        // Instances of components are measured beside boxes; for any other figure their compiler need not be built.
        words.extend(["--features", "wasm"]);
    }
    let program = build(repo, &words, "stead-bench")?;
    let mut command = Command::new(program);
    // Its cases name the examples from the root.
    command.args(args).current_dir(repo.root()).env_remove(BENCH_BINARY);
    if std::env::var_os(BENCH_DIR).is_none() {
        command.env(BENCH_DIR, target(repo)?.join("bench"));
    }
    if measures_binary(args) {
        match build(repo, &["--release", "--package", "stead"], "stead") {
            Ok(binary) => {
                command.env(BENCH_BINARY, binary);
            }
            Err(why) => eprintln!("bench: {why}; what is measured of the binary will be null"),
        }
    }
    finish(&mut command)
}

/// Runs `stead-sim` as the tests build it: the profile `dev` optimises the core and the simulator.
pub(crate) fn sim(repo: &Repo, args: &[&str]) -> Result<ExitCode, Fail> {
    // Of the workspace, so that its dependencies are those of the tests and are not built a second time.
    let program = build(repo, &["--workspace"], "stead-sim")?;
    finish(Command::new(program).args(args))
}

/// Builds the product's binary for this repository's own files, and gives its path.
pub(crate) fn stead(repo: &Repo) -> Result<PathBuf, Fail> {
    // A test target is asked for beside it (the smallest): then cargo chooses the features that the tests have, and what is
    // built here is not built again for them.
    build(repo, &["--workspace", "--test", "journal_conformance"], "stead")
}

/// Whether a bench looks at the binary of the product: `durable` does, but not a single cell of it.
fn measures_binary(args: &[&str]) -> bool {
    args.iter().filter(|a| !a.starts_with("--")).eq(&["durable"])
}

/// Builds a program and gives its path.
pub(crate) fn build(repo: &Repo, options: &[&str], program: &str) -> Result<PathBuf, Fail> {
    let mut command = Command::new("cargo");
    command.args(["build", "--quiet", "--bin", program]).args(options).current_dir(repo.root());
    let status = command.status().map_err(|e| format!("cargo: {e}"))?;
    if !status.success() {
        return Err(format!("{program} does not build"));
    }
    let profile = if options.contains(&"--release") { "release" } else { "debug" };
    Ok(target(repo)?.join(profile).join(program))
}

/// Cargo's target folder.
pub(crate) fn target(repo: &Repo) -> Result<PathBuf, Fail> {
    Ok(repo.metadata()?.target_directory.into_std_path_buf())
}

/// Runs a program to its end and gives its exit code.
pub(crate) fn finish(command: &mut Command) -> Result<ExitCode, Fail> {
    let status = command.status().map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    code(status).ok_or_else(|| format!("{}: {status}", command.get_program().display()))
}

/// The exit code, if there is one: a program that a signal ended has none.
fn code(status: ExitStatus) -> Option<ExitCode> {
    status.code().map(|code| ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_exit_code_is_passed_through() {
        let exit = |n: &str| finish(Command::new("sh").args(["-c", &format!("exit {n}")]));
        assert_eq!(exit("0").unwrap(), ExitCode::SUCCESS);
        assert_eq!(exit("7").unwrap(), ExitCode::from(7));
        let why = finish(Command::new("sh").args(["-c", "kill -9 $$"])).unwrap_err();
        assert!(why.contains("signal: 9"), "{why}");
    }

    #[test]
    fn only_the_whole_of_durable_needs_the_binary() {
        assert!(measures_binary(&["durable", "--json", "--quick"]));
        assert!(measures_binary(&["--quick", "durable"]));
        assert!(!measures_binary(&["durable", "cell", "pure", "64", "5"]));
        assert!(!measures_binary(&["--help"]));
    }
}
