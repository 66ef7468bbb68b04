//! `stead approvals`: questions to humans, and their answers.

use clap::{Args, Subcommand};
use stead_api::{
    approval::Approval,
    run::{Run, Status},
    session::SessionRef,
};
use stead_client::ApprovalQuery;
use stead_core::id::{EffectId, Name, RunId};

use super::{
    pages::{Paging, more, watched},
    run::stead,
    runs,
};
use crate::{
    cli::Global,
    connect::{Connection, Need},
    error::Outcome,
    exit::Exit,
    ui::{
        self,
        steps::reason,
        table::{fields, table},
        term::{clean, short},
        text,
    },
};

/// Answer what agents ask humans
#[derive(Debug, Args)]
pub(crate) struct Approvals {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List open approvals, the one asked last first
    Ls {
        /// Only of this agent
        #[arg(long)]
        agent: Option<String>,
        /// Only of this session: its id or its name; for a name that several agents have, --agent chooses
        #[arg(long)]
        session: Option<String>,
        /// Only of this run
        #[arg(long)]
        run: Option<RunId>,
        #[command(flatten)]
        paging: Paging,
        /// Write the list again whenever it changes
        #[arg(long, short)]
        watch: bool,
    },
    /// Show an open approval: the exact arguments, and why a human is asked
    Show {
        /// Its name: the effect that it is about
        approval: EffectId,
    },
    /// Approve an action
    Approve {
        /// Its name: the effect that it is about
        approval: EffectId,
        /// What you say to it; kept in the journal
        #[arg(long)]
        note: Option<String>,
    },
    /// Deny an action
    Deny {
        /// Its name: the effect that it is about
        approval: EffectId,
        /// Why; the model reads it
        #[arg(long)]
        note: Option<String>,
    },
}

pub(crate) async fn run(global: &Global, args: Approvals) -> Outcome {
    let connection = Connection::open(global, Need::Rest).await?;
    let outcome = verb(global, &connection, args.verb).await;
    connection.close().await;
    outcome.map(|()| Exit::Ok)
}

async fn verb(global: &Global, connection: &Connection, verb: Verb) -> Outcome<()> {
    let client = &connection.client;
    match verb {
        Verb::Ls { agent, session, run, paging, watch } => {
            let agent: Option<Name> = agent.map(|a| a.as_str().into());
            let session = session.map(|s| SessionRef::new(&s, agent.clone()));
            let query = ApprovalQuery { agent, session, run, page: paging.query() };
            watched(watch, async || {
                let page = client.approvals(&query).await?;
                more(page.next.as_deref());
                if global.json {
                    return Ok(serde_json::to_string_pretty(&page)? + "\n");
                }
                let now = text::now();
                let rows: Vec<_> = page.items.iter().map(|a| row(a, now)).collect();
                Ok(table(["APPROVAL", "AGENT", "TOOL", "AGE", "ARGUMENTS"], &rows))
            })
            .await
        }
        Verb::Show { approval } => {
            let found = client.approval(approval).await?;
            if global.json {
                ui::json(&found)?
            } else {
                ui::text(&shown(&found))?
            }
            Ok(())
        }
        Verb::Approve { approval, note } => told(global, connection, &client.approve(approval, note).await?),
        Verb::Deny { approval, note } => told(global, connection, &client.deny(approval, note).await?),
    }
}

fn told(global: &Global, connection: &Connection, run: &Run) -> Outcome<()> {
    runs::answer(global, run)?;
    if connection.is_own() && !run.summary.status.ended() && run.summary.status != Status::Paused && !global.quiet {
        ui::say(&format!("hint: {} run --resume {}", stead(global), run.summary.id));
    }
    Ok(())
}

fn row(a: &Approval, now: stead_core::time::Timestamp) -> [String; 5] {
    let arguments = short(a.question.as_ref().unwrap_or(&a.arguments), 60);
    [a.id.to_string(), a.agent.to_string(), short(&a.tool, 64), text::age(a.since, now), arguments]
}

/// What gates ask for.
fn needs(a: &Approval) -> String {
    let gate = |g: &stead_api::approval::GateAsks| {
        let who = g.approvers.iter().map(|who| clean(who)).collect::<Vec<_>>().join(" or ");
        format!("{} of {who} ({})", g.quorum, clean(&g.policy))
    };
    a.gates.iter().map(gate).collect::<Vec<_>>().join(", ")
}

fn shown(a: &Approval) -> String {
    if let Some(words) = &a.question {
        return fields(&[
            ("approval", a.id.to_string()),
            ("run", a.run.to_string()),
            ("session", a.session.to_string()),
            ("agent", a.agent.to_string()),
            ("question", clean(words)),
            ("since", text::instant(a.since)),
            ("expires", a.expires.map_or_else(String::new, text::instant)),
        ]);
    }
    let class = serde_json::to_value(a.class).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
    fields(&[
        ("approval", a.id.to_string()),
        ("run", a.run.to_string()),
        ("session", a.session.to_string()),
        ("agent", a.agent.to_string()),
        ("tool", clean(&a.tool)),
        ("effect", class),
        ("arguments", clean(&a.arguments)),
        ("reason", reason(a.reason).to_owned()),
        ("needs", needs(a)),
        ("given", a.given.iter().map(|who| clean(who)).collect::<Vec<_>>().join(", ")),
        ("since", text::instant(a.since)),
        ("expires", a.expires.map_or_else(String::new, text::instant)),
    ])
}
