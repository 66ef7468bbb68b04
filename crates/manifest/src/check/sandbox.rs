//! Where tools run: keys that only some kinds have a use for, boxes that cannot be, and secrets that would lead nowhere.

use std::collections::BTreeSet;

use super::Findings;
use crate::{
    manifest::{Confinement, Kind, Manifest, Sandbox, Tool},
    places::{self, Variable as Place},
};

/// The least part of a processor, in millionths.
const LEAST_CPU: u64 = 10_000;

pub(super) fn check(findings: &mut Findings<'_>, manifest: &Manifest) {
    one(findings, &["sandbox"], &manifest.sandbox);
    for (name, tool) in &manifest.tools {
        kind(findings, name, tool);
        if let Some(own) = &tool.sandbox {
            one(findings, &["tools", name, "sandbox"], own);
        }
        if let Some(sandbox) = tool.sandbox_in(manifest) {
            placed(findings, name, tool, &sandbox);
        }
    }
}

/// One mapping by itself.
fn one(findings: &mut Findings<'_>, path: &[&str], sandbox: &Sandbox) {
    let under = |key: &'static str| [path, &[key]].concat();
    if sandbox.cpu.is_some_and(|cpu| cpu < LEAST_CPU) {
        findings.value(&under("cpu"), "a sandbox needs 0.01 of a processor at least", None);
    }
    if sandbox.tier == Some(Confinement::None) && *sandbox != (Sandbox { tier: sandbox.tier, ..Sandbox::default() }) {
        findings.value(
            &under("tier"),
            "without a sandbox nothing else here holds",
            Some("leave the other keys out".into()),
        );
    }
    for rule in sandbox.egress() {
        let authority = rule.host.rsplit("//").next().unwrap_or_default();
        if !rule.ports.is_empty() && authority.contains(':') {
            findings.value(&under("egress"), format!("`{}` names its port twice", rule.host), None);
        }
        if rule.scheme.is_some() && rule.host.contains("//") {
            findings.value(&under("egress"), format!("`{}` names its scheme twice", rule.host), None);
        }
    }
}

/// Keys that only some kinds of tools have a use for. Refused elsewhere, as whoever wrote them relies on them.
fn kind(findings: &mut Findings<'_>, name: &str, tool: &Tool) {
    let command = matches!(tool.kind, Kind::Command(_));
    let files = matches!(tool.kind, Kind::Files(_));
    let of_command = "it belongs to `command`";
    let starts = "it starts no program here";
    let refused: &[(&str, bool, &str)] = &[
        ("params", !tool.params.is_empty() && !command, of_command),
        ("optional", !tool.optional.is_empty() && !command, of_command),
        ("stdin", tool.stdin.is_some() && !command, of_command),
        ("env", !tool.env.is_empty() && !command, "the variables of an MCP server stand under `mcp.env`"),
        ("sandbox", tool.sandbox.is_some() && !tool.starts(), starts),
        ("workspace", tool.workspace.is_some() && files, "`files` says itself whether it writes"),
        (
            "workspace",
            tool.workspace.is_some() && !files && !command,
            "a command or `files` works on it; an MCP server lives on from one call to the next, while the workspace changes",
        ),
    ];
    for (key, wrong, why) in refused {
        if *wrong {
            findings.value(&["tools", name, key], format!("`{key}` has no meaning here: {why}"), None);
        }
    }
}

/// A tool in the place that it has in the end.
fn placed(findings: &mut Findings<'_>, name: &str, tool: &Tool, sandbox: &Sandbox) {
    let boxed = sandbox.tier().is_some();
    if !boxed && matches!(tool.kind, Kind::Command(_)) {
        findings.value(
            &["tools", name, "sandbox", "tier"],
            "a command runs in a sandbox and nowhere else",
            Some("only an MCP server can have `none`, and only where the operator allows it".into()),
        );
    }
    if !boxed {
        return;
    }
    let bound: BTreeSet<&str> = sandbox.secrets().map(|s| s.as_str()).collect();
    let key: &[&str] =
        if matches!(tool.kind, Kind::Mcp(_)) { &["tools", name, "mcp", "env"] } else { &["tools", name, "env"] };
    for variable in tool.variables() {
        let Some(from) = variable.from.filter(|from| !bound.contains(from.as_str())) else { continue };
        let message =
            format!("`{}` is a placeholder, and no rule of egress puts `{}` in", variable.name, from.as_str());
        let hint = format!(
            "give the host a rule with `secrets: [{{ secret: \"{}\", inject: bearer }}]`; for what is no secret, hand a variable on by \
             its name",
            from.as_str()
        );
        findings.value(key, message, Some(hint));
    }
    if let Kind::Mcp(server) = &tool.kind
        && server.command.iter().flat_map(|part| places::variables(part)).any(|v| v == Place::Data)
    {
        let hint = "put what it reads into `include`; what it writes ends with its sandbox";
        findings.value(
            &["tools", name, "mcp", "command"],
            "the data folder is not in the server's sandbox",
            Some(hint.into()),
        );
    }
}
