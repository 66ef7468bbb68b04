//! What a manifest says of boxes, in the words of a comparison of two versions.

use stead_core::sandbox::Access;
use stead_manifest::manifest::{Egress, Sandbox, Tool};

/// What it does with the workspace.
pub(super) fn workspace(tool: &Tool) -> Vec<String> {
    match tool.workspace() {
        Access::None => Vec::new(),
        Access::Read => vec!["read".into()],
        Access::Write => vec!["read".into(), "write".into()],
    }
}

/// Tier, required properties, limits and root: each a word of its own, so that any other one shows.
pub(super) fn sandbox(sandbox: &Sandbox) -> Vec<String> {
    let tier = sandbox.tier().map_or_else(|| "none".to_owned(), |tier| tier.to_string());
    let number = |name: &str, n: Option<u64>| n.map(|n| format!("{name} {n}"));
    let limits = [
        sandbox.cpu.map(|micro| format!("cpu {}", micro as f64 / 1e6)),
        number("memory", sandbox.memory),
        number("disk", sandbox.disk),
        number("inodes", sandbox.inodes),
        number("file", sandbox.file),
        number("pids", sandbox.pids.map(u64::from)),
        number("open files", sandbox.open_files.map(u64::from)),
        sandbox.timeout.map(|span| format!("timeout {}s", span.to_std().as_secs_f64())),
        sandbox.root.as_ref().map(|root| format!("root {root}")),
    ];
    let requires = sandbox.requires.iter().flatten().map(|property| format!("requires {property}"));
    std::iter::once(tier).chain(limits.into_iter().flatten()).chain(requires).collect()
}

/// What may be reached, a rule each.
pub(super) fn egress(sandbox: &Sandbox) -> Vec<String> {
    sandbox.egress().iter().map(rule).collect()
}

fn rule(rule: &Egress) -> String {
    let mut out = rule.host.clone();
    let mut add = |name: &str, words: &[String]| {
        if !words.is_empty() {
            out.push_str(&format!(" {name} {}", words.join(" ")));
        }
    };
    add("ports", &rule.ports.iter().map(ToString::to_string).collect::<Vec<_>>());
    add("by", rule.scheme.as_slice());
    add("methods", &rule.methods);
    add("paths", &rule.paths);
    add("tls", rule.tls.as_slice());
    add("addresses", &rule.addresses);
    for (flag, name) in [
        (rule.websocket, "websocket"),
        (rule.opaque, "opaque"),
        (rule.shared == Some(false), "not shared"),
        (rule.client_credentials, "with the client's credentials"),
        (rule.secrets_in_clear, "secrets in the clear"),
    ] {
        if flag {
            out.push_str(&format!(" ({name})"));
        }
    }
    out
}

/// The secrets that go out, with where they go.
pub(super) fn secrets(sandbox: &Sandbox) -> Vec<String> {
    let of = |rule: &Egress| {
        let host = rule.host.clone();
        let named = rule.secrets.iter().flat_map(|injected| injected.references().cloned().collect::<Vec<_>>());
        named.map(move |reference| format!("{} to {host}", reference.as_str())).collect::<Vec<_>>()
    };
    sandbox.egress().iter().flat_map(of).collect()
}
