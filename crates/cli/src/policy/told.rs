//! Policy sets, warnings and replays for people.

use stead_api::{
    policy::{PolicyReplay, PolicySet, PolicySetFiles},
    problem::Place,
};
use stead_policy::Problem;

use crate::ui::{
    table::{fields, table},
    term::{clean, short},
    text,
};

/// A place with what is wrong there, and what to do.
pub(crate) fn warning(place: &Place) -> String {
    let Place { file, line, column, message, hint, .. } = place;
    let at = if *line > 0 { format!("{file}:{line}:{column}") } else { file.clone() };
    let hint = hint.as_ref().map_or(String::new(), |hint| format!("\n  hint: {}", clean(hint)));
    format!("warning: {}: {}{hint}", clean(&at), clean(message))
}

/// A problem as a place.
pub(crate) fn place(problem: &Problem) -> Place {
    let Problem { file, line, column, message, hint } = problem.clone();
    Place { code: stead_core::code::POLICY_REFUSED, file, line, column, key: String::new(), message, hint }
}

/// An entry in a line.
pub(crate) fn entry(set: &PolicySet) -> String {
    format!("{} {} {}\n", set.epoch, set.digest, set.status.as_str())
}

/// Entries in a table.
pub(crate) fn list(sets: &[PolicySet]) -> String {
    let row = |set: &PolicySet| {
        let confirmed = set.confirmed_by.as_ref().map_or(String::new(), |by| short(by, 24));
        let rollback = set.rollback.map_or(String::new(), |epoch| format!("back to {epoch}"));
        [
            set.epoch.to_string(),
            set.status.as_str().to_owned(),
            digits(&set.digest),
            short(&set.by, 24),
            confirmed,
            text::instant(set.at),
            rollback,
        ]
    };
    let head = ["EPOCH", "STATUS", "DIGEST", "BY", "CONFIRMED BY", "AT", ""];
    table(head, &sets.iter().map(row).collect::<Vec<_>>())
}

/// An entry with its files.
pub(crate) fn shown(found: &PolicySetFiles) -> String {
    let set = &found.set;
    let confirmed = set.confirmed_by.as_ref().map(|by| clean(by));
    let when = set.confirmed_at.map(|at| format!(" · {}", text::instant(at))).unwrap_or_default();
    let mut rows = vec![
        ("epoch", format!("{} ({})", set.epoch, set.status.as_str())),
        ("digest", set.digest.clone()),
        ("by", format!("{} · {}", clean(&set.by), text::instant(set.at))),
    ];
    rows.extend(confirmed.map(|by| ("confirmed", format!("{by}{when}"))));
    rows.extend(set.rollback.map(|epoch| ("files", format!("those of epoch {epoch}"))));
    rows.push(("tools", found.tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>().join(", ")));
    let mut out = fields(&rows);
    for (name, text) in &found.files {
        out.push_str(&format!("\n# {name}\n"));
        out.extend(text.lines().map(|line| clean(line) + "\n"));
    }
    out
}

/// What a replay found.
pub(crate) fn replay(replay: &PolicyReplay) -> String {
    let mut out = String::new();
    for flip in &replay.flips {
        let by = if flip.by.is_empty() { String::new() } else { format!(" by {}", clean(&flip.by.join(", "))) };
        out.push_str(&format!(
            "{} {} {}: {} → {}{by}\n  {} {}\n",
            text::instant(flip.at),
            clean(&flip.agent),
            flip.effect,
            flip.was,
            flip.now,
            clean(&flip.tool),
            short(&clean(&flip.arguments), 120),
        ));
        out.extend(flip.told.as_ref().map(|told| format!("  {}\n", clean(told))));
    }
    let more = replay.flipped.saturating_sub(replay.flips.len() as u64);
    if more > 0 {
        out.push_str(&format!("and {more} more\n"));
    }
    if !out.is_empty() {
        out.push('\n');
    }
    let (decided, runs) = (text::counted(replay.decided, "decision"), text::counted(replay.runs, "run"));
    out.push_str(&format!("{decided} of {runs}: {} would turn out otherwise\n", replay.flipped));
    if replay.skipped > 0 {
        out.push_str(&format!("{} could not be made again\n", text::counted(replay.skipped, "decision")));
    }
    if replay.truncated {
        out.push_str("there was more: what is older was left out\n");
    }
    out
}

fn digits(digest: &str) -> String {
    digest.chars().take(16).collect()
}
