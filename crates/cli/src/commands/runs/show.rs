//! Runs as text.

use stead_api::{
    approval::Approval,
    run::{Run, RunSummary},
};

use super::spent;
use crate::ui::{
    table::{fields, table},
    term::{clean, short},
    text,
};

/// A list of runs.
pub(super) fn list(runs: &[RunSummary]) -> String {
    let now = text::now();
    let row = |r: &RunSummary| {
        let status = r.code.map_or_else(|| r.status.to_string(), |c| format!("{} {c}", r.status));
        let session = r.session_key.as_ref().map_or_else(|| "-".to_owned(), |k| short(k, 24));
        [r.id.to_string(), r.agent.to_string(), status, session, text::age(r.created, now), short(&r.title, 48)]
    };
    table(["RUN", "AGENT", "STATUS", "SESSION", "AGE", "INPUT"], &runs.iter().map(row).collect::<Vec<_>>())
}

/// One run.
pub(super) fn one(run: &Run) -> String {
    let r = &run.summary;
    let key = r.session_key.as_ref().map_or_else(String::new, |k| format!(" ({})", clean(k)));
    let code = r.code.map_or_else(String::new, |c| format!(" ({c})"));
    let asked = |a: &Approval| match &a.question {
        Some(words) => format!("{}  {}", a.id, clean(words)),
        None => format!("{}  {} {}", a.id, clean(&a.tool), short(&a.arguments, 120)),
    };
    let asks = run.approvals.iter().map(asked);
    fields(&[
        ("run", r.id.to_string()),
        ("agent", format!("{} {}", r.agent, text::version(&r.version))),
        ("status", format!("{}{code}", r.status)),
        ("session", format!("{}{key}", r.session)),
        ("parent", r.parent.map_or_else(String::new, |p| p.to_string())),
        ("input", clean(&r.title)),
        ("created", text::instant(r.created)),
        ("updated", text::instant(r.updated)),
        ("wakes", r.wake_at.map_or_else(String::new, text::instant)),
        ("spent", spent(r)),
        ("asks", asks.collect::<Vec<_>>().join("\n")),
        ("answer", run.output.as_deref().map_or_else(String::new, clean)),
        ("error", run.error.as_deref().map_or_else(String::new, clean)),
    ])
}
