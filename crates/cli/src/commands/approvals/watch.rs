//! `stead approvals watch`: what happens to approvals, as it happens; and the notices that tell people of them.

use clap::{Args, Subcommand};
use stead_api::approval::{ApprovalEvent, event};
use stead_client::{Client, HeardAsked};

use crate::{
    cli::Global,
    error::Outcome,
    ui::{
        self,
        table::table,
        term::{clean, short},
        text,
    },
};

/// The notices that tell people that they are asked.
#[derive(Debug, Args)]
pub(super) struct Notices {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the notices of the server's configuration
    Ls,
    /// Send a notice that says that it is a test
    Test {
        /// Its name
        name: String,
    },
}

pub(super) async fn notices(global: &Global, client: &Client, args: Notices) -> Outcome<()> {
    match args.verb {
        Verb::Ls => {
            let all = client.notices().await?;
            if global.json {
                return Ok(ui::json(&all)?);
            }
            let word = |yes: bool, word: &str| if yes { word.to_owned() } else { String::new() };
            let row = |n: &stead_api::approval::NoticeInfo| {
                [clean(&n.name), clean(&n.kind), word(n.details, "details"), word(n.resolved, "resolved")]
            };
            let rows: Vec<_> = all.items.iter().map(row).collect();
            Ok(ui::text(&table(["NOTICE", "KIND", "SHOWS", "ALSO"], &rows))?)
        }
        Verb::Test { name } => {
            let tested = client.test_notice(&name).await?;
            if global.json {
                return Ok(ui::json(&tested)?);
            }
            Ok(ui::text(&format!("sent {}\n", clean(&tested.name)))?)
        }
    }
}

/// Follows until Ctrl-C.
pub(super) async fn watch(global: &Global, client: &Client) -> Outcome<()> {
    let mut follow = client.follow_approvals(None);
    loop {
        let heard = tokio::select! {
            heard = follow.next() => heard?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        match heard {
            HeardAsked::Reset if global.json => ui::text("{\"event\":\"reset\"}\n")?,
            HeardAsked::Reset => {}
            HeardAsked::Event(name, told) if global.json => {
                let mut line = serde_json::to_value(&told)?;
                line["event"] = name.into();
                ui::text(&format!("{line}\n"))?;
            }
            HeardAsked::Event(name, told) => ui::text(&line(&name, &told))?,
        }
    }
}

fn line(name: &str, told: &ApprovalEvent) -> String {
    let more = match (name, &told.approval) {
        (event::OPENED, Some(a)) => {
            format!("{} {}", clean(&a.tool), short(a.question.as_ref().unwrap_or(&a.arguments), 60))
        }
        (event::REMINDED, _) => told.reminders.map(|n| format!("reminder {n}")).unwrap_or_default(),
        (event::ESCALATED, _) => told.to.as_ref().map(|to| format!("to {}", clean(to))).unwrap_or_default(),
        _ => told.by.as_ref().map(|by| format!("by {}", clean(by))).unwrap_or_default(),
    };
    let line = format!("{}  {name:<9}  {}  {}  {more}", text::instant(told.at), told.id, clean(&told.agent));
    format!("{}\n", line.trim_end())
}
