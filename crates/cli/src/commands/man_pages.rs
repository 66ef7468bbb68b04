//! `stead man-pages`: the manual pages, made from the grammar; packages carry them.

use std::{fs, path::Path};

use clap::CommandFactory as _;

use crate::{
    cli::Cli,
    error::{CliError, Outcome},
    exit::Exit,
};

/// Writes `stead.1`, `stead-run.1` and so on.
pub(crate) fn run(dir: &Path) -> Outcome {
    fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), dir))
        .map_err(|e| CliError::other(format!("{}: {e}", dir.display())))?;
    Ok(Exit::Ok)
}
