//! `stead test`: an agent through its cases.

use std::path::PathBuf;

use clap::Args;
use stead_core::code;

use crate::{
    cli::Global,
    error::{CliError, Outcome},
    exit::Exit,
    testing::{junit, report, suite::Suite, update},
    ui,
};

/// Run the tests of an agent: DIR/tests/*.yaml
///
/// Each case runs in processes and a data folder of its own. No real model is asked: a rehearsal or a cassette stands for
/// it. Tools really run unless the case gives them doubles. docs/testing-agents.md describes the files.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Folder with an agent.yaml
    #[arg(value_name = "DIR")]
    agent: PathBuf,
    /// Only cases whose name holds this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Write the results as JUnit XML to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Runtimes at once; as many as there are processors when silent
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// Write the calls and the answer that were found into cases whose expectations of them failed
    #[arg(long)]
    update: bool,
}

pub(crate) async fn run(global: &Global, args: Test) -> Outcome {
    let suite = Suite::load(&args.agent, args.filter.as_deref())?;
    let usual = std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get);
    let results = suite.run(args.jobs.map_or(usual, usize::from)).await?;
    if let Some(path) = &args.junit {
        let xml = junit::render(&suite, &results).map_err(|e| CliError::other(format!("JUnit: {e}")))?;
        std::fs::write(path, xml)
            .map_err(|e| CliError::new(code::DATA_READONLY, format!("{}: {e}", path.display())))?;
    }
    if global.json {
        ui::json(&report::json(&results))?;
    } else {
        ui::text(&report::text(&results))?;
    }
    if args.update {
        for path in update::write(&results)? {
            ui::say(&format!("updated {}", path.display()));
        }
    }
    Ok(if results.iter().all(|r| r.passed()) { Exit::Ok } else { Exit::Failed })
}
