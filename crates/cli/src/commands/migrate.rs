//! `stead migrate`: data of a release before, brought to this release's format.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use stead_server::{
    config::DatabaseUrl,
    migrate::{Data, FORMAT, Plan},
};

use super::backup::{database, keep};
use crate::{
    cli::Global,
    error::{CliError, Outcome},
    exit::Exit,
    ui,
};

/// Bring data of an older release to this release's format
///
/// Backs the data up first, in its old format. Afterwards older releases cannot open it any more.
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Where the backup goes; in the data folder when silent
    #[arg(long, value_name = "FILE")]
    backup: Option<PathBuf>,
    /// Migrate this PostgreSQL database instead of the data folder, which has its key
    #[arg(long, value_name = "URL", value_parser = database)]
    store: Option<DatabaseUrl>,
}

#[derive(Serialize)]
struct Told {
    found: u32,
    format: u32,
    steps: Vec<&'static str>,
    /// Where the backup is; absent when nothing was done.
    backup: Option<PathBuf>,
}

pub(crate) async fn run(global: &Global, args: Migrate) -> Outcome {
    let failed = |e: stead_server::StoreError| CliError::new(e.code, e.detail);
    let data = Data { data_dir: global.data.clone(), database: args.store };
    let Plan { found, steps } = data.plan().await.map_err(failed)?;
    let backup = if steps.is_empty() || args.dry_run {
        None
    } else {
        let file = args.backup.unwrap_or_else(|| global.data.join(format!("before-format-{FORMAT}.backup")));
        keep(data.backup().map_err(failed)?, &file).await?;
        data.go().await.map_err(failed)?;
        Some(file)
    };
    if global.json {
        ui::json(&Told { found, format: FORMAT, steps: steps.iter().map(|s| s.what).collect(), backup })?;
        return Ok(Exit::Ok);
    }
    if steps.is_empty() {
        ui::line(&format!("format {found} is this release's: nothing to do"))?;
        return Ok(Exit::Ok);
    }
    for step in steps {
        ui::line(&format!("format {}: {}", step.to, step.what))?;
    }
    match backup {
        Some(file) => {
            ui::line(&format!("migrated from format {found}; the data as it was is in {}", file.display()))?;
            if !global.quiet {
                ui::say(
                    "hint: it has every text in the clear, as the release before needs it: remove it when you need no way back",
                );
            }
        }
        None => ui::line("nothing was done")?,
    }
    Ok(Exit::Ok)
}
