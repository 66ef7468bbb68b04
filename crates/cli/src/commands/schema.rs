//! `stead schema`: JSON Schemas for editors, and the OpenAPI document for generators of clients.

use clap::{Args, ValueEnum};

use crate::{error::Outcome, exit::Exit, ui};

/// Print the JSON Schema of agent.yaml, stead.toml or tests/*.yaml, or the OpenAPI document
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
    /// The HTTP API, as OpenAPI 3.1
    Api,
    /// tests/*.yaml
    Test,
}

pub(crate) fn run(args: &Schema) -> Outcome {
    ui::json(&match args.of {
        Of::Agent => stead_manifest::schema(),
        Of::Test => stead_manifest::cases::case_schema(),
        Of::Server => stead_server::config::schema(),
        Of::Api => stead_api::openapi::document(env!("CARGO_PKG_VERSION")),
    })?;
    Ok(Exit::Ok)
}
