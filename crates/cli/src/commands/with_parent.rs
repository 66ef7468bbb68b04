//! `stead with-parent`: becomes another program that ends with its parent.

use std::{ffi::OsString, os::unix::process::CommandExt as _};

use clap::Args;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use crate::error::{CliError, Outcome};

/// Run a program that ends when its parent does
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct WithParent {
    /// The process that must be the parent
    parent: u32,
    /// Program and arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// The kernel keeps the signal over `exec` (prctl(2), `PR_SET_PDEATHSIG`), which is why this needs no `unsafe` code
/// between fork and exec.
pub(crate) fn run(args: &WithParent) -> Outcome {
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|e| CliError::other(format!("the kernel does not tie it to its parent: {e}")))?;
    // The parent may have ended before the line above.
    if getppid().is_none_or(|p| u32::try_from(p.as_raw_nonzero().get()) != Ok(args.parent)) {
        return Err(CliError::other("the parent has ended"));
    }
    let (program, rest) = args.command.split_first().ok_or_else(|| CliError::usage("no program"))?;
    let error = std::process::Command::new(program).args(rest).exec();
    Err(CliError::other(format!("{} cannot be started: {error}", program.to_string_lossy())))
}
