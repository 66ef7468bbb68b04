//! `stead sandboxes`: boxes that stay, in a server that runs.

mod copy;
mod exec;
mod files;
mod place;
mod screen;
mod show;
mod terminal;

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::Value;
use stead_api::sandbox::{ChangeSandbox, CreateSandbox, ResourceLimits, TakeSnapshot};
use stead_core::{
    code,
    id::{SandboxId, TreeId},
    time::Span,
};

use self::{exec::ExecArgs, files::Files, place::Place};
use super::pages::watched;
use crate::{
    cli::Global,
    connect::{Connection, Need},
    error::{CliError, Outcome},
    exit::Exit,
    scalar, ui,
};

/// Make sandboxes that stay, run commands in them, move files in and out
#[derive(Debug, Args)]
pub(crate) struct Sandboxes {
    #[command(subcommand)]
    verb: Verb,
}

/// Limits of a sandbox.
#[derive(Clone, Copy, Debug, Args)]
struct Limits {
    /// Memory of all that runs in it, such as `512Mi`
    #[arg(long, value_parser = scalar::size)]
    memory: Option<u64>,
    /// Processors, such as `0.5` or `2`
    #[arg(long, value_parser = scalar::processors)]
    cpu: Option<u32>,
    /// Processes and threads at once
    #[arg(long)]
    pids: Option<u32>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a sandbox; its id goes to stdout
    Create {
        /// The template: what the server lets you have
        #[arg(long, value_name = "NAME")]
        template: Option<String>,
        /// Begin with the workspace of a snapshot
        #[arg(long)]
        tree: Option<TreeId>,
        /// How long it stays, such as `30m` or `8h`
        #[arg(long, value_parser = scalar::span)]
        ttl: Option<Span>,
        #[command(flatten)]
        limits: Limits,
        /// Private folders and changes of the workspace, such as `1Gi`
        #[arg(long, value_parser = scalar::size)]
        disk: Option<u64>,
        /// What it may reach, such as api.example.com:443, or a rule as JSON; may stand several times
        #[arg(long, value_name = "RULE")]
        egress: Vec<String>,
        /// Reach nothing, whatever the template says
        #[arg(long, conflicts_with = "egress")]
        no_egress: bool,
        /// A variable of every command; secret://NAME as its value is a placeholder of that secret
        #[arg(long, short, value_name = "NAME=VALUE", value_parser = variable)]
        env: Vec<(String, String)>,
        /// What you call it
        #[arg(long)]
        label: Option<String>,
    },
    /// List sandboxes, newest first
    Ls {
        /// Write the list again whenever it changes
        #[arg(long, short)]
        watch: bool,
    },
    /// Show a sandbox, what it has used, and its commands
    Show {
        /// The sandbox
        sandbox: SandboxId,
    },
    /// Run a command in a sandbox, and end as it does
    Exec(ExecArgs),
    /// Copy a file out of a sandbox or into one; `-` is stdin or stdout
    Cp {
        /// SANDBOX:PATH, or a path here
        from: String,
        /// SANDBOX:PATH, or a path here
        to: String,
    },
    /// Look at files of a sandbox, and change them
    Files(Files),
    /// Keep the workspace of a sandbox; its tree goes to stdout
    Snapshot {
        /// The sandbox
        sandbox: SandboxId,
        /// How long it is kept, such as `7d`
        #[arg(long, value_parser = scalar::span)]
        hold: Option<Span>,
    },
    /// Change the limits, the time or the egress of a sandbox that runs
    Limit {
        /// The sandbox
        sandbox: SandboxId,
        #[command(flatten)]
        limits: Limits,
        /// How long it stays from now
        #[arg(long, value_parser = scalar::span)]
        ttl: Option<Span>,
        /// The whole list of what it may reach from now on; may stand several times
        #[arg(long, value_name = "RULE")]
        egress: Vec<String>,
        /// Reach nothing from now on
        #[arg(long, conflicts_with = "egress")]
        no_egress: bool,
    },
    /// Remove sandboxes with all that is in them
    Rm {
        /// The sandboxes
        #[arg(required = true)]
        sandboxes: Vec<SandboxId>,
    },
}

/// `NAME=VALUE`.
fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("not of the form NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A rule as it is written: a mapping, or its short form.
fn rules(written: Vec<String>, none: bool) -> Outcome<Option<Vec<Value>>> {
    let rule = |text: String| {
        if text.trim_start().starts_with('{') {
            serde_json::from_str(&text).map_err(|e| CliError::usage(format!("--egress: {e}")))
        } else {
            Ok(Value::String(text))
        }
    };
    match (written.is_empty(), none) {
        (true, false) => Ok(None),
        _ => written.into_iter().map(rule).collect::<Outcome<_>>().map(Some),
    }
}

pub(crate) async fn run(global: &Global, args: Sandboxes) -> Outcome {
    let connection = Connection::open(global, Need::Rest).await?;
    let outcome = if connection.is_own() {
        // What this command would make would end with it.
        let none = CliError::new(code::NO_SERVER, "sandboxes live in a server, and none runs on this data folder");
        Err(none.hint("start one: `stead dev`, or `stead serve`"))
    } else {
        verb(global, &connection, args.verb).await
    };
    connection.close().await;
    outcome
}

async fn verb(global: &Global, connection: &Connection, verb: Verb) -> Outcome {
    let client = &connection.client;
    match verb {
        Verb::Create { template, tree, ttl, limits, disk, egress, no_egress, env, label } => {
            let create = CreateSandbox {
                template: template.map(|t| t.as_str().into()),
                tree,
                ttl,
                limits: told(limits, disk),
                egress: rules(egress, no_egress)?,
                env: env.into_iter().collect::<BTreeMap<_, _>>(),
                label,
            };
            let made = client.create_sandbox(&create).await?;
            if global.json { ui::json(&made)? } else { ui::line(&made.id.to_string())? }
        }
        Verb::Ls { watch } => {
            watched(watch, async || {
                let page = client.sandboxes().await?;
                if global.json { Ok(serde_json::to_string_pretty(&page)? + "\n") } else { Ok(show::all(&page.items)) }
            })
            .await?;
        }
        Verb::Show { sandbox } => {
            let shown = client.sandbox(sandbox).await?;
            if global.json {
                ui::json(&shown)?;
            } else {
                let commands = client.execs(sandbox).await?.items;
                ui::text(&show::one(&shown, &commands))?;
            }
        }
        Verb::Exec(args) => return exec::run(global, client, args).await,
        Verb::Cp { from, to } => copy::copy(global, client, Place::read(&from)?, Place::read(&to)?).await?,
        Verb::Files(args) => files::run(global, client, args).await?,
        Verb::Snapshot { sandbox, hold } => {
            let kept = client.snapshot_sandbox(sandbox, &TakeSnapshot { hold }).await?;
            if global.json { ui::json(&kept)? } else { ui::line(&kept.tree.to_string())? }
        }
        Verb::Limit { sandbox, limits, ttl, egress, no_egress } => {
            let change = ChangeSandbox { ttl, limits: told(limits, None), egress: rules(egress, no_egress)? };
            if change == ChangeSandbox::default() {
                return Err(CliError::usage(
                    "say what is to change: `--ttl`, `--memory`, `--cpu`, `--pids` or `--egress`",
                ));
            }
            let changed = client.change_sandbox(sandbox, &change).await?;
            if global.json { ui::json(&changed)? } else { ui::text(&show::one(&changed, &[]))? }
        }
        Verb::Rm { sandboxes } => {
            for sandbox in sandboxes {
                let removed = client.remove_sandbox(sandbox).await?;
                if global.json { ui::json_line(&removed)? } else { ui::line(&removed.id.to_string())? }
            }
        }
    }
    Ok(Exit::Ok)
}

fn told(limits: Limits, disk: Option<u64>) -> ResourceLimits {
    ResourceLimits { memory: limits.memory, cpu_milli: limits.cpu, pids: limits.pids, disk }
}
