//! `cargo xtask bench agentdojo`: attacks by injected text, through the binary. AgentDojo is Python, so the bench is too
//! (`bench/agentdojo/README.md`); what it needs stands in an environment of its own below the target folder. The first run fetches it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use crate::{Fail, programs, repo::Repo};

/// What stands in the environment, each with its exact version.
const REQUIREMENTS: &str = "bench/agentdojo/requirements.txt";

/// Runs the bench with `args`; `--prove` runs it without the binary, where nothing stops an attack. What each pair came to is kept below the
/// target folder, so that a bench that is ended goes on where it was.
pub(crate) fn run(repo: &Repo, args: &[&str]) -> Result<ExitCode, Fail> {
    let python = environment(&programs::target(repo)?.join("agentdojo"), &repo.root().join(REQUIREMENTS))?;
    let here = repo.root().join("bench/agentdojo");
    let mut command = Command::new(python);
    if args.contains(&"--prove") {
        command.arg(here.join("prove.py")).args(args.iter().filter(|a| **a != "--prove"));
    } else {
        let stead = programs::build(repo, &["--release", "--package", "stead"], "stead")?;
        command.arg(here.join("run.py")).arg(stead).args(args);
        if !args.iter().any(|arg| arg.starts_with("--records")) {
            // Not in the environment's folder, which is emptied when it is made anew.
            let records = programs::target(repo)?.join("agentdojo-records.jsonl");
            command.arg(format!("--records={}", records.display()));
        }
    }
    programs::finish(&mut command)
}

/// The Python of an environment with what `requirements` names; made anew when that has changed.
fn environment(folder: &Path, requirements: &Path) -> Result<PathBuf, Fail> {
    let python = folder.join("bin/python");
    let stamp = folder.join("requirements.txt");
    let wanted = fs::read(requirements).map_err(|e| format!("{}: {e}", requirements.display()))?;
    if fs::read(&stamp).is_ok_and(|had| had == wanted) {
        return Ok(python);
    }
    done(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))?;
    done(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(requirements))?;
    // Last, so that an environment that is not whole is made again.
    fs::write(&stamp, wanted).map_err(|e| format!("{}: {e}", stamp.display()))?;
    Ok(python)
}

fn done(command: &mut Command) -> Result<(), Fail> {
    let status = command.status().map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", command.get_program().display())) }
}
