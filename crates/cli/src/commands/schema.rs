//! `stead schema`: JSON Schemas for editors.

use clap::{Args, ValueEnum};

use crate::{error::Outcome, exit::Exit, ui};

/// Print the JSON Schema of agent.yaml or of stead.toml
#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Which one
    of: Of,
}

/// What has a schema.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Of {
    /// agent.yaml
    Agent,
    /// stead.toml
    Server,
}

pub(crate) fn run(args: &Schema) -> Outcome {
    ui::json(&match args.of {
        Of::Agent => stead_manifest::schema(),
        Of::Server => stead_server::config::schema(),
    })?;
    Ok(Exit::Ok)
}
