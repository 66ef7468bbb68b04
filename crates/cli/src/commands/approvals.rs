//! `stead approvals`: questions to humans, and their answers.

mod evidence;
mod keys;
mod watch;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use stead_api::{
    approval::Approval,
    run::{Run, Status},
    session::SessionRef,
};
use stead_client::ApprovalQuery;
use stead_core::{
    code,
    id::{EffectId, Name, RunId},
};

use keys::Keys;

use super::{
    login::browser,
    pages::{Paging, more, watched},
    run::stead,
    runs,
};
use crate::{
    cli::Global,
    connect::{Connection, Need},
    error::{CliError, Outcome},
    exit::Exit,
    signing::{self, Key},
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
        /// The text that a signature covers, as it is shown before signing
        #[arg(long)]
        signed: bool,
    },
    /// Approve an action; where it takes a signature, with the key of the data folder or of a file
    Approve {
        /// Its name: the effect that it is about
        approval: EffectId,
        /// What you say to it; kept in the journal
        #[arg(long)]
        note: Option<String>,
        #[command(flatten)]
        with: With,
    },
    /// Deny an action
    Deny {
        /// Its name: the effect that it is about
        approval: EffectId,
        /// Why; the model reads it
        #[arg(long)]
        note: Option<String>,
        #[command(flatten)]
        with: With,
    },
    /// Open the approval page in a browser that is then signed in as you
    ///
    /// The link counts once, for two minutes, and for whoever has it: give it to nobody.
    Open {
        /// The approval to show; the list of those that wait when silent
        approval: Option<EffectId>,
        /// Write the link and open no browser
        #[arg(long)]
        no_browser: bool,
    },
    /// Write the evidence of a signed approval: the question, the signatures, and the directory that says whose they are
    Receipt {
        /// Its name: the effect that it is about
        approval: EffectId,
        /// The file to write; stdout when silent
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Verify the evidence of a signed approval, without a server
    Verify {
        /// The file
        file: PathBuf,
        /// The hash of the directory's first entry, as it is known from elsewhere
        #[arg(long, value_name = "HASH")]
        root: Option<String>,
    },
    /// Follow what happens to approvals: asked, reminded, escalated, answered, expired
    Watch,
    /// The notices that tell people that they are asked
    Notices(watch::Notices),
    /// The directory of approvers: whose keys count
    Keys(Keys),
}

/// The key to sign with.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct With {
    /// Sign with the key in this file, as `stead approvals keys new` makes it
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Sign with this SSH key: the file of the private key, or of the public one whose private part an agent or a security key has
    #[arg(long, value_name = "FILE")]
    ssh_key: Option<PathBuf>,
}

impl With {
    fn open(&self) -> Outcome<Option<Key>> {
        match (&self.key, &self.ssh_key) {
            (Some(path), _) => Key::open(path).map(Some),
            (_, Some(path)) => Key::ssh(path).map(Some),
            _ => Ok(None),
        }
    }
}

pub(crate) async fn run(global: &Global, args: Approvals) -> Outcome {
    match &args.verb {
        // What needs no server looks for none.
        Verb::Verify { file, root } => return evidence::verify(global, file, root.as_deref()),
        Verb::Keys(keys) if keys.is_offline() => return keys::offline(global, keys),
        _ => {}
    }
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
        Verb::Show { approval, signed: true } => {
            let asked = client.question(approval).await?;
            let question = signing::question(&asked.question, approval)?;
            let text = if global.json { question.to_text() + "\n" } else { question.shown() };
            Ok(ui::text(&text)?)
        }
        Verb::Show { approval, signed: false } => {
            let found = client.approval(approval).await?;
            if global.json {
                ui::json(&found)?
            } else {
                ui::text(&shown(&found))?
            }
            Ok(())
        }
        Verb::Approve { approval, note, with } => answered(global, connection, approval, true, note, &with).await,
        Verb::Deny { approval, note, with } => answered(global, connection, approval, false, note, &with).await,
        Verb::Open { approval, no_browser } => open(global, connection, approval, no_browser).await,
        Verb::Receipt { approval, output } => evidence::write(global, client, approval, output.as_deref()).await,
        Verb::Watch => watch::watch(global, client).await,
        Verb::Notices(notices) => watch::notices(global, client, notices).await,
        Verb::Keys(keys) => keys::run(global, connection, keys).await,
        Verb::Verify { .. } => Ok(()),
    }
}

/// Signs a browser in.
async fn open(global: &Global, connection: &Connection, approval: Option<EffectId>, no_browser: bool) -> Outcome<()> {
    if connection.is_own() {
        return Err(CliError::new(code::NOT_FOUND, "no server is running that a browser could open")
            .hint("start one with `stead dev` or `stead serve`, or name it with --server"));
    }
    let link = connection.client.login_link(approval).await?;
    if global.json {
        ui::json(&link)?;
    } else {
        ui::text(&format!("{}\n", clean(&link.url)))?;
        if !global.quiet {
            ui::say(&format!("it signs one browser in as you, once, within {} seconds", link.seconds));
        }
    }
    if !no_browser {
        browser(&link.url);
    }
    Ok(())
}

/// Shows what is signed and signs it, or answers as usual.
async fn answered(
    global: &Global,
    connection: &Connection,
    approval: EffectId,
    approved: bool,
    note: Option<String>,
    with: &With,
) -> Outcome<()> {
    let client = &connection.client;
    let Some(key) = with.open()? else {
        let run = signing::answer(client, &global.data, approval, approved, note).await?;
        return told(global, connection, &run);
    };
    let asked = client.question(approval).await?;
    let question = signing::question(&asked.question, approval)?;
    if !global.quiet {
        ui::say(&format!(
            "you sign, as {}:\n{}",
            if approved { "approved" } else { "denied" },
            question.shown().trim_end()
        ));
    }
    let run = signing::signed(client, approval, &question, asked.now, approved, note, &key).await?;
    told(global, connection, &run)
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

/// What the action would do, and what of that must still hold when it is done.
fn preview(p: &stead_api::approval::Preview) -> String {
    let binds = match &p.precondition {
        Some(holds) => format!("done only while this holds: {}", clean(holds)),
        None => "not binding: what is done may differ".to_owned(),
    };
    format!("{} ({binds})", short(&p.text, 400))
}

/// Who may answer too, and from when on.
fn escalates(a: &Approval) -> String {
    let step = |step: &stead_api::approval::EscalateTo| {
        let taken = if step.taken { "since" } else { "from" };
        format!("{} {taken} {}", clean(&step.to), text::instant(step.at))
    };
    a.gates.iter().flat_map(|gate| &gate.escalate).map(step).collect::<Vec<_>>().join(", ")
}

fn times(n: u32) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
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
        ("preview", a.preview.as_ref().map_or_else(String::new, preview)),
        ("reason", reason(a.reason).to_owned()),
        ("needs", needs(a)),
        ("escalates", escalates(a)),
        ("reminded", if a.reminders == 0 { String::new() } else { times(a.reminders) }),
        ("given", a.given.iter().map(|who| clean(who)).collect::<Vec<_>>().join(", ")),
        ("since", text::instant(a.since)),
        ("expires", a.expires.map_or_else(String::new, text::instant)),
    ])
}
