//! `stead runs artifacts` and `stead runs artifact`: the files of a run.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use stead_api::artifact::Artifacts;
use stead_client::Client;
use stead_core::id::RunId;

use crate::{
    cli::Global,
    error::{CliError, Outcome},
    ui::{
        self,
        table::table,
        term::{clean, out_is_tty},
        text,
    },
};

/// Lists them.
pub(super) async fn list(global: &Global, client: &Client, run: RunId) -> Outcome<()> {
    let found = client.artifacts(run).await?;
    if global.json {
        return Ok(ui::json(&found)?);
    }
    if found.items.is_empty() {
        ui::say("the run has no files");
        return Ok(());
    }
    ui::text(&shown(&found))?;
    if found.more && !global.quiet {
        ui::say(&format!("only the first {} are shown", found.items.len()));
    }
    Ok(())
}

fn shown(found: &Artifacts) -> String {
    let rows: Vec<_> = found
        .items
        .iter()
        .map(|a| {
            let from = a.effect.map_or_else(|| "input".to_owned(), |n| format!("e{n}"));
            let digest = a.sha256.as_deref().map_or("-", |d| d.get(..12).unwrap_or(d));
            [clean(&a.name), clean(&a.media_type), text::thousands(a.size), from, clean(digest)]
        })
        .collect();
    table(["NAME", "TYPE", "BYTES", "FROM", "SHA256"], &rows)
}

/// Writes one to a file, or to stdout when that is no terminal.
pub(super) async fn get(
    global: &Global,
    client: &Client,
    run: RunId,
    name: &str,
    output: Option<PathBuf>,
) -> Outcome<()> {
    get_to(global, output, async || Ok(client.artifact(run, name).await?)).await
}

/// Writes what is fetched to a file, or to stdout when that is no terminal; which is looked at first.
pub(super) async fn get_to<B: AsRef<[u8]>>(
    global: &Global,
    output: Option<PathBuf>,
    fetch: impl AsyncFnOnce() -> Outcome<B>,
) -> Outcome<()> {
    if output.is_none() && out_is_tty() {
        let usage = CliError::usage("a file is not written to a terminal");
        return Err(usage.hint("name a file with -o, or pipe it on"));
    }
    let fetched = fetch().await?;
    let bytes = fetched.as_ref();
    let Some(path) = output else {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        return Ok(out.flush()?);
    };
    write(&path, bytes)?;
    if !global.quiet {
        ui::say(&format!("{} bytes written to {}", text::thousands(bytes.len() as u64), path.display()));
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Outcome<()> {
    fs::write(path, bytes).map_err(|e| CliError::other(format!("{} cannot be written: {e}", path.display())))
}
