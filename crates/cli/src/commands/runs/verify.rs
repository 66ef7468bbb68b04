//! Whether a run is what the audit log says, as text.

use stead_api::audit::RunVerification;

use crate::ui::{table::fields, term::clean};

/// Nothing for a run in which nobody signed anything.
fn signed(effects: u64) -> String {
    match effects {
        0 => String::new(),
        1 => "1 effect is what people signed".to_owned(),
        n => format!("{n} effects are what people signed"),
    }
}

pub(super) fn told(found: &RunVerification) -> String {
    let at = |seq: Option<u64>| seq.map_or_else(String::new, |seq| format!("record {seq}: "));
    let breaks = found.breaks.iter().map(|b| format!("{}{} ({})", at(b.seq), clean(&b.why), clean(&b.what)));
    let verdict = match (found.holds, found.whole) {
        (true, true) => "this is what happened, from beginning to end",
        (true, false) => "this is what happened so far",
        (false, _) => "this is not what happened, or not all of it",
    };
    fields(&[
        ("run", found.run.to_string()),
        ("verdict", verdict.to_owned()),
        ("breaks", breaks.collect::<Vec<_>>().join("\n")),
        ("records", format!("{}, {} proven in the audit log", found.records, found.proven)),
        ("decisions", format!("{} compared with the policy sets of their epochs", found.decisions)),
        ("approvals", format!("{} held against their questions", found.approvals)),
        ("signed", signed(found.signed)),
        ("notes", found.notes.iter().map(|note| clean(note)).collect::<Vec<_>>().join("\n")),
        ("key", clean(&found.key)),
    ])
}
