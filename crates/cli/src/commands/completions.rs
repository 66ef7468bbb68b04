//! `stead completions`: what a shell needs to complete commands.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::{cli::Cli, error::Outcome, exit::Exit, ui};

/// Print completions for a shell
///
/// For bash: stead completions bash > ~/.local/share/bash-completion/completions/stead
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Completions) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "stead", &mut script);
    ui::text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
