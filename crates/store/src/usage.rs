//! What both stores share about usage: its columns, their bound, and the parts of its question.

use stead_ports::journal::{GroupBy, Used};

/// The largest number in one column of one row: sums of half a million such rows still fit. What a provider claims beyond
/// it is kept as this.
pub(crate) const CELL_MAX: i64 = 1 << 44;

/// The columns, in the order of [`Used::columns`].
pub(crate) const COLUMNS: [&str; 12] = [
    "replies",
    "failures",
    "tool_calls",
    "input",
    "cached",
    "cache_write",
    "output",
    "reasoning",
    "usd",
    "unpriced",
    "estimated_tokens",
    "estimated_usd",
];

/// What a row is given, each number within its bound.
pub(crate) fn cells(used: &Used) -> [i64; 12] {
    used.columns().map(|n| i64::try_from(n).unwrap_or(i64::MAX).min(CELL_MAX))
}

/// The column of a group, or NULL when it is not grouped by that, for agent, model, user and session.
pub(crate) fn groups(by: GroupBy, session: &'static str) -> [Option<&'static str>; 4] {
    [by.agent.then_some("r.agent"), by.model.then_some("u.model"), by.user.then_some("r.started_by"), {
        by.session.then_some(session)
    }]
}

/// The whole of a `GROUP BY`, with its words; empty when there is one sum of all.
pub(crate) fn group_by(groups: [Option<&'static str>; 4]) -> String {
    let columns: Vec<_> = groups.into_iter().flatten().collect();
    if columns.is_empty() { String::new() } else { format!("GROUP BY {}", columns.join(", ")) }
}
