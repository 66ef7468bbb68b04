//! What two versions of an agent differ in: their files as a unified diff, and what changes for safety in a few lines.

use std::{collections::BTreeMap, time::Duration};

use similar::{Algorithm, TextDiff};
use stead_api::version::{FileDiff, SafetyChange};
use stead_core::{budget::Limits, effect::EffectClass, fact::RunConfig};
use stead_manifest::Bundle;
use stead_ports::{
    agent::{Agent, Behind, BoundTool},
    journal::VersionRow,
};

use super::{reached, wired::Wired};

/// How long one file may be compared before the diff gets coarser.
const PATIENCE: Duration = Duration::from_millis(250);
/// Most bytes of one file's diff that are told.
const DIFF_MAX: usize = 256 * 1024;

/// What the stored forms of two versions differ in: their files, and what they may reach.
///
/// # Errors
/// A stored form cannot be read.
pub(crate) fn stored(from: &VersionRow, to: &VersionRow) -> Result<(Vec<FileDiff>, Vec<SafetyChange>), String> {
    let read = |row: &VersionRow| {
        let wired = Wired::decode(&row.body)?;
        let bundle = wired.bundle(None).map_err(|e| e.to_string())?;
        Ok::<_, String>((texts(&wired, &bundle), bundle))
    };
    let ((from, a), (to, b)) = (read(from)?, read(to)?);
    Ok((files(&from, &to), reached::changes(&a, &b)))
}

/// The texts of a version by name: the manifest, the files it names, the agents in its folder, the tools that were pinned, and
/// the versions of the agents it calls.
fn texts(wired: &Wired, bundle: &Bundle) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    collect("", bundle, &mut out);
    if !wired.children.is_empty() {
        let lines = wired.children.iter().map(|(tool, version)| format!("{tool}: {version}\n"));
        out.insert("(versions of agents)".into(), lines.collect());
    }
    out
}

fn collect(folder: &str, bundle: &Bundle, out: &mut BTreeMap<String, String>) {
    let name = |file: &str| format!("{folder}{}", file.strip_prefix("./").unwrap_or(file));
    out.insert(name("agent.yaml"), bundle.source.to_string());
    for (file, text) in &bundle.files {
        out.insert(name(file), text.clone());
    }
    for (tool, defs) in &bundle.pinned {
        let text = serde_json::to_string_pretty(defs).unwrap_or_default();
        out.insert(name(&format!("(pinned tools of {tool})")), text + "\n");
    }
    for (path, agent) in &bundle.agents {
        collect(&format!("{}/", name(path).trim_end_matches('/')), agent, out);
    }
}

/// The files that differ.
fn files(from: &BTreeMap<String, String>, to: &BTreeMap<String, String>) -> Vec<FileDiff> {
    let names: std::collections::BTreeSet<_> = from.keys().chain(to.keys()).collect();
    let differs = names.into_iter().filter(|name| from.get(*name) != to.get(*name));
    differs
        .map(|name| {
            let text = |of: &BTreeMap<String, String>| of.get(name).cloned().unwrap_or_default();
            let (before, after) = (text(from), text(to));
            let diff = TextDiff::configure().algorithm(Algorithm::Myers).timeout(PATIENCE).diff_lines(&before, &after);
            let side = |of: &BTreeMap<String, String>, s| match of.contains_key(name) {
                true => format!("{s}/{name}"),
                false => "/dev/null".to_owned(),
            };
            let mut diff = diff.unified_diff().header(&side(from, 'a'), &side(to, 'b')).to_string();
            if diff.len() > DIFF_MAX {
                diff.truncate(diff.floor_char_boundary(DIFF_MAX));
                diff.push_str("\n[… cut]\n");
            }
            FileDiff { file: name.clone(), diff }
        })
        .collect()
}

/// What changes for safety, what is looser first; `reached` is what [`stored`] has found of it.
pub(crate) fn safety(from: &Agent, to: &Agent, reached: Vec<SafetyChange>) -> Vec<SafetyChange> {
    let mut out = reached;
    for tool in &to.tools {
        match from.tool(&tool.def.name) {
            None => out.push(change("tool", &tool.def.name, None, Some(told(tool)), true)),
            Some(before) => tool_changes(before, tool, &mut out),
        }
    }
    for tool in from.tools.iter().filter(|t| to.tool(&t.def.name).is_none()) {
        out.push(change("tool", &tool.def.name, Some(told(tool)), None, false));
    }
    if traced(from) != traced(to) {
        let word = |agent: &Agent| Some(["off", "plan", "trace"][traced(agent)].to_owned());
        out.push(change("provenance", "", word(from), word(to), traced(to) < traced(from)));
    }
    let models = |c: &RunConfig| c.models.iter().map(|m| m.name.to_string()).collect::<Vec<_>>().join(", ");
    let (before, after) = (models(&from.config), models(&to.config));
    if before != after {
        out.push(change("model", "chain", Some(before), Some(after), false));
    }
    limit_changes("", &from.config.limits, &to.config.limits, &mut out);
    limit_changes("session ", &from.session_limits, &to.session_limits, &mut out);
    limit("turns", Some(from.config.max_turns.into()), Some(to.config.max_turns.into()), plain, &mut out);
    limit("approval time", from.config.approval_ttl.map(|s| s.0), to.config.approval_ttl.map(|s| s.0), span, &mut out);
    if from.instructions != to.instructions {
        let lines = |a: &Agent| Some(format!("{} lines", a.instructions.lines().count()));
        out.push(change("instructions", "", lines(from), lines(to), false));
    }
    out.sort_by_key(|c| !c.looser);
    out
}

/// How far it is traced where values come from: not at all, with a plan that lets calls through, or without one.
const fn traced(agent: &Agent) -> usize {
    match (&agent.provenance, agent.config.plan) {
        (None, _) => 0,
        (Some(_), Some(_)) => 1,
        (Some(_), None) => 2,
    }
}

fn change(what: &str, name: &str, from: Option<String>, to: Option<String>, looser: bool) -> SafetyChange {
    SafetyChange { what: what.into(), name: name.into(), from, to, looser }
}

fn told(tool: &BoundTool) -> String {
    let ask = if tool.rules.ask { ", asks" } else { "" };
    match tool.behind {
        Behind::Agent(version, _) => format!("agent {version}{ask}"),
        Behind::Tool(_) => format!("{}{ask}", class(tool.class)),
    }
}

fn tool_changes(from: &BoundTool, to: &BoundTool, out: &mut Vec<SafetyChange>) {
    let name = &to.def.name;
    if from.class != to.class {
        let (before, after) = (class(from.class).to_owned(), class(to.class).to_owned());
        out.push(change("class", name, Some(before), Some(after), held(to.class) < held(from.class)));
    }
    if from.rules.ask != to.rules.ask {
        let word = |ask| Some(if ask { "asks" } else { "does not ask" }.to_owned());
        out.push(change("approval", name, word(from.rules.ask), word(to.rules.ask), !to.rules.ask));
    }
    if from.schema_digest != to.schema_digest {
        let digest = |d: [u8; 16]| Some(d[..6].iter().map(|b| format!("{b:02x}")).collect());
        out.push(change("schema", name, digest(from.schema_digest), digest(to.schema_digest), false));
    }
    match (&from.behind, &to.behind) {
        (Behind::Agent(a, _), Behind::Agent(b, _)) if a != b => {
            out.push(change("agent", name, Some(a.to_string()), Some(b.to_string()), false));
        }
        (Behind::Agent(..), Behind::Tool(_)) | (Behind::Tool(_), Behind::Agent(..)) => {
            out.push(change("tool", name, Some(told(from)), Some(told(to)), true));
        }
        _ => {}
    }
    let (before, after) = (from.rules.child.clone().unwrap_or_default(), to.rules.child.clone().unwrap_or_default());
    limit_changes(&format!("{name} "), &before, &after, out);
}

/// The word for a class, as manifests have it.
const fn class(class: EffectClass) -> &'static str {
    match class {
        EffectClass::Pure => "pure",
        EffectClass::Contained => "contained",
        EffectClass::Keyed => "keyed",
        EffectClass::Reconcilable => "reconcilable",
        EffectClass::Compensable => "compensable",
        EffectClass::Irreversible => "irreversible",
    }
}

/// How much a class is held back: the higher, the less is repeated by itself.
const fn held(class: EffectClass) -> u8 {
    match class {
        EffectClass::Pure => 0,
        EffectClass::Contained => 1,
        EffectClass::Keyed => 2,
        EffectClass::Reconcilable => 3,
        EffectClass::Compensable => 4,
        EffectClass::Irreversible => 5,
    }
}

fn limit_changes(of: &str, from: &Limits, to: &Limits, out: &mut Vec<SafetyChange>) {
    let mut one = |name: &str, from: Option<u64>, to: Option<u64>, told: fn(u64) -> String| {
        limit(&format!("{of}{name}"), from, to, told, out);
    };
    one("tokens", from.tokens, to.tokens, plain);
    one("usd", from.usd.map(|u| u.0), to.usd.map(|u| u.0), dollars);
    one("tool calls", from.tool_calls.map(Into::into), to.tool_calls.map(Into::into), plain);
    one("active", from.active.map(|s| s.0), to.active.map(|s| s.0), span);
    one("deadline", from.deadline.map(|s| s.0), to.deadline.map(|s| s.0), span);
    one("children", from.children.map(Into::into), to.children.map(Into::into), plain);
}

fn limit(name: &str, from: Option<u64>, to: Option<u64>, told: fn(u64) -> String, out: &mut Vec<SafetyChange>) {
    if from == to {
        return;
    }
    let words = |n: Option<u64>| Some(n.map_or_else(|| "no limit".to_owned(), told));
    out.push(change("limit", name, words(from), words(to), to.unwrap_or(u64::MAX) > from.unwrap_or(u64::MAX)));
}

fn plain(n: u64) -> String {
    n.to_string()
}

/// Money as manifests write it, from millionths.
fn dollars(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A span as manifests write it, from microseconds.
fn span(micros: u64) -> String {
    let units = [(86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1_000, "ms")];
    let whole = units.into_iter().find(|(size, _)| micros >= *size && micros.is_multiple_of(*size));
    whole.map_or_else(|| format!("{micros} µs"), |(size, unit)| format!("{}{unit}", micros / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_differ_are_told_with_their_lines() {
        let of = |files: &[(&str, &str)]| files.iter().map(|(n, t)| ((*n).into(), (*t).into())).collect();
        let from = of(&[("agent.yaml", "a\nb\n"), ("same", "x\n"), ("gone", "y\n")]);
        let to = of(&[("agent.yaml", "a\nc\n"), ("same", "x\n"), ("new", "z\n")]);
        let told = files(&from, &to);
        assert_eq!(told.iter().map(|f| f.file.as_str()).collect::<Vec<_>>(), ["agent.yaml", "gone", "new"]);
        assert_eq!(told[0].diff, "--- a/agent.yaml\n+++ b/agent.yaml\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n");
        assert!(told[1].diff.contains("+++ /dev/null") && told[2].diff.contains("--- /dev/null"));
    }

    #[test]
    fn a_limit_that_is_raised_or_lifted_is_looser() {
        let mut out = Vec::new();
        limit("a", Some(1), Some(2), plain, &mut out);
        limit("b", Some(2), Some(1), plain, &mut out);
        limit("c", Some(2), None, plain, &mut out);
        limit("d", None, Some(9), plain, &mut out);
        limit("e", None, None, plain, &mut out);
        assert_eq!(out.iter().map(|c| c.looser).collect::<Vec<_>>(), [true, false, true, false]);
    }

    #[test]
    fn limits_are_told_as_manifests_write_them() {
        assert_eq!([500_000, 5_000_000, 0, 1].map(dollars), ["0.5", "5", "0", "0.000001"]);
        assert_eq!(
            [259_200_000_000, 300_000_000, 90_000_000, 1_500_000, 7].map(span),
            ["3d", "5m", "90s", "1500ms", "7 µs"]
        );
    }
}
