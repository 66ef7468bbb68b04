//! What an action left behind, as text: the box that it ran in, and the workspace before and after.

use stead_core::{
    id::TreeId,
    sandbox::{Action, Begun, BoxUse, Property, TreeChange},
};

use super::{term::clean, text};

/// Characters of a tree's address.
const TREE: usize = 12;

/// In a few words, for a line of its own fact.
pub(crate) fn brief(action: &Action) -> String {
    let sandbox = action.sandbox.as_ref().map(|used| format!("{}, {}", used.tier, usage(used)));
    let workspace = action.workspace.as_ref().map(|change| format!("workspace {}", counts(change)));
    sandbox.into_iter().chain(workspace).collect::<Vec<_>>().join("; ")
}

/// In full, below the fact that tells it; every line is indented.
pub(crate) fn lines(action: &Action) -> String {
    let mut out = String::new();
    if let Some(used) = &action.sandbox {
        out.push_str(&format!("\n    sandbox {}: {}", used.tier, usage(used)));
        out.push_str(&format!("\n    held: {}", listed(used, &used.held)));
        if !used.not_held.is_empty() {
            out.push_str(&format!("\n    not held here: {}", listed(used, &used.not_held)));
        }
        match &used.begun {
            None => {}
            Some(Begun::Forked) => out.push_str("\n    begun as a fork of a runtime that was loaded"),
            Some(Begun::Cold(why)) => out.push_str(&format!("\n    begun cold: {}", clean(why))),
        }
    }
    if let Some(change) = &action.workspace {
        let before = change.before.map_or_else(|| "empty".to_owned(), tree);
        let (after, bytes) = (tree(change.after), text::size(change.bytes));
        out.push_str(&format!("\n    workspace {before} → {after}: {}, {bytes} in all", counts(change)));
    }
    out
}

fn usage(used: &BoxUse) -> String {
    let cpu = used
        .cpu
        .map_or_else(|| "processor time not measured".to_owned(), |c| format!("{} of processor", text::span(c.0)));
    let memory =
        used.memory_peak.map_or_else(|| "memory not measured".to_owned(), |m| format!("{} at most", text::size(m)));
    let traffic = used.traffic.map_or_else(String::new, |t| {
        let refused = if t.denied > 0 { format!(", {} refused", t.denied) } else { String::new() };
        let (sent, received) = (text::size(t.sent), text::size(t.received));
        format!(", {} requests{refused}, {sent} out, {received} in", t.allowed)
    });
    format!("{} in all, {cpu}, {memory}{traffic}", text::span(used.wall.0))
}

fn counts(change: &TreeChange) -> String {
    format!("+{} ~{} -{}", change.added, change.changed, change.removed)
}

fn tree(id: TreeId) -> String {
    let id = id.to_string();
    id.rsplit(':').next().unwrap_or(&id).chars().take(TREE).collect()
}

/// Each with what held it, or why it is not held, where the fact tells.
fn listed(used: &BoxUse, properties: &[Property]) -> String {
    let told = |property: &Property| match used.words(*property) {
        Some(words) => format!("{property} ({})", clean(words)),
        None => property.to_string(),
    };
    properties.iter().map(told).collect::<Vec<_>>().join(", ")
}
