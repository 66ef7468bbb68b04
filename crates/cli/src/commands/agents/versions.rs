//! Versions as text: lists with their aliases and history, and what two of them differ in.

use stead_api::version::{Alias, AliasEvent, FileDiff, SafetyChange, VersionDiff, Versions};
use stead_core::id::VersionId;

use crate::ui::{
    table::table,
    term::{clean, short},
    text,
};

/// Moves of aliases that a list shows.
const SHOWN: usize = 20;

/// An agent's versions, and how its aliases moved.
pub(super) fn list(versions: &Versions) -> String {
    let now = text::now();
    let row = |v: &stead_api::agent::AgentSummary| {
        let aliases = v.aliases.iter().map(|a| clean(a)).collect::<Vec<_>>().join(", ");
        [text::version(&v.version), aliases, text::age(v.created, now)]
    };
    let mut out = table(["VERSION", "ALIASES", "AGE"], &versions.items.iter().map(row).collect::<Vec<_>>());
    if !versions.history.is_empty() {
        out.push('\n');
        let rows: Vec<_> = versions.history.iter().take(SHOWN).map(moved).collect();
        out.push_str(&table(["MOVED", "ALIAS", "FROM", "TO", "WHY", "BY"], &rows));
    }
    out
}

fn moved(event: &AliasEvent) -> [String; 6] {
    [
        text::instant(event.at),
        clean(&event.alias),
        digits(event.was.as_ref()),
        digits(event.version.as_ref()),
        match event.step.as_str() {
            "moved" => clean(&event.why),
            step => format!("{} ({})", clean(&event.why), clean(step)),
        },
        short(&event.by, 24),
    ]
}

fn digits(version: Option<&VersionId>) -> String {
    version.map_or_else(|| "-".to_owned(), text::version)
}

/// An agent's aliases.
pub(super) fn aliases(aliases: &[Alias]) -> String {
    let rows: Vec<_> = aliases.iter().map(|a| [clean(&a.alias), digits(a.version.as_ref())]).collect();
    table(["ALIAS", "VERSION"], &rows)
}

/// An alias after it was asked to move.
pub(super) fn alias(alias: &Alias) -> String {
    let unmoved = if alias.moved { "" } else { " (as before)" };
    if alias.proposed {
        let confirm = confirm(&alias.agent, &alias.alias, alias.version.as_ref());
        let to = alias.version.as_ref().map_or_else(|| "to be removed".to_owned(), text::version);
        return format!("{}@{} {to} proposed; another person confirms it: {confirm}\n", alias.agent, alias.alias);
    }
    match &alias.version {
        Some(version) => format!("{}@{} {}{unmoved}\n", alias.agent, alias.alias, text::version(version)),
        None => format!("{}@{} removed\n", alias.agent, alias.alias),
    }
}

/// The command with which another person confirms.
pub(super) fn confirm(agent: &str, alias: &str, version: Option<&VersionId>) -> String {
    let alias = if alias == "live" { String::new() } else { format!(" --alias {alias}") };
    let what = version.map_or_else(|| "--remove".to_owned(), text::version);
    format!("stead agents confirm {agent} {what}{alias}")
}

/// What two versions differ in.
pub(super) fn diff(diff: &VersionDiff) -> String {
    let head = format!("{} {} → {}\n", diff.agent, text::version(&diff.from), text::version(&diff.to));
    if diff.from == diff.to || (diff.files.is_empty() && diff.safety.is_empty()) {
        return head + "no difference\n";
    }
    let mut out = head;
    let line = |c: &SafetyChange| {
        let (mark, from, to) = (if c.looser { "!" } else { " " }, c.from.as_deref(), c.to.as_deref());
        let change = match (from, to) {
            (None, Some(to)) => format!("added ({})", clean(to)),
            (Some(from), None) => format!("removed ({})", clean(from)),
            (from, to) => format!("{} → {}", clean(from.unwrap_or_default()), clean(to.unwrap_or_default())),
        };
        let name = if c.name.is_empty() { String::new() } else { format!(" {}", clean(&c.name)) };
        format!("{mark} {}{name}: {change}\n", clean(&c.what))
    };
    out.extend(diff.safety.iter().map(line));
    for FileDiff { diff, .. } in &diff.files {
        out.push('\n');
        out.extend(diff.lines().map(|l| clean(l) + "\n"));
    }
    out
}
