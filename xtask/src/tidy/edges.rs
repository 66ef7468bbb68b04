//! Which crate may import which: pure core -> ports -> adapters -> engine -> edge -> binary, and adapters never each
//! other. Plus the crates that do no I/O, and what the core may use at all.

use cargo_metadata::{DependencyKind, Package};

use crate::{Fail, repo::Repo, tidy::Findings};

/// A crate and what it may import of ours; `dev` is allowed to its tests on top of that.
struct Row {
    name: &'static str,
    may: &'static [&'static str],
    dev: &'static [&'static str],
}

const fn row(name: &'static str, may: &'static [&'static str]) -> Row {
    Row { name, may, dev: &[] }
}

/// The map of ARCHITECTURE.md. A crate that is not here may not exist.
const MAP: &[Row] = &[
    row("core", &[]),
    row("policy", &["core"]),
    row("provenance", &["core"]),
    row("identity", &["core"]),
    row("audit", &["core"]),
    row("trust", &[]),
    row("manifest", &["core"]),
    // An agent carries what its manifest declares of where values come from.
    row("ports", &["core", "provenance"]),
    // What the two that speak to PostgreSQL share.
    row("postgres", &[]),
    row("store", &["core", "ports", "postgres"]),
    row("bus", &["core", "ports"]),
    // What the tiers of sandboxes have in common.
    row("tier", &["core", "ports"]),
    row("sandbox", &["core", "ports", "tier"]),
    row("oci", &["core", "ports", "tier"]),
    row("wasm", &["core", "ports", "tier"]),
    row("microvm", &["core", "ports", "tier"]),
    row("egress", &["core", "ports"]),
    row("secrets", &["core", "ports"]),
    row("workspace", &["core", "ports"]),
    row("models", &["core", "ports"]),
    row("tools", &["core", "ports", "postgres"]),
    Row {
        name: "workshop",
        // It puts adapters together into one action, so that none of them need know another.
        may: &["core", "egress", "ports", "tools", "workspace"],
        // Its tests run real boxes on a real store.
        dev: &["microvm", "oci", "sandbox", "store", "wasm"],
    },
    Row {
        name: "sandboxes",
        // A box that stays is one of the workshop's, as an action's is: one launcher, one cache, one watch, one way out.
        may: &["core", "egress", "ports", "workshop", "workspace"],
        dev: &[],
    },
    row("memory", &["core", "ports"]),
    Row {
        name: "engine",
        may: &["audit", "core", "identity", "policy", "ports", "provenance", "trust"],
        // Its tests keep their journals in the real store.
        dev: &["store"],
    },
    row("api", &["core"]),
    // What is told of runs, of the audit log in the words of the API.
    row("telemetry", &["api", "core"]),
    row("console", &[]),
    Row {
        name: "server",
        may: &[
            "api",
            "audit",
            "bus",
            "console",
            "core",
            "egress",
            "engine",
            "identity",
            "manifest",
            "memory",
            "microvm",
            "models",
            "oci",
            "policy",
            "ports",
            "provenance",
            "sandbox",
            "sandboxes",
            "secrets",
            "store",
            "telemetry",
            // What every root of a box must have is said once.
            "tier",
            "tools",
            "trust",
            "workshop",
            "wasm",
            "workspace",
        ],
        // Its tests speak to it as users do.
        dev: &["client"],
    },
    // The ids and codes in the API's types are the core's.
    row("client", &["api", "core"]),
    row(
        "stead",
        &[
            "api",
            "audit",
            "client",
            "core",
            "identity",
            "manifest",
            "microvm",
            "oci",
            "policy",
            "ports",
            "sandbox",
            "server",
            "telemetry",
            "trust",
            "wasm",
        ],
    ),
    row("sim", &["core", "engine", "policy", "ports"]),
    row(
        "bench",
        &["audit", "core", "egress", "engine", "policy", "ports", "sandbox", "store", "trust", "wasm", "workspace"],
    ),
    row("testkit", ALL),
    row("xtask", &[]),
];

/// What `testkit` may import: everything but the binary and the tasks.
const ALL: &[&str] = &[
    "api",
    "audit",
    "bus",
    "client",
    "core",
    "egress",
    "engine",
    "identity",
    "manifest",
    "memory",
    "microvm",
    "models",
    "oci",
    "policy",
    "ports",
    "postgres",
    "provenance",
    "sandbox",
    "sandboxes",
    "secrets",
    "server",
    "sim",
    "store",
    "telemetry",
    "tier",
    "tools",
    "trust",
    "workshop",
    "wasm",
    "workspace",
];

/// What the core may use from outside: encoders, hashes and plain data types.
const CORE_USES: &[&str] = &["bytes", "minicbor", "serde", "serde_json", "sha2", "thiserror", "ulid"];

/// Crates that compute and never touch the world.
const PURE: &[&str] = &["api", "audit", "core", "manifest", "policy", "provenance", "telemetry", "trust"];

/// Dependencies that touch it.
const WORLD: &[&str] = &[
    "async-std",
    "axum",
    "crossbeam-channel",
    "genai",
    "getrandom",
    "hyper",
    "nix",
    "rand",
    "reqwest",
    "rmcp",
    "rusqlite",
    "rustix",
    "rustls",
    "smol",
    "socket2",
    "tokio",
    "tokio-postgres",
    "tower-http",
    "ureq",
];

/// The name of a crate on the map.
fn short(name: &str) -> &str {
    name.strip_prefix("stead-").unwrap_or(name)
}

pub(super) fn check(repo: &Repo) -> Result<Findings, Fail> {
    let metadata = repo.metadata()?;
    Ok(metadata.workspace_packages().into_iter().flat_map(judge).collect())
}

fn judge(package: &Package) -> Findings {
    let name = short(&package.name);
    let Some(row) = MAP.iter().find(|row| row.name == name) else {
        return vec![format!("{name}: not on the map in xtask/src/tidy/edges.rs")];
    };
    let mut found = Findings::new();
    for dependency in &package.dependencies {
        let uses = dependency.name.as_str();
        let dev = dependency.kind == DependencyKind::Development;
        if dependency.path.is_some() {
            let uses = short(uses);
            let test_only = dev && (uses == "testkit" || row.dev.contains(&uses));
            if !row.may.contains(&uses) && !test_only {
                found.push(format!("{name}: may not import {uses}"));
            }
        } else if !dev && name == "core" && !CORE_USES.contains(&uses) {
            found.push(format!("core: may not use {uses}; it computes, and nothing else"));
        } else if !dev && PURE.contains(&name) && WORLD.contains(&uses) {
            found.push(format!("{name}: may not use {uses}; it never touches the world"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn package(name: &str, dependencies: &[(&str, Option<&str>, bool)]) -> Package {
        let dependencies: Vec<_> = dependencies
            .iter()
            .map(|(name, kind, ours)| {
                serde_json::json!({
                    "name": name, "req": "*", "kind": kind, "optional": false, "uses_default_features": true,
                    "features": [], "path": ours.then_some("/x"),
                })
            })
            .collect();
        serde_json::from_value(serde_json::json!({
            "name": name, "version": "0.1.0", "id": name, "dependencies": dependencies, "targets": [],
            "features": {}, "manifest_path": "/x/Cargo.toml", "authors": [], "categories": [], "keywords": [],
            "edition": "2024",
        }))
        .unwrap()
    }

    #[test]
    fn an_adapter_that_imports_another_is_found() {
        assert_eq!(judge(&package("stead-tools", &[("stead-store", None, true)])), ["tools: may not import store"]);
        assert!(judge(&package("stead-tools", &[("stead-ports", None, true)])).is_empty());
    }

    #[test]
    fn testkit_is_for_tests_only() {
        assert!(judge(&package("stead-store", &[("stead-testkit", Some("dev"), true)])).is_empty());
        assert_eq!(judge(&package("stead-store", &[("stead-testkit", None, true)])).len(), 1);
    }

    #[test]
    fn the_core_uses_nothing_that_touches_the_world() {
        assert!(judge(&package("stead-core", &[("minicbor", None, false)])).is_empty());
        assert!(judge(&package("stead-core", &[("proptest", Some("dev"), false)])).is_empty());
        assert_eq!(judge(&package("stead-core", &[("tokio", None, false)])).len(), 1);
        assert_eq!(judge(&package("stead-core", &[("cc", Some("build"), false)])).len(), 1);
        assert_eq!(judge(&package("stead-api", &[("tokio", None, false)])).len(), 1);
    }

    #[test]
    fn a_crate_that_is_not_on_the_map_is_found() {
        assert_eq!(judge(&package("stead-misc", &[])).len(), 1);
    }
}
