//! `stead policy`: folders of policies, checked, tried and compared before anything is decided by them. They read files and
//! ask no server.

mod check;
mod diff;
mod folder;
mod test;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::{cli::Global, error::Outcome};

/// Check, test and compare folders of policies
///
/// A folder holds *.cedar, and beside them tools.yaml, history.yaml and tests.yaml; docs/policy.md describes them.
#[derive(Debug, Args)]
pub(crate) struct Policy {
    #[command(subcommand)]
    verb: Verb,
}

/// A folder, and how it is read.
#[derive(Debug, Args)]
struct Folder {
    /// Folder of policies
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Leave the default policy out
    #[arg(long)]
    no_default: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Apply a folder to its tools, and say what is wrong or deserves a second look
    ///
    /// Ends with 1 when the folder is refused, and with --strict also when anything deserves a second look.
    Check {
        #[command(flatten)]
        folder: Folder,
        /// Fail on warnings too
        #[arg(long)]
        strict: bool,
    },
    /// Ask the cases of DIR/tests.yaml
    Test {
        #[command(flatten)]
        folder: Folder,
        /// Only cases whose name holds this
        #[arg(long, value_name = "TEXT")]
        filter: Option<String>,
    },
    /// Compare two folders, policy by policy
    Diff {
        /// The folder before
        #[arg(value_name = "BEFORE")]
        before: PathBuf,
        /// The folder after
        #[arg(value_name = "AFTER")]
        after: PathBuf,
    },
}

pub(crate) fn run(global: &Global, args: &Policy) -> Outcome {
    match &args.verb {
        Verb::Check { folder, strict } => check::run(global, folder, *strict),
        Verb::Test { folder, filter } => test::run(global, folder, filter.as_deref()),
        Verb::Diff { before, after } => diff::run(global, before, after),
    }
}
