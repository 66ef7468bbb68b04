//! `stead restore`: out of a backup into what is empty. Nothing begins to work by it.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use stead_core::{id::RunId, time::Timestamp};
use stead_server::{
    backup::{Target, restore},
    config::DatabaseUrl,
};

use super::backup::{database, keys_for, open};
use crate::{
    cli::Global,
    error::{CliError, Outcome},
    exit::Exit,
    ui::{self, text},
};

/// Restore a backup into an empty data folder or database
///
/// Every run that had not ended is paused, and stays marked: what it may have done after the backup was taken is done
/// again only where that is safe, or when a human says that it did not happen. `stead runs resume` lets runs go on.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup; `-` is stdin
    file: PathBuf,
    /// Restore into this PostgreSQL database instead of the data folder, which then only gets the key
    #[arg(long, value_name = "URL", value_parser = database)]
    store: Option<DatabaseUrl>,
    /// The backup's key, when that is kept apart
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Certificates of erasures that are done again; those in the file `erasures` of the data folder are in any case
    #[arg(long, value_name = "FILE")]
    erasures: Option<PathBuf>,
    /// The file with the keys of persons; FILE.keys, or the data folder's `keys/subjects`, when silent
    #[arg(long, value_name = "FILE")]
    subject_keys: Option<PathBuf>,
    /// Restore as erased what has no key, for good, instead of nothing
    #[arg(long)]
    without_keys: bool,
}

#[derive(Serialize)]
struct Told {
    generation: u32,
    taken: Timestamp,
    runs: u64,
    records: u64,
    blobs: u64,
    cassettes: u64,
    paused: u64,
    set_aside: Vec<RunId>,
    erasures: u64,
    erased: u64,
    without_keys: u64,
    held_without_keys: u64,
}

pub(crate) async fn run(global: &Global, args: RestoreArgs) -> Outcome {
    let target = Target {
        data_dir: global.data.clone(),
        database: args.store,
        key_file: args.key_file,
        erasures: args.erasures,
        subject_keys: keys_for(args.subject_keys, &args.file),
        without_keys: args.without_keys,
    };
    let done = restore(open(&args.file)?, target).await.map_err(|e| CliError::new(e.code(), e.to_string()))?;
    let told = Told {
        generation: done.generation,
        taken: Timestamp(done.head.taken),
        runs: done.summary.runs,
        records: done.summary.records,
        blobs: done.summary.blobs,
        cassettes: done.summary.cassettes,
        paused: done.marked.paused,
        set_aside: done.marked.set_aside.iter().map(|(run, _)| *run).collect(),
        erasures: done.erasures,
        erased: done.erased,
        without_keys: done.without_keys,
        held_without_keys: done.held_without_keys,
    };
    for (run, why) in &done.marked.set_aside {
        eprintln!("warning: {run} cannot be read and was not marked: {}", ui::term::clean(why));
    }
    for run in &done.erased_unfinished {
        eprintln!("warning: {run} had not ended, and its texts are erased: stop it with `stead runs cancel {run}`");
    }
    if global.json {
        ui::json(&told)?;
        return Ok(Exit::Ok);
    }
    ui::text(&format!(
        "restored generation {} from the backup of {}: {}, {}, {}\n{} paused; let them go on with `stead runs resume --all`\n",
        told.generation,
        text::instant(told.taken),
        text::counted(told.runs, "run"),
        text::counted(told.records, "record"),
        text::counted(told.blobs, "long text"),
        text::counted(told.paused, "run"),
    ))?;
    if told.erasures > 0 {
        ui::text(&format!(
            "{} done again: the texts of {} are gone\n",
            text::counted(told.erasures, "erasure"),
            text::counted(told.erased, "run"),
        ))?;
    }
    if told.without_keys > 0 {
        ui::text(&format!(
            "{} came without texts, for there was no key; erasures of these are begun, and go on when a server works on the data\n",
            text::counted(told.without_keys, "run"),
        ))?;
    }
    if told.held_without_keys > 0 {
        ui::text(&format!(
            "of {} of these no erasure is begun: legal holds are in force; erase their persons when these are released\n",
            text::counted(told.held_without_keys, "run"),
        ))?;
    }
    Ok(Exit::Ok)
}
