//! `stead sessions`: the conversations that runs share.

use clap::{Args, Subcommand};
use stead_api::session::{OpenSession, Session, SessionRef};
use stead_client::SessionQuery;

use super::pages::{Paging, more, watched};
use crate::{
    cli::Global,
    connect::{Connection, Need},
    error::Outcome,
    exit::Exit,
    ui::{
        self,
        table::{fields, table},
        text,
    },
};

/// Look at sessions: conversations and budgets that runs share
#[derive(Debug, Args)]
pub(crate) struct Sessions {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List sessions, newest first
    Ls {
        /// Only of this agent
        #[arg(long)]
        agent: Option<String>,
        #[command(flatten)]
        paging: Paging,
        /// Write the list again whenever it changes
        #[arg(long, short)]
        watch: bool,
    },
    /// Show a session
    Show {
        /// Its id or its name, such as customer/42
        session: String,
        /// The agent, for a name that several agents have
        #[arg(long)]
        agent: Option<String>,
    },
    /// Get the session of a name, or make it
    Open {
        /// The agent
        agent: String,
        /// Your own name for the session, such as customer/42
        key: String,
    },
}

pub(crate) async fn run(global: &Global, args: Sessions) -> Outcome {
    let connection = Connection::open(global, Need::Rest).await?;
    let outcome = verb(global, &connection, args.verb).await;
    connection.close().await;
    outcome.map(|()| Exit::Ok)
}

async fn verb(global: &Global, connection: &Connection, verb: Verb) -> Outcome<()> {
    let client = &connection.client;
    match verb {
        Verb::Ls { agent, paging, watch } => {
            let query = SessionQuery { agent: agent.map(|a| a.as_str().into()), page: paging.query() };
            watched(watch, async || {
                let page = client.sessions(&query).await?;
                more(page.next.as_deref());
                if global.json {
                    return Ok(serde_json::to_string_pretty(&page)? + "\n");
                }
                let now = text::now();
                let rows: Vec<_> = page.items.iter().map(|s| row(s, now)).collect();
                Ok(table(["SESSION", "AGENT", "KEY", "ACTIVE", "SPENT", "AGE"], &rows))
            })
            .await
        }
        Verb::Show { session, agent } => {
            let session = SessionRef::new(&session, agent.map(|a| a.as_str().into()));
            show(global, &client.session(session).await?)
        }
        Verb::Open { agent, key } => {
            let open = OpenSession { agent: agent.as_str().into(), key: key.as_str().into() };
            show(global, &client.open_session(&open).await?)
        }
    }
}

fn row(s: &Session, now: stead_core::time::Timestamp) -> [String; 6] {
    let key = s.key.as_ref().map_or_else(|| "-".to_owned(), |k| ui::term::short(k, 40));
    let active = s.active.map_or_else(|| "-".to_owned(), |r| r.to_string());
    [s.id.to_string(), s.agent.to_string(), key, active, text::spend(s.spent), text::age(s.created, now)]
}

fn show(global: &Global, s: &Session) -> Outcome<()> {
    if global.json {
        ui::json(s)?;
        return Ok(());
    }
    let queued: Vec<_> = s.queued.iter().map(ToString::to_string).collect();
    ui::text(&fields(&[
        ("session", s.id.to_string()),
        ("agent", s.agent.to_string()),
        ("key", s.key.as_ref().map_or_else(String::new, |k| ui::term::clean(k))),
        ("created", text::instant(s.created)),
        ("active", s.active.map_or_else(String::new, |r| r.to_string())),
        ("queued", queued.join("\n")),
        ("head", s.head.map_or_else(String::new, |r| r.to_string())),
        ("spent", text::spend(s.spent)),
    ]))?;
    Ok(())
}
