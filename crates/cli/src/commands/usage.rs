//! `stead usage`: what runs have used.

use clap::Args;
use stead_api::usage::{UsageBy, UsageGroup, UsageReport, UsageSums};
use stead_client::UsageQuery;
use stead_core::budget::MicroUsd;

use crate::{
    cli::Global,
    connect::{Connection, Need},
    error::Outcome,
    exit::Exit,
    ui::{self, table::table, term::clean, text},
};

/// Sum what runs have used, by agent, model, user or session
///
/// Every settled model call is in it once, in the hour in which it was settled; a child's calls count with the child. What
/// a run that works has used is added when it waits or ends, and after every 16 model calls. Money of calls whose price is not
/// known is not known, and never 0.
#[derive(Debug, Args)]
pub(crate) struct Usage {
    /// One or more of agent, model, user, session, separated by commas
    #[arg(long, value_name = "BY", value_delimiter = ',', value_parser = by, default_value = "agent")]
    by: Vec<UsageBy>,
    /// From then on, in whole hours: how long ago (30d, 12h), or microseconds since 1970
    #[arg(long, value_name = "WHEN", default_value = "30d")]
    since: String,
    /// To then, in the same forms; without it to now
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Write CSV to stdout
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

fn by(word: &str) -> Result<UsageBy, String> {
    UsageBy::parse(word).ok_or_else(|| format!("not one of {}", UsageBy::ALL.map(UsageBy::as_str).join(", ")))
}

pub(crate) async fn run(global: &Global, args: Usage) -> Outcome {
    let connection = Connection::open(global, Need::Rest).await?;
    let query = UsageQuery { by: args.by, since: Some(args.since), until: args.until };
    let report = connection.client.usage(&query).await;
    connection.close().await;
    let report = report?;
    if global.json {
        ui::json(&report)?;
    } else {
        ui::text(&if args.csv { csv(&report) } else { shown(&report) })?;
        if report.more && !global.quiet {
            ui::say(&format!("only the {} largest groups are shown", report.groups.len()));
        }
    }
    Ok(Exit::Ok)
}

/// What the group is, in the order of the question.
fn names(by: &[UsageBy], group: &UsageGroup) -> Vec<String> {
    let name = |by: &UsageBy| match by {
        UsageBy::Agent => group.agent.as_ref().map(ToString::to_string),
        UsageBy::Model => group.model.as_ref().map(ToString::to_string),
        UsageBy::User => group.user.as_ref().map(ToString::to_string),
        UsageBy::Session => group.session.map(|s| s.to_string()),
    };
    by.iter().map(|by| name(by).unwrap_or_default()).collect()
}

fn shown(report: &UsageReport) -> String {
    let heading = report.by.iter().map(|b| b.as_str().to_uppercase()).collect::<Vec<_>>().join(" · ");
    let heading = if heading.is_empty() { "ALL".to_owned() } else { heading };
    let mut rows: Vec<_> = report
        .groups
        .iter()
        .map(|g| {
            let names = names(&report.by, g);
            let name = names.iter().map(|n| if n.is_empty() { "-".to_owned() } else { clean(n) });
            row(name.collect::<Vec<_>>().join(" · "), &g.sums)
        })
        .collect();
    rows.push(row("total".to_owned(), &report.total));
    let headings = [
        heading.as_str(),
        "RUNS",
        "CALLS",
        "TOOLS",
        "INPUT",
        "CACHED",
        "OUTPUT",
        "REASONING",
        "COST",
        "OF IT ESTIMATED",
    ];
    table(headings, &rows)
}

fn row(name: String, s: &UsageSums) -> [String; 10] {
    let n = text::thousands;
    let cost = match s.spent.usd {
        Some(usd) => text::usd(usd),
        None if s.known_usd == MicroUsd(0) => "unknown".to_owned(),
        None => format!("{} + unknown", text::usd(s.known_usd)),
    };
    let estimated = match s.estimated.tokens {
        0 => "-".to_owned(),
        _ => text::spend(s.estimated),
    };
    [
        name,
        n(s.runs),
        n(s.model_calls),
        n(s.tool_calls),
        n(s.input),
        n(s.cached),
        n(s.output),
        n(s.reasoning),
        cost,
        estimated,
    ]
}

/// As RFC 4180 has it; money that is not known is an empty field.
fn csv(report: &UsageReport) -> String {
    let mut out = String::new();
    let mut line = |cells: Vec<String>| {
        out.push_str(&cells.iter().map(|c| quoted(c)).collect::<Vec<_>>().join(","));
        out.push_str("\r\n");
    };
    let columns = [
        "runs",
        "model_calls",
        "failed_calls",
        "tool_calls",
        "input_tokens",
        "cached_tokens",
        "cache_write_tokens",
        "output_tokens",
        "reasoning_tokens",
        "total_tokens",
        "micro_usd",
        "known_micro_usd",
        "unpriced_calls",
        "estimated_tokens",
        "estimated_micro_usd",
    ];
    let heads = report.by.iter().map(|b| b.as_str()).chain(columns);
    line(heads.map(str::to_owned).collect());
    for group in &report.groups {
        let s = &group.sums;
        let mut cells = names(&report.by, group);
        cells.extend([s.runs, s.model_calls, s.failed_calls, s.tool_calls].map(|n| n.to_string()));
        cells.extend([s.input, s.cached, s.cache_write, s.output, s.reasoning].map(|n| n.to_string()));
        cells.push(s.spent.tokens.to_string());
        cells.push(s.spent.usd.map_or_else(String::new, |u| u.0.to_string()));
        cells.extend([s.known_usd.0, s.unpriced_calls, s.estimated.tokens].map(|n| n.to_string()));
        cells.push(s.estimated.usd.map_or_else(String::new, |u| u.0.to_string()));
        line(cells);
    }
    out
}

/// A field; one that a spreadsheet would take for a formula is told as text.
fn quoted(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let cell = if formula { format!("'{cell}") } else { cell.to_owned() };
    match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_a_table_is_never_a_formula_nor_two_fields() {
        assert_eq!(quoted("desk"), "desk");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(quoted("=1+1"), "'=1+1");
    }
}
