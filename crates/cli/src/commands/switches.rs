//! `stead disable`, `stead enable`, `stead switches`: what operators turn off, on again, and what is off.

use clap::{Args, Subcommand, ValueEnum};
use stead_api::switch::{CancelAll, Switch, Switched, TurnSwitch};
use stead_client::Client;
use stead_core::id::Name;

use crate::{
    cli::Global,
    connect::{Connection, Need},
    error::Outcome,
    exit::Exit,
    ui::{
        self,
        table::table,
        term::{clean, short},
        text,
    },
};

/// Turn off a tool, a provider, an agent, a version or a tenant, at once and on every server
///
/// Once this returns nothing begins any more that needs it. Calls of a tool or a provider are denied and models are told; runs of an
/// agent, a version or a tenant hold where they are, until it is enabled again. What is under way is not interrupted: see
/// `stead runs cancel --all`.
#[derive(Debug, Args)]
pub(crate) struct Disable {
    #[command(flatten)]
    which: Which,
}

/// Turn on again what was disabled; runs that hold go on
#[derive(Debug, Args)]
pub(crate) struct Enable {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
struct Which {
    /// What it is
    what: Kind,
    /// Its name: of a tool or of its entry in manifests, of a provider's account, of an agent, a version in full, of the tenant
    name: String,
    #[command(flatten)]
    why: Why,
}

/// What every switch is turned with.
#[derive(Debug, Args)]
pub(crate) struct Why {
    /// Why; whoever meets the switch is told
    #[arg(long, default_value = "")]
    reason: String,
    /// The tenant, when it is not that of the token
    #[arg(long)]
    tenant: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Tool,
    Provider,
    Agent,
    Version,
    Tenant,
}

/// List what is disabled or revoked, and what was turned off and on before
#[derive(Debug, Args)]
pub(crate) struct ListSwitches {
    #[command(subcommand)]
    verb: ListVerb,
}

#[derive(Debug, Subcommand)]
enum ListVerb {
    /// List what is off now; with --all everything that was ever turned, the last first
    Ls {
        /// Everything that was turned
        #[arg(long)]
        all: bool,
    },
}

pub(crate) async fn disable(global: &Global, args: Disable) -> Outcome {
    turned(global, args.which, false).await
}

pub(crate) async fn enable(global: &Global, args: Enable) -> Outcome {
    turned(global, args.which, true).await
}

async fn turned(global: &Global, which: Which, on: bool) -> Outcome {
    let what = match which.what {
        Kind::Tool => Switched::Tool,
        Kind::Provider => Switched::Provider,
        Kind::Agent => Switched::Agent,
        Kind::Version => Switched::Version,
        Kind::Tenant => Switched::Tenant,
    };
    turn(global, what, which.name, which.why, on).await
}

/// Turns a switch and says so.
pub(crate) async fn turn(global: &Global, what: Switched, name: String, why: Why, on: bool) -> Outcome {
    let Why { reason, tenant } = why;
    let turn = TurnSwitch { what, name: name.into(), on, reason, tenant: tenant.map(Name::from) };
    let connection = Connection::open(global, Need::Rest).await?;
    let switch = connection.client.turn_switch(&turn).await;
    connection.close().await;
    say(global, &switch?)?;
    Ok(Exit::Ok)
}

/// Stops all runs and says so.
pub(crate) async fn cancel_all(global: &Global, client: &Client, stop: &CancelAll) -> Outcome<()> {
    say(global, &client.cancel_all(stop).await?)
}

fn say(global: &Global, switch: &Switch) -> Outcome<()> {
    if global.json {
        return Ok(ui::json(switch)?);
    }
    let tenant = clean(&switch.tenant);
    let line = match (&*switch.what, switch.on) {
        ("runs", _) => format!("all runs of {tenant} stop: none of them begins anything any more"),
        (what, false) => format!("{what} {} is off in {tenant}", clean(&switch.name)),
        (what, true) => format!("{what} {} is on again in {tenant}", clean(&switch.name)),
    };
    Ok(ui::line(&line)?)
}

pub(crate) async fn list(global: &Global, args: ListSwitches) -> Outcome {
    let ListVerb::Ls { all } = args.verb;
    let connection = Connection::open(global, Need::Rest).await?;
    let listed = listed(&connection.client, all).await;
    connection.close().await;
    let rows = listed?;
    if global.json {
        ui::json(&rows)?;
    } else {
        ui::text(&shown(&rows))?;
    }
    Ok(Exit::Ok)
}

async fn listed(client: &Client, all: bool) -> Outcome<Vec<Switch>> {
    let mut found = client.switches(None).await?;
    if !all {
        return Ok(found.off);
    }
    let mut rows = std::mem::take(&mut found.past);
    while let Some(before) = found.next {
        found = client.switches(Some(before)).await?;
        rows.append(&mut found.past);
    }
    Ok(rows)
}

fn shown(rows: &[Switch]) -> String {
    let row = |s: &Switch| {
        let state = if s.on { "on" } else { "off" };
        let (what, name, by) = (s.what.clone(), clean(&s.name), short(&s.by, 24));
        [what, name, state.to_owned(), text::instant(s.at), by, short(&s.reason, 60)]
    };
    table(["WHAT", "NAME", "STATE", "SINCE", "BY", "REASON"], &rows.iter().map(row).collect::<Vec<_>>())
}
