//! `stead doctor`: what this host can give.

use std::{
    borrow::Cow,
    fs,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Instant,
};

use clap::Args;
use serde::Serialize;
use stead_ports::sandbox::STAYING;
use stead_server::{
    backup::{Stored, look, look_in},
    config::{Config, DatabaseUrl},
    presence::Presence,
    providers::{self, Answer, KeyFound, Local, ProviderKey},
    secrets::{SecretError, SecretsFile},
    serve::ServeError,
};

mod sandbox;

use super::secrets;
use crate::{
    cli::Global,
    error::Outcome,
    exit::Exit,
    process,
    ui::{self, table::table, text},
};

/// Syncs that are timed.
const SYNCS: usize = 20;

/// Tell what this host can give: kernel, sandboxes, disk, ports, keys of model providers, local model servers
///
/// Keys are looked for where models look for them, and never shown. Of model servers only those of this machine are asked.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Tell what a server with this stead.toml could give, where it would work and listen, with the secrets that it names; without it the
    /// stead.toml of the data folder counts, if there is one
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// One thing that was looked at.
#[derive(Debug, Default, Serialize)]
struct Finding {
    what: Cow<'static, str>,
    /// `ok`, `info` or `bad`.
    state: &'static str,
    found: String,
    /// Of a provider: where its key comes from: `environment`, `secret`, `missing` or `not needed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'static str>,
}

impl Finding {
    fn new(what: impl Into<Cow<'static, str>>, state: &'static str, found: impl Into<String>) -> Self {
        Self { what: what.into(), state, found: found.into(), key: None }
    }
}

pub(crate) async fn run(global: &Global, args: Doctor) -> Outcome {
    let own = global.data.join("stead.toml");
    let file = args.config.clone().or_else(|| own.exists().then_some(own));
    let config = match &file {
        Some(file) => Config::load(file).map_err(ServeError::from)?,
        None => Config::default(),
    };
    // The folder that a server with this file works in; the file of a data folder is about that folder.
    let folder = if args.config.is_some() { &config.data_dir } else { &global.data };
    let secrets = secrets::opened(global, args.config)?;
    let (keys, unread) = providers::keys(&secrets);
    let findings = [
        kernel(),
        sandbox::offered(&config.sandbox, file.as_deref()),
        staying(),
        data(folder),
        match &config.database {
            Some(database) => of_database(database).await,
            None => journal(folder),
        },
        disk(folder),
        server(folder),
        port(config.listen),
        kept(&secrets, unread),
    ]
    .into_iter()
    .chain(sandbox::tiers(&config.sandbox).await)
    .chain(keys.iter().map(provider))
    .chain(providers::endpoints().await.iter().map(endpoint))
    .collect::<Vec<_>>();
    if global.json {
        ui::json(&findings)?;
    } else {
        let row = |f: &Finding| [f.what.to_string(), f.state.to_owned(), f.found.clone()];
        ui::text(&table(["WHAT", "STATE", "FOUND"], &findings.iter().map(row).collect::<Vec<_>>()))?;
    }
    Ok(if findings.iter().any(|f| f.state == "bad") { Exit::Failed } else { Exit::Ok })
}

fn kernel() -> Finding {
    let name = rustix::system::uname();
    let found =
        format!("{} {} {}", name.sysname().to_string_lossy(), name.release().to_string_lossy(), std::env::consts::ARCH);
    Finding::new("kernel", "info", found)
}

/// Which tiers a template of session sandboxes can name.
fn staying() -> Finding {
    let tiers = STAYING.map(|tier| format!("`{tier}`")).join(", ");
    Finding::new("session sandboxes", "info", format!("boxes that stay: those of the tier {tiers}, and of no other"))
}

/// Whether the folder, or the one that it would be made in, can be written.
fn data(dir: &Path) -> Finding {
    let shown = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let (state, found) = match probe(dir, |_| Ok(())) {
        Ok(()) if dir.exists() => ("ok", format!("{} can be written", shown.display())),
        Ok(()) => ("ok", format!("{} can be made", shown.display())),
        Err(e) => ("bad", format!("{}: {e}", shown.display())),
    };
    Finding::new("data folder", state, found)
}

/// The format of what is kept, and how often it came out of a backup.
fn journal(dir: &Path) -> Finding {
    let (state, found) = match look(dir) {
        Ok(None) => ("info", "none yet".to_owned()),
        Ok(Some(Stored { format, generation: 1 })) => ("ok", format!("format {format}, never restored")),
        Ok(Some(Stored { format, generation })) => {
            ("ok", format!("format {format}, generation {generation}: restored from a backup"))
        }
        Err(e) => ("bad", format!("{}: {}", e.code, e.detail)),
    };
    Finding::new("journal", state, found)
}

/// The same of what is kept in PostgreSQL, which is asked.
async fn of_database(database: &DatabaseUrl) -> Finding {
    let (state, found) = match look_in(database).await {
        Ok(None) => ("info", "in PostgreSQL: none yet".to_owned()),
        Ok(Some(format)) => ("ok", format!("in PostgreSQL: format {format}")),
        Err(e) => ("bad", format!("in PostgreSQL: {}: {}", e.code, e.detail)),
    };
    Finding::new("journal", state, found)
}

fn disk(dir: &Path) -> Finding {
    let timed = probe(dir, |file| {
        let mut times = Vec::with_capacity(SYNCS);
        for _ in 0..SYNCS {
            let begun = Instant::now();
            file.write_all(&[0; 4096])?;
            file.sync_data()?;
            times.push(begun.elapsed());
        }
        times.sort();
        Ok(times)
    });
    let (state, found) = match timed {
        Ok(times) => {
            let at = |i: usize| text::span(u64::try_from(times[i].as_micros()).unwrap_or(u64::MAX));
            (
                "info",
                format!("writing 4 KiB durably takes {} (median), {} (worst of {SYNCS})", at(SYNCS / 2), at(SYNCS - 1)),
            )
        }
        Err(e) => ("bad", e.to_string()),
    };
    Finding::new("disk", state, found)
}

/// Does something with a file in the folder, or in the nearest one above that exists; the file is gone afterwards.
fn probe<T>(dir: &Path, work: impl FnOnce(&mut fs::File) -> std::io::Result<T>) -> std::io::Result<T> {
    let absolute = std::path::absolute(dir)?;
    let existing = absolute.ancestors().find(|d| d.is_dir()).unwrap_or(Path::new("/"));
    let path = existing.join(format!(".stead-doctor-{}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    let done = work(&mut file);
    fs::remove_file(&path)?;
    done
}

fn server(dir: &Path) -> Finding {
    let found = match Presence::read(dir) {
        Some(p) if process::lives(p.pid) => {
            format!("{} (process {}, release {})", ui::term::short(&p.url, 80), p.pid, ui::term::short(&p.version, 20))
        }
        _ => "none owns the data folder; commands work by themselves".to_owned(),
    };
    Finding::new("server", "info", found)
}

/// Whether a server could listen where it is to.
fn port(listen: SocketAddr) -> Finding {
    let (state, found) = match std::net::TcpListener::bind(listen) {
        Ok(_) if listen.port() == 0 => ("ok", format!("{listen}: any that is free")),
        Ok(_) => ("ok", format!("{listen} is free")),
        Err(e) => ("info", format!("{listen}: {e}")),
    };
    Finding::new("port", state, found)
}

/// The secrets of this place.
fn kept(file: &SecretsFile, unread: Option<SecretError>) -> Finding {
    let place = ui::term::short(&file.place().file.display().to_string(), 200);
    match (unread, file.list()) {
        (Some(e), _) | (None, Err(e)) => Finding::new("secrets", "bad", e.to_string()),
        (None, Ok(listed)) if listed.is_empty() => Finding::new("secrets", "info", format!("none in {place}")),
        (None, Ok(listed)) => {
            Finding::new("secrets", "ok", format!("{} in {place}", text::counted(listed.len() as u64, "secret")))
        }
    }
}

/// Where a provider's key comes from.
fn provider(found: &ProviderKey) -> Finding {
    let (key, words) = match found.key {
        KeyFound::Environment(name) => ("environment", format!("key from the environment ({name})")),
        KeyFound::Secret(name) => ("secret", format!("key from the secret {name}")),
        KeyFound::Missing(names) => {
            ("missing", format!("no key: neither a variable nor a secret {}", names.join(" or ")))
        }
        KeyFound::NotNeeded => ("not needed", "needs no key".to_owned()),
    };
    Finding { key: Some(key), ..Finding::new(format!("provider {}", found.provider), "info", words) }
}

/// Whether a model server of this machine answers.
fn endpoint(local: &Local) -> Finding {
    let url = ui::term::short(&local.url, 100);
    let (state, found) = match local.answer {
        Answer::Models(models) => ("ok", format!("{url} answers with {}", text::counted(models as u64, "model"))),
        Answer::Other => ("info", format!("{url}: what answers there is no model server")),
        Answer::Nothing => ("info", format!("{url}: nothing answers")),
        Answer::Elsewhere => ("info", format!("{url} is not this machine: not asked")),
    };
    Finding::new(format!("local {}", local.provider), state, found)
}
