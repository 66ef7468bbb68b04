//! `stead budgets`: what the tenant and its agents may use, by the hour, day or month.

use clap::{Args, Subcommand};
use stead_api::budget::{Budget, BudgetLimits, Budgets as All, SetBudget};
use stead_core::{
    budget::{Amounts, Caps, MicroUsd, Per},
    code,
    id::Name,
    time::Span,
};

use crate::{
    cli::Global,
    connect::{Connection, Need},
    error::{CliError, Outcome},
    exit::Exit,
    ui::{self, table::table, term::clean, text},
};

/// Limit what the tenant and its agents may use
///
/// A run is paid for by the budgets of its tenant, of its agent, and of the agents above it in its chain. What is used and what is
/// set aside for calls under way are together never more than a limit.
#[derive(Debug, Args)]
pub(crate) struct Budgets {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List budgets with what is left of their windows
    Ls,
    /// Show the budgets of the tenant, or of an agent
    Show {
        /// The agent; without it the tenant
        agent: Option<String>,
    },
    /// Set a budget of the tenant, or of an agent
    ///
    /// All its limits are set; those that are not named are none any more. What was used of its window stays.
    Set(Box<Set>),
    /// Remove a budget of the tenant, or of an agent
    Rm {
        /// The agent; without it the tenant
        agent: Option<String>,
        /// The window of the budget: hour, day, month or ever
        #[arg(long, value_name = "WINDOW", default_value = "ever")]
        per: Per,
    },
}

#[derive(Debug, Args)]
struct Set {
    /// The agent; without it the tenant
    agent: Option<String>,
    /// How often it begins anew, by the calendar in UTC: hour, day, month or ever
    #[arg(long, value_name = "WINDOW", default_value = "ever")]
    per: Per,
    /// Model tokens
    #[arg(long, value_name = "N")]
    tokens: Option<u64>,
    /// US dollars for model calls; a model without a known price is refused
    #[arg(long, value_name = "DOLLARS", value_parser = dollars)]
    usd: Option<MicroUsd>,
    /// Tool calls
    #[arg(long, value_name = "N")]
    tool_calls: Option<u64>,
    /// Working time, such as 90m
    #[arg(long, value_name = "TIME", value_parser = span)]
    active: Option<Span>,
    /// Processor time in sandboxes, such as 10m
    #[arg(long, value_name = "TIME", value_parser = span)]
    cpu: Option<Span>,
    /// Bytes between sandboxes and hosts, such as 1Gi
    #[arg(long, value_name = "SIZE", value_parser = size)]
    traffic: Option<u64>,
    /// Bytes by which workspaces grow, such as 1Gi
    #[arg(long, value_name = "SIZE", value_parser = size)]
    disk: Option<u64>,
    /// Runs of other agents that may be started
    #[arg(long, value_name = "N")]
    children: Option<u64>,
}

fn dollars(text: &str) -> Result<MicroUsd, String> {
    let bad = || format!("`{text}` is no amount of dollars: write it as 20 or 0.50, with at most six decimals");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 6 || whole.is_empty() || !whole.chars().chain(part.chars()).all(|c| c.is_ascii_digit()) {
        return Err(bad());
    }
    let micros = format!("{whole}{part:0<6}").parse::<u64>().map_err(|_| bad())?;
    Ok(MicroUsd(micros))
}

fn span(text: &str) -> Result<Span, String> {
    let time = stead_server::config::units::Time::parse(text)
        .ok_or_else(|| format!("`{text}` is no time: write it as 90s, 10m, 2h or 7d"))?;
    Ok(Span(u64::try_from(time.0.as_micros()).unwrap_or(u64::MAX)))
}

fn size(text: &str) -> Result<u64, String> {
    let size = stead_server::config::units::Size::parse(text);
    size.map(|s| s.0 as u64).ok_or_else(|| format!("`{text}` is no size: write it as 1000, 64Ki, 10Mi or 1Gi"))
}

pub(crate) async fn run(global: &Global, args: Budgets) -> Outcome {
    let connection = Connection::open(global, Need::Rest).await?;
    let client = &connection.client;
    let set = |agent: Option<String>, per, limits| SetBudget { agent: agent.map(Name::from), per, limits };
    let (found, whose) = match args.verb {
        Verb::Ls => (client.budgets().await, None),
        Verb::Show { agent } => (client.budgets().await, Some(agent.map(Name::from))),
        Verb::Set(s) => {
            let Set { agent, per, tokens, usd, tool_calls, active, cpu, traffic, disk, children } = *s;
            let limits = BudgetLimits { tokens, usd, tool_calls, active, cpu, traffic, disk, children };
            if limits == BudgetLimits::default() {
                connection.close().await;
                return Err(CliError::usage("name a limit, such as --usd 20; `stead budgets rm` removes a budget"));
            }
            let whose = agent.clone().map(Name::from);
            (client.set_budget(&set(agent, per, limits)).await, Some(whose))
        }
        Verb::Rm { agent, per } => (client.set_budget(&set(agent, per, BudgetLimits::default())).await, None),
    };
    connection.close().await;
    let mut found = found?;
    if let Some(whose) = &whose {
        found.items.retain(|b| b.agent == *whose);
        if found.items.is_empty() {
            let whose = whose.as_ref().map_or("the tenant".to_owned(), |a| format!("agent `{a}`"));
            return Err(CliError::new(code::NOT_FOUND, format!("{whose} has no budget")));
        }
    }
    if global.json {
        ui::json(&found)?;
    } else {
        ui::text(&shown(&found))?;
    }
    Ok(Exit::Ok)
}

fn shown(all: &All) -> String {
    let mut rows = Vec::new();
    for budget in &all.items {
        let whose = budget.agent.as_ref().map_or("(tenant)".to_owned(), |a| clean(a));
        for [kind, limit, used, held, left] in kinds(budget) {
            rows.push([whose.clone(), budget.per.to_string(), kind, limit, used, held, left]);
        }
    }
    table(["AGENT", "PER", "OF", "LIMIT", "USED", "HELD", "LEFT"], &rows)
}

/// How an amount is shown.
type Show = fn(u64) -> String;

/// The kinds, in the order of [`KINDS`](stead_core::budget::KINDS).
const WORDS: [(&str, Show); 8] = [
    ("tokens", text::thousands),
    ("usd", |n| text::usd(MicroUsd(n))),
    ("tool calls", text::thousands),
    ("active", text::span),
    ("cpu", text::span),
    ("traffic", text::size),
    ("disk", text::size),
    ("children", text::thousands),
];

/// A line for each limit: its kind, the limit, what is used, held and left.
fn kinds(b: &Budget) -> Vec<[String; 5]> {
    let (limits, left) = (Caps::from(b.limits).to_array(), Caps::from(b.left).to_array());
    let (used, held) = (Amounts::from(b.used).to_array(), Amounts::from(b.held).to_array());
    let row = |(i, (word, show)): (usize, &(&str, Show))| {
        Some([(*word).to_owned(), show(limits[i]?), show(used[i]), show(held[i]), show(left[i].unwrap_or(0))])
    };
    WORDS.iter().enumerate().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_exactly() {
        assert_eq!(dollars("20"), Ok(MicroUsd(20_000_000)));
        assert_eq!(dollars("0.50"), Ok(MicroUsd(500_000)));
        assert_eq!(dollars("0.000001"), Ok(MicroUsd(1)));
        for bad in ["", ".5", "-1", "1e3", "0.0000001", "1.2.3", "99999999999999999"] {
            assert!(dollars(bad).is_err(), "{bad}");
        }
    }
}
