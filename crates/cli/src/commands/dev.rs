//! `stead dev`: a server for one developer, on loopback.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use stead_core::{code, id::Name};
use stead_server::{
    agents::Naming,
    approvers::key_path,
    auth::{DEFAULT_TENANT, token_path},
    config::{Config, DEFAULT_PORT},
    serve::{Local, OWNER, Server, told_to_stop},
};

use super::run::stead;
use crate::{
    cli::Global,
    error::{CliError, Outcome},
    exit::Exit,
    helpers::DevHelpers,
    ui::{self, term::Paint},
};

/// The example that a clone of the repository has.
const EXAMPLE: &str = "examples/refund-desk";

/// Serve on loopback for development; starts what manifests name under `dev`
///
/// Other commands find the server through the data folder, with its token. Ends in order at Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Port on loopback; 0 takes a free one
    #[arg(long, default_value_t = DEFAULT_PORT)]
    port: u16,
    /// Agents to apply first
    #[arg(value_name = "DIR|FILE")]
    agents: Vec<PathBuf>,
}

pub(crate) async fn run(global: &Global, args: Dev) -> Outcome {
    let bundles = args.agents.iter().map(|path| stead_manifest::load(path)).collect::<Result<Vec<_>, _>>()?;
    let config =
        Config { listen: ([127, 0, 0, 1], args.port).into(), data_dir: global.data.clone(), ..Config::default() };
    let helpers = Arc::new(DevHelpers::new(true));
    let local = Local { helpers: Some(helpers.clone()), at_rest: false, testing: None };
    let server = Server::open_with(config, local).await?;
    own_root(global, &server).await?;
    let mut applied = Vec::new();
    for bundle in bundles {
        let naming = Naming::live(OWNER.into());
        let new = server.runtime().apply(&DEFAULT_TENANT.into(), bundle, &naming).await;
        let new = new.map_err(crate::commands::agents::refused)?.row;
        ui::say(&format!("applied {} {}", new.agent, ui::text::version(&new.version)));
        applied.push(new.agent);
    }
    // Before anybody hears that it serves, and may tell it to stop.
    let stop = told_to_stop();
    if global.json {
        ui::served::json(&server)?;
    } else if !global.quiet {
        banner(&server, &to_try(global, applied.first()));
    }
    server.run(stop).await;
    helpers.stop().await;
    Ok(Exit::Ok)
}

/// Who works alone approves with a key of their own all the same, so that approvals are here what they are elsewhere.
async fn own_root(global: &Global, server: &Server) -> Outcome<()> {
    let runtime = server.runtime();
    let made = runtime.own_root(&DEFAULT_TENANT.into(), &OWNER.into()).await;
    let made = made.map_err(|e| CliError::new(code::APPROVER_ENTRY, e.to_string()))?;
    if made && !global.quiet {
        let key = key_path(runtime.data_dir());
        ui::say(&format!(
            "made the root of one person, who approves what they began themselves; its key is {}",
            key.display()
        ));
    }
    Ok(())
}

/// A command that works where this one was given.
fn to_try(global: &Global, agent: Option<&Name>) -> String {
    let stead = stead(global);
    match agent {
        Some(agent) => format!("{stead} chat {agent}"),
        None if Path::new(EXAMPLE).exists() => format!("{stead} run {EXAMPLE} \"Refund order 1042\""),
        None => format!("{stead} agents apply DIR"),
    }
}

fn banner(server: &Server, to_try: &str) {
    let data = server.runtime().data_dir();
    let rows = [
        ("api", format!("{}/v1", server.url())),
        ("approvals", format!("{}; `stead approvals open` signs a browser in", server.page())),
        ("openapi", format!("{}/v1/openapi.json", server.url())),
        ("token", token_path(data).display().to_string()),
        ("data", data.display().to_string()),
        ("sandbox", "commands and stdio MCP servers run in one; `stead doctor` tells what it holds here".to_owned()),
        ("try", to_try.to_owned()),
    ];
    let title = format!("stead dev {}", env!("CARGO_PKG_VERSION"));
    ui::say(&format!("{}\n{}", Paint::stderr().bold(&title), ui::table::fields(&rows)));
}
