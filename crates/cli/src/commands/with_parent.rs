//! `stead with-parent`: becomes another program that ends with its parent.

use std::{ffi::OsString, os::unix::process::CommandExt as _};

use clap::Args;
use rustix::process::getppid;

use crate::{
    error::{CliError, Outcome},
    process,
};

/// Run a program that ends when its parent does
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct WithParent {
    /// The process that must be the parent
    parent: u32,
    /// Where the kernel does not do it: end this process when the parent has ended, and run nothing
    #[cfg(not(target_os = "linux"))]
    #[arg(long, value_name = "PROCESS", conflicts_with = "command")]
    watch: Option<u32>,
    /// Program and arguments
    #[arg(last = true, required = cfg!(target_os = "linux"))]
    command: Vec<OsString>,
}

pub(crate) fn run(args: &WithParent) -> Outcome {
    #[cfg(not(target_os = "linux"))]
    if let Some(child) = args.watch {
        process::watch(args.parent, child);
        return Ok(crate::exit::Exit::Ok);
    }
    process::end_with(args.parent)
        .map_err(|e| CliError::other(format!("the kernel does not tie it to its parent: {e}")))?;
    // The parent may have ended before the line above.
    if getppid().is_none_or(|p| u32::try_from(p.as_raw_nonzero().get()) != Ok(args.parent)) {
        return Err(CliError::other("the parent has ended"));
    }
    let (program, rest) = args.command.split_first().ok_or_else(|| CliError::usage("no program"))?;
    let error = std::process::Command::new(program).args(rest).exec();
    Err(CliError::other(format!("{} cannot be started: {error}", program.to_string_lossy())))
}
