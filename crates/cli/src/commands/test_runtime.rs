//! `stead test-runtime`: the process in which `stead test` runs a case, and which it kills.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use stead_server::{
    config::{Config, units::Time},
    serve::{Local, Server},
    testing::Setup,
};

use crate::{
    cli::Global,
    error::{CliError, Outcome},
    exit::Exit,
    helpers::DevHelpers,
    ui,
};

/// How long the end of a case waits for what is under way.
const DRAIN: Duration = Duration::from_secs(2);

/// Serve one case of `stead test` until stdin ends; prints its URL as the first line
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct TestRuntime {
    /// What stands for the world
    #[arg(long, value_name = "FILE")]
    setup: PathBuf,
}

pub(crate) async fn run(global: &Global, args: TestRuntime) -> Outcome {
    let text = std::fs::read(&args.setup)?;
    let setup: Setup =
        serde_json::from_slice(&text).map_err(|e| CliError::other(format!("{}: {e}", args.setup.display())))?;
    let config = Config {
        listen: ([127, 0, 0, 1], 0).into(),
        data_dir: global.data.clone(),
        drain_timeout: Time(DRAIN),
        ..Config::default()
    };
    let helpers = Arc::new(DevHelpers::new(true));
    let local = Local { helpers: Some(helpers.clone()), at_rest: false, testing: Some(setup) };
    let server = Server::open_with(config, local).await?;
    ui::text(&format!("{}\n", server.url()))?;
    let ended = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    // However reading ends, nobody is there any more.
    server.run(async { drop(ended.await) }).await;
    helpers.stop().await;
    Ok(Exit::Ok)
}
