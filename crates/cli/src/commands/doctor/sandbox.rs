//! What sandboxes a server with a configuration could give on this host, and what it would refuse, with the reason.

use std::path::Path;

#[cfg(target_os = "linux")]
use stead_ports::sandbox::{BoxError, Boxes as _, Offer};
use stead_server::config;
#[cfg(target_os = "linux")]
use stead_server::{config::Tier, tiers};

use super::Finding;
use crate::ui;

/// Which tiers are offered, and by what file.
pub(super) fn offered(config: &config::Sandbox, file: Option<&Path>) -> Finding {
    let names: Vec<_> = config.tiers.iter().map(|tier| stead_core::sandbox::Tier::from(*tier).to_string()).collect();
    let by = match file {
        Some(file) => format!("by {}", ui::term::short(&file.display().to_string(), 200)),
        None => "without a stead.toml".to_owned(),
    };
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let unnamed = if config.tiers.contains(&config::Tier::Namespace) { "gets" } else { "is refused, for it means" };
    let found = format!(
        "commands and stdio MCP servers of agents run in one; offered {by}: {names}; a manifest that names no tier {unnamed} namespace"
    );
    Finding::new("sandbox", "info", found)
}

/// What each tier gives here, what is shown to boxes, and which roots there are.
#[cfg(target_os = "linux")]
pub(super) async fn tiers(config: &config::Sandbox) -> Vec<Finding> {
    let mut out = Vec::new();
    out.extend(judged(config, Tier::Namespace, namespaces(config).await));
    out.extend(judged(config, Tier::Oci, containers(config).await));
    out.extend(judged(config, Tier::Wasm, components().await));
    out.extend(judged(config, Tier::Microvm, machines(config).await));
    let mounts = config.mounts.iter().map(|path| {
        let found = format!("{}: boxes without a root of their own see it; a machine gets a copy", path.display());
        Finding::new("sandbox mount", "ok", found)
    });
    let roots = config.roots.iter().map(|(name, path)| {
        Finding::new(format!("sandbox root {name}"), "ok", format!("{} has all that is mounted on", path.display()))
    });
    out.extend(mounts.chain(roots));
    out
}

/// The findings of a tier, the first of which says whether it can be given, by what the operator offers.
#[cfg(target_os = "linux")]
fn judged(config: &config::Sandbox, tier: Tier, mut findings: Vec<Finding>) -> Vec<Finding> {
    let Some(first) = findings.first_mut() else { return findings };
    let asked = config.tiers != config::Sandbox::default().tiers;
    if !config.tiers.contains(&tier) {
        first.state = "info";
        first.found.push_str("; agents are refused it: `tiers` of [sandbox] leaves it out");
    } else if first.state != "ok" && asked {
        // Whoever wrote it down means to have it.
        first.state = "bad";
        first.found = format!("agents that ask for it are refused: {}", first.found);
    }
    findings
}

#[cfg(target_os = "linux")]
async fn namespaces(config: &config::Sandbox) -> Vec<Finding> {
    stead_sandbox::probe(tiers::namespaces(config)).await.iter().map(sandbox).collect()
}

/// Whether an OCI runtime of this host runs a container, and what that then promises.
#[cfg(target_os = "linux")]
async fn containers(config: &config::Sandbox) -> Vec<Finding> {
    let boxes = stead_oci::Containers::new(tiers::containers(config));
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

/// Looked at with KVM alone, unless the configuration allows what takes ten times longer.
#[cfg(target_os = "linux")]
async fn machines(config: &config::Sandbox) -> Vec<Finding> {
    stead_microvm::probe(tiers::machines(config)).await.iter().map(machine).collect()
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
pub(super) async fn tiers(_: &config::Sandbox) -> Vec<Finding> {
    vec![elsewhere()]
}

/// What stands for the sandboxes where there is no Linux: how to start one.
#[cfg(not(target_os = "linux"))]
fn elsewhere() -> Finding {
    let found = format!("not on this system; what starts Stead on a Linux: {}", stead_server::elsewhere::linux());
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
