//! `stead runs files`: the workspace that a run left. What is in it is foreign: names are shown escaped, files are written where the
//! user says and nowhere else.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use futures_util::TryStreamExt as _;
use stead_api::workspace::{WorkspaceEntry, WorkspaceFolder, WorkspaceKind};
use stead_client::Client;
use stead_core::{code, id::RunId};

use super::artifacts::get_to;
use crate::{
    cli::Global,
    error::{CliError, Outcome},
    ui::{self, table::table, term::clean, text},
};

/// Lists a folder, or writes a file.
pub(super) async fn look(
    global: &Global,
    client: &Client,
    run: RunId,
    path: &str,
    output: Option<PathBuf>,
) -> Outcome<()> {
    match client.workspace(run, path).await {
        Ok(folder) if output.is_none() => {
            if global.json {
                return Ok(ui::json(&folder)?);
            }
            ui::text(&shown(&folder))?;
            if folder.more && !global.quiet {
                ui::say(&format!("only the first {} are shown", folder.items.len()));
            }
            Ok(())
        }
        Ok(_) => {
            Err(CliError::usage(format!("{} is a folder", clean(path))).hint("name a file, or take all with --tar"))
        }
        // It may be a file: then its bytes are what was asked for.
        Err(e) if e.code == code::WORKSPACE_PATH => {
            get_to(global, output, async || Ok(client.workspace_file(run, path).await?)).await
        }
        Err(e) => Err(e.into()),
    }
}

fn shown(folder: &WorkspaceFolder) -> String {
    let name = |e: &WorkspaceEntry| match (&e.kind, &e.target) {
        (WorkspaceKind::Folder, _) => format!("{}/", clean(&e.name)),
        (_, Some(target)) => format!("{} -> {}", clean(&e.name), clean(target)),
        _ => clean(&e.name).to_string(),
    };
    let rows: Vec<_> = folder.items.iter().map(|e| [name(e), text::thousands(e.size)]).collect();
    table(["NAME", "BYTES"], &rows)
}

/// Writes the whole workspace as an archive. A part of one is removed.
pub(super) async fn archive(global: &Global, client: &Client, run: RunId, to: &Path) -> Outcome<()> {
    let pieces = client.workspace_archive(run).await?;
    let unwritten = |e: io::Error| CliError::other(format!("{} cannot be written: {e}", to.display()));
    let mut file = File::create_new(to).map_err(unwritten)?;
    let written = async {
        let mut pieces = std::pin::pin!(pieces);
        let mut bytes = 0;
        while let Some(piece) = pieces.try_next().await? {
            file.write_all(&piece).map_err(unwritten)?;
            bytes += piece.len() as u64;
        }
        file.sync_all().map_err(unwritten)?;
        Ok::<_, CliError>(bytes)
    };
    match written.await {
        Ok(bytes) => {
            if !global.quiet {
                ui::say(&format!("{} bytes written to {}", text::thousands(bytes), to.display()));
            }
            Ok(())
        }
        Err(e) => {
            let _ = std::fs::remove_file(to);
            Err(e)
        }
    }
}
