//! `stead sandboxes files`.

use clap::{Args, Subcommand};
use stead_api::sandbox::{FileChange, FileEntry, FileHappened, FileKind, MakeFolder, MoveFile};
use stead_client::Client;

use super::place::inside;
use crate::{
    cli::Global,
    error::{CliError, Outcome},
    ui::{self, table::table, term::clean, text},
};

/// Look at files of a sandbox, and change them
#[derive(Debug, Args)]
pub(super) struct Files {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List a folder
    Ls {
        /// SANDBOX:FOLDER; without a folder its workspace
        place: String,
    },
    /// Remove a file or folder
    Rm {
        /// SANDBOX:PATH
        place: String,
        /// Also a folder that is not empty
        #[arg(long, short)]
        recursive: bool,
    },
    /// Make a folder
    Mkdir {
        /// SANDBOX:PATH
        place: String,
        /// Those above it too
        #[arg(long, short)]
        parents: bool,
    },
    /// Move a file or folder
    Mv {
        /// SANDBOX:PATH
        from: String,
        /// The new path in the same sandbox
        to: String,
    },
    /// Tell of changes as they happen, until Ctrl-C
    Watch {
        /// SANDBOX:FOLDER; without a folder its workspace
        place: String,
        /// Also of folders below it
        #[arg(long, short)]
        recursive: bool,
    },
}

pub(super) async fn run(global: &Global, client: &Client, args: Files) -> Outcome<()> {
    match args.verb {
        Verb::Ls { place } => {
            let (id, path) = inside(&place)?;
            let listing = client.list_files(id, &path).await?;
            if global.json {
                ui::json(&listing)?;
                return Ok(());
            }
            let rows: Vec<_> = listing.entries.iter().map(row).collect();
            ui::text(&table(["MODE", "SIZE", "WRITTEN", "NAME"], &rows))?;
            if listing.more {
                ui::say("hint: there is more; list folders below it, or run `ls` in the sandbox");
            }
        }
        Verb::Rm { place, recursive } => {
            let (id, path) = inside(&place)?;
            entry(global, &client.remove_file(id, &path, recursive).await?)?;
        }
        Verb::Mkdir { place, parents } => {
            let (id, path) = inside(&place)?;
            entry(global, &client.make_folder(id, &MakeFolder { path, parents }).await?)?;
        }
        Verb::Mv { from, to } => {
            let (id, from) = inside(&from)?;
            // The sandbox may stand before the second path too.
            let to = match to.split_once(':') {
                Some((other, _)) if other == id.to_string() => inside(&to)?.1,
                Some((other, _)) if other.starts_with("sbx_") => {
                    return Err(CliError::usage("a file moves within one sandbox"));
                }
                _ => inside(&format!("{id}:{to}"))?.1,
            };
            entry(global, &client.move_file(id, &MoveFile { from, to }).await?)?;
        }
        Verb::Watch { place, recursive } => {
            let (id, path) = inside(&place)?;
            let mut watch = client.watch_files(id, &path, recursive).await?;
            ui::say(&format!("watching {}", clean(&path)));
            loop {
                let change = tokio::select! {
                    change = watch.next() => change?,
                    _ = tokio::signal::ctrl_c() => return Ok(()),
                };
                if global.json { ui::json_line(&change)? } else { ui::line(&happened(&change))? }
            }
        }
    }
    Ok(())
}

fn entry(global: &Global, entry: &FileEntry) -> Outcome<()> {
    if global.json {
        ui::json(entry)?;
    }
    Ok(())
}

fn row(entry: &FileEntry) -> [String; 4] {
    let (kind, end) = match entry.kind {
        FileKind::File => ('-', ""),
        FileKind::Folder => ('d', "/"),
        FileKind::Link => ('l', ""),
        FileKind::Other => ('?', ""),
    };
    let target = entry.target.as_ref().map(|t| format!(" -> {}", name(t))).unwrap_or_default();
    [
        format!("{kind}{:03o}", entry.mode),
        text::thousands(entry.size),
        text::instant(entry.modified),
        format!("{}{end}{target}", name(&entry.name)),
    ]
}

/// A name is one line, whatever is in it.
fn name(text: &str) -> String {
    clean(text).replace(['\n', '\t'], "\u{fffd}")
}

fn happened(change: &FileChange) -> String {
    let what = match change.what {
        FileHappened::Created => "created",
        FileHappened::Written => "written",
        FileHappened::Removed => "removed",
        FileHappened::MovedFrom => "moved from",
        FileHappened::MovedTo => "moved to",
        FileHappened::Lost => "changes lost below",
    };
    format!("{what} {}{}", name(&change.path), if change.folder { "/" } else { "" })
}
