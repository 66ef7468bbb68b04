//! `stead demo`: the first five minutes.

use std::time::Instant;

use clap::Args;

use crate::{
    cli::Global,
    drill::{folder::Folder, lives::Lives, plan, report::Report, world::World},
    error::{CliError, Outcome},
    exit::Exit,
    ui,
};

/// See a refund survive 20 kills: paid once, mailed once, all in the journal
///
/// Starts a payment and a mail service on loopback that count, has an agent refund an order, and kills the agent's runtime
/// with SIGKILL again and again, at moments spread over the whole run. The agent's model is a script, no AI. Needs no key
/// and no network. Approvals are answered by the demo, which says so.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How often the runtime is killed
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=100))]
    kills: u32,
    /// Keep the agent and its journal in ./stead-demo
    #[arg(long)]
    keep: bool,
}

pub(crate) async fn run(global: &Global, args: Demo) -> Outcome {
    let interrupted = tokio::signal::ctrl_c();
    tokio::select! {
        outcome = drill(global, &args) => outcome,
        // What runs ends with this process, and the folder vanishes unless it is kept.
        _ = interrupted => Ok(Exit::Interrupted),
    }
}

async fn drill(global: &Global, args: &Demo) -> Outcome {
    let begun = Instant::now();
    let folder = Folder::make(args.keep)?;
    if !global.quiet {
        let kills = ui::text::counted(args.kills.into(), "time");
        ui::say(&format!(
            "An agent refunds an order (scripted model, no AI). Its runtime is killed {kills} with kill -9 meanwhile.\n\
             The payment service and the mail service are stand-ins on loopback, and count.\n"
        ));
    }
    let world = World::start(&folder.services()).await?;
    let end = Lives::new(&folder, &world, global.quiet)?.play(&plan::lives(args.kills)).await?;
    let report = Report::new(&folder, &world, end, begun.elapsed())?;
    if global.json {
        ui::json(&report)?;
    } else {
        if !global.quiet {
            ui::say("");
        }
        ui::text(&report.text())?;
    }
    if !report.good() {
        return Err(CliError::other("what must happen once did not happen exactly once, or the run did not complete"));
    }
    Ok(Exit::Ok)
}
