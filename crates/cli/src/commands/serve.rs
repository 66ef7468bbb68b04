//! `stead serve`: the server, as `stead.toml` says.

use std::path::PathBuf;

use clap::Args;
use stead_server::{
    config::Config,
    serve::{ServeError, Server, told_to_stop},
};

use crate::{cli::Global, error::Outcome, exit::Exit, ui};

/// Serve, as a configuration file says
///
/// Ends in order at SIGTERM or SIGINT: nothing new is accepted, requests under way are answered, runs stop at their next
/// durable point and go on after the next start.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The configuration; without it ./stead.toml if there is one, else the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) async fn run(global: &Global, args: Serve) -> Outcome {
    let config = match args.config {
        Some(path) => Config::load(&path).map_err(ServeError::from)?,
        None if PathBuf::from("stead.toml").exists() => {
            Config::load("stead.toml".as_ref()).map_err(ServeError::from)?
        }
        None => Config::default(),
    };
    let server = Server::open(config).await?;
    // Before anybody hears that it serves, and may tell it to stop.
    let stop = told_to_stop();
    tracing::info!(
        url = server.url(),
        data = %server.runtime().data_dir().display(),
        sandbox = ui::served::tiers(&server).join(", "),
        "serving"
    );
    if global.json {
        ui::served::json(&server)?;
    }
    server.run(stop).await;
    tracing::info!("ended in order");
    Ok(Exit::Ok)
}
