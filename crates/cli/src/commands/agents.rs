//! `stead agents`: applying agents, and looking at their versions.

mod versions;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use stead_api::agent::{Agent, AgentSummary, Untraced};
use stead_server::agents::ApplyError;

use super::{pages::watched, run::apply_as};
use crate::{
    cli::Global,
    connect::{Connection, Need},
    error::{CliError, Outcome},
    exit::Exit,
    ui::{
        self,
        table::{fields, table},
        term::clean,
        text,
    },
};

/// Apply agents and look at their versions
#[derive(Debug, Args)]
pub(crate) struct Agents {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a version of an agent and let new runs use it
    Apply {
        /// Let this alias name the version, and leave `live`, which new runs use, where it is
        #[arg(long, value_name = "ALIAS")]
        alias: Option<String>,
        /// Folder with an agent.yaml, or the path of one
        #[arg(value_name = "DIR|FILE", required = true)]
        agents: Vec<PathBuf>,
    },
    /// List the live version of each agent
    Ls {
        /// Write the list again whenever it changes
        #[arg(long, short)]
        watch: bool,
    },
    /// Show an agent: its models, tools and limits
    Show {
        /// Its name; after an `@` an alias or a version
        agent: String,
        /// A version other than the live one, the beginning of one, or an alias
        #[arg(long)]
        version: Option<String>,
    },
    /// List the versions of an agent, newest first, and who moved its aliases when
    Versions {
        /// Its name
        agent: String,
    },
    /// Name versions: list, set and remove aliases
    Alias {
        #[command(subcommand)]
        verb: AliasVerb,
    },
    /// Let new runs use the version that was live before; runs under way keep theirs
    Rollback {
        /// The agent's name
        agent: String,
        /// To this version, the beginning of one, or what this alias names
        #[arg(long, value_name = "VERSION")]
        to: Option<String>,
    },
    /// Confirm what somebody else proposed, where two people are asked for
    Confirm {
        /// The agent's name
        agent: String,
        /// The version that was proposed, or the beginning of it; without it, that the alias is removed
        #[arg(required_unless_present = "remove")]
        version: Option<String>,
        /// The alias that is to name it
        #[arg(long, default_value = "live")]
        alias: String,
        /// Confirm that the alias is removed
        #[arg(long, conflicts_with = "version")]
        remove: bool,
    },
    /// Show what two versions differ in: what changes for safety (`!` where more is allowed), and their files
    Diff {
        /// The agent's name
        agent: String,
        /// The first: a version, the beginning of one, or an alias; without it what was live before
        from: Option<String>,
        /// The second; without it the live one
        to: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum AliasVerb {
    /// List an agent's aliases
    Ls {
        /// The agent's name
        agent: String,
    },
    /// Let an alias name a version from now on
    Set {
        /// The agent's name
        agent: String,
        /// The alias, such as canary; `live` is what new runs use
        alias: String,
        /// A version, the beginning of one, or another alias
        version: String,
    },
    /// Remove an alias
    Rm {
        /// The agent's name
        agent: String,
        /// The alias
        alias: String,
    },
}

pub(crate) async fn run(global: &Global, args: Agents) -> Outcome {
    let bundles = match &args.verb {
        Verb::Apply { agents, .. } => agents.iter().map(|path| stead_manifest::load(path)).collect::<Result<_, _>>()?,
        _ => Vec::new(),
    };
    let connection = Connection::open(global, Need::Rest).await?;
    let outcome = verb(global, &connection, args.verb, &bundles).await;
    connection.close().await;
    outcome.map(|()| Exit::Ok)
}

async fn verb(global: &Global, connection: &Connection, verb: Verb, bundles: &[stead_manifest::Bundle]) -> Outcome<()> {
    let client = &connection.client;
    match verb {
        Verb::Apply { alias, .. } => {
            for bundle in bundles {
                let agent = apply_as(connection, bundle, alias.as_deref()).await?;
                if global.json {
                    ui::json(&agent)?;
                } else {
                    ui::line(&format!("{} {}", agent.name, agent.version))?;
                }
                if let Some(alias) = &agent.proposed {
                    let confirm = versions::confirm(&agent.name, alias, Some(&agent.version));
                    ui::say(&format!("it waits for another person: {confirm}"));
                }
                if let Some(untraced) = &agent.untraced {
                    ui::say(&alone(&agent, untraced));
                }
            }
        }
        Verb::Ls { watch } => {
            watched(watch, async || {
                let page = client.agents().await?;
                list(global, &page, &page.items)
            })
            .await?;
        }
        Verb::Show { agent, version } => {
            let found = match version {
                Some(version) => client.agent(&format!("{agent}@{version}")).await?,
                None => client.agent(&agent).await?,
            };
            if global.json { ui::json(&found)? } else { ui::text(&shown(&found))? }
        }
        Verb::Versions { agent } => {
            let found = client.versions(&agent).await?;
            if global.json { ui::json(&found)? } else { ui::text(&versions::list(&found))? }
        }
        Verb::Alias { verb: AliasVerb::Ls { agent } } => {
            let found = client.versions(&agent).await?;
            if global.json { ui::json(&found.aliases)? } else { ui::text(&versions::aliases(&found.aliases))? }
        }
        Verb::Alias { verb: AliasVerb::Set { agent, alias, version } } => {
            moved(global, &client.set_alias(&agent, &alias, Some(version)).await?)?;
        }
        Verb::Alias { verb: AliasVerb::Rm { agent, alias } } => {
            moved(global, &client.set_alias(&agent, &alias, None).await?)?;
        }
        Verb::Rollback { agent, to } => moved(global, &client.rollback(&agent, to).await?)?,
        Verb::Confirm { agent, version, alias, .. } => {
            moved(global, &client.confirm_alias(&agent, &alias, version).await?)?;
        }
        Verb::Diff { agent, from, to } => {
            let found = client.diff(&agent, from.as_deref(), to.as_deref()).await?;
            if global.json { ui::json(&found)? } else { ui::text(&versions::diff(&found))? }
        }
    }
    Ok(())
}

fn moved(global: &Global, alias: &stead_api::version::Alias) -> Outcome<()> {
    if global.json {
        ui::json(alias)?
    } else {
        ui::text(&versions::alias(alias))?
    }
    Ok(())
}

fn list(global: &Global, page: &impl serde::Serialize, items: &[AgentSummary]) -> Outcome<String> {
    if global.json {
        return Ok(serde_json::to_string_pretty(page)? + "\n");
    }
    let now = text::now();
    let row = |a: &AgentSummary| {
        let live = if a.live { "live" } else { "" };
        [a.name.to_string(), text::version(&a.version), live.to_owned(), text::age(a.created, now)]
    };
    Ok(table(["AGENT", "VERSION", "LIVE", "AGE"], &items.iter().map(row).collect::<Vec<_>>()))
}

fn shown(agent: &Agent) -> String {
    let model = |m: &stead_api::agent::ModelInfo| {
        let scripted = if m.scripted { " (scripted model, no AI)" } else { "" };
        let unpriced = if m.priced { "" } else { " (price unknown)" };
        format!("{}{scripted}{unpriced}", m.name)
    };
    let limits = &agent.limits;
    let limits = [
        limits.tokens.map(|n| text::counted(n, "token")),
        limits.usd.map(text::usd),
        limits.tool_calls.map(|n| text::counted(n.into(), "tool call")),
        limits.active.map(|s| format!("{} active", text::span(s.0))),
        limits.deadline.map(|s| format!("{} deadline", text::span(s.0))),
        limits.children.map(|n| format!("{n} children")),
    ];
    let mut out = fields(&[
        ("agent", agent.name.to_string()),
        ("version", format!("{}{}", agent.version, if agent.live { " (live)" } else { "" })),
        ("applied", text::instant(agent.created)),
        ("models", agent.models.iter().map(model).collect::<Vec<_>>().join("\n")),
        ("limits", limits.into_iter().flatten().collect::<Vec<_>>().join(", ")),
    ]);
    let row = |t: &stead_api::agent::ToolInfo| {
        let ask = if t.ask { "ask" } else { "" };
        let class = serde_json::to_value(t.class).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
        [t.name.to_string(), class, ask.to_owned(), ui::term::short(&t.description, 60)]
    };
    if !agent.tools.is_empty() {
        out.push('\n');
        out.push_str(&table(
            ["TOOL", "EFFECT", "ASK", "DESCRIPTION"],
            &agent.tools.iter().map(row).collect::<Vec<_>>(),
        ));
    }
    if let Some(schema) = &agent.input {
        let schema = serde_json::to_string_pretty(schema).unwrap_or_default();
        out.push_str(&format!("\neach input satisfies:\n{}\n", clean(&schema)));
    }
    format!("{out}\n{}\n", clean(agent.instructions.trim_end()))
}

/// That nothing stands between other people's words and what an agent does.
fn alone(agent: &Agent, untraced: &Untraced) -> String {
    let cure = "take `provenance: off` out of its manifest, or say by `trust` what its tools' results count";
    format!("warning: {}: {}\n  hint: {cure}", clean(&agent.name), clean(&untraced.to_string()))
}

/// An agent that this process itself did not take.
pub(crate) fn refused(e: ApplyError) -> CliError {
    match e {
        ApplyError::Bundle(stead_manifest::BundleError::Manifest(errors)) => errors.into(),
        ApplyError::Bundle(e) => CliError::new(stead_core::code::MANIFEST_READ, e.to_string()),
        ApplyError::Agent(e) => CliError::new(e.code, e.detail),
        ApplyError::Store(e) => CliError::new(e.code, e.detail),
        ApplyError::Policies(e) => CliError::new(e.code(), e.to_string()),
        ApplyError::Aliases(_) => CliError::new(stead_core::code::ALIAS_REFUSED, e.to_string()),
    }
}
