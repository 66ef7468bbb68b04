//! `stead doctor`: what this host can give.

use std::{
    borrow::Cow,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Instant,
};

use clap::Args;
use serde::Serialize;
use stead_ports::sandbox::STAYING;
#[cfg(target_os = "linux")]
use stead_ports::sandbox::{BoxError, Boxes as _, Offer};
use stead_server::{
    backup::{Stored, look},
    config::DEFAULT_PORT,
    presence::Presence,
    providers::{self, Answer, KeyFound, Local, ProviderKey},
    secrets::{SecretError, SecretsFile},
};

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
    /// Look for secrets where this stead.toml says; without it in the data folder
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
    let secrets = secrets::opened(global, args.config)?;
    let (keys, unread) = providers::keys(&secrets);
    let findings = [
        kernel(),
        Finding::new("sandbox", "info", "commands and stdio MCP servers of agents run in one; the tiers below"),
        staying(),
        data(&global.data),
        journal(&global.data),
        disk(&global.data),
        server(global),
        port(),
        kept(&secrets, unread),
    ]
    .into_iter()
    .chain(sandboxes().await)
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

/// What sandboxes this host can give.
#[cfg(target_os = "linux")]
async fn sandboxes() -> Vec<Finding> {
    let mut out: Vec<_> = stead_sandbox::probe(stead_sandbox::Settings::default()).await.iter().map(sandbox).collect();
    out.extend(containers().await);
    out.extend(components().await);
    // Looked at with KVM alone: what takes ten times longer is for who allows it.
    out.extend(stead_microvm::probe(stead_microvm::Settings::default()).await.iter().map(machine));
    out
}

/// Whether an OCI runtime of this host runs a container, and what that then promises.
#[cfg(target_os = "linux")]
async fn containers() -> Vec<Finding> {
    let boxes = stead_oci::Containers::new(stead_oci::Settings::default());
    let runtime = match boxes.runtime().await {
        Ok(runtime) => format!("a container runs, by {}", runtime.display()),
        Err(_) => String::new(),
    };
    let found = tier("oci", runtime, boxes.offer().await);
    boxes.close().await;
    found
}

#[cfg(all(target_os = "linux", feature = "wasm"))]
async fn components() -> Vec<Finding> {
    match stead_wasm::Components::new(stead_wasm::Settings::default()) {
        Ok(boxes) => tier("wasm", "components can be compiled and run".to_owned(), boxes.offer().await),
        Err(e) => tier("wasm", String::new(), Err(e)),
    }
}

#[cfg(all(target_os = "linux", not(feature = "wasm")))]
async fn components() -> Vec<Finding> {
    vec![Finding::new("sandbox wasm", "info", "not in this build: `cargo build --features wasm` has it")]
}

/// What a tier gives.
#[cfg(target_os = "linux")]
fn tier(name: &'static str, words: String, offer: Result<Offer, BoxError>) -> Vec<Finding> {
    let offer = match offer {
        Ok(offer) => offer,
        Err(e) => return vec![Finding::new(format!("sandbox {name}"), "info", e.to_string())],
    };
    let mut out = vec![Finding::new(format!("sandbox {name}"), "ok", words)];
    out.extend(offer.properties.iter().map(|(property, held)| match held {
        Ok(by) => Finding::new(format!("  {property}"), "ok", by.clone()),
        Err(why) => Finding::new(format!("  {property}"), "info", format!("not here: {why}")),
    }));
    out
}

#[cfg(not(target_os = "linux"))]
async fn sandboxes() -> Vec<Finding> {
    vec![elsewhere()]
}

/// What stands for the sandboxes where there is no Linux: how to start one, as docs/install.md has it.
#[cfg(any(test, not(target_os = "linux")))]
fn elsewhere() -> Finding {
    let version = env!("CARGO_PKG_VERSION");
    let found = format!(
        "not on this system; what starts Stead on a Linux: podman load --input stead-{version}-ARCH.oci.tar && \
         podman run --rm --publish 127.0.0.1:7411:7411 --volume stead:/var/lib/stead localhost/stead:{version}"
    );
    Finding::new("sandbox namespace", "info", found)
}

#[cfg(target_os = "linux")]
fn machine(found: &stead_microvm::Finding) -> Finding {
    let state = match found.state {
        stead_microvm::State::Ok => "ok",
        // It is for who needs a kernel of its own.
        stead_microvm::State::Missing => "info",
    };
    Finding::new(found.what.clone(), state, found.found.clone())
}

#[cfg(target_os = "linux")]
fn sandbox(found: &stead_sandbox::Finding) -> Finding {
    let state = match found.state {
        stead_sandbox::State::Ok => "ok",
        // What is missing is a property that an agent may do without. Without the tier itself agents with commands are refused, and all
        // others run as before.
        stead_sandbox::State::Missing | stead_sandbox::State::Bad => "info",
    };
    Finding::new(found.what.clone(), state, found.found.clone())
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

fn server(global: &Global) -> Finding {
    let found = match Presence::read(&global.data) {
        Some(p) if process::lives(p.pid) => {
            format!("{} (process {}, release {})", ui::term::short(&p.url, 80), p.pid, ui::term::short(&p.version, 20))
        }
        _ => "none owns the data folder; commands work by themselves".to_owned(),
    };
    Finding::new("server", "info", found)
}

fn port() -> Finding {
    let (state, found) = match std::net::TcpListener::bind(("127.0.0.1", DEFAULT_PORT)) {
        Ok(_) => ("ok", format!("{DEFAULT_PORT} is free")),
        Err(e) => ("info", format!("{DEFAULT_PORT}: {e}")),
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_system_without_sandboxes_is_told_the_commands_of_the_manual_that_start_a_linux_one() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/install.md");
        let page = fs::read_to_string(page).unwrap();
        let found = elsewhere().found.replace("-ARCH.", "-amd64.");
        let (_, commands) = found.split_once(": podman").unwrap();
        for command in format!("podman{commands}").split(" && ") {
            assert!(page.contains(&format!("$ {command}\n")), "docs/install.md does not have `{command}`");
        }
    }
}
