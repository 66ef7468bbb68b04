//! `stead data`: the key under which a store's texts are encrypted, and its rotation.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use stead_core::code;
use stead_server::{
    config::{Config, DatabaseUrl, Encrypt},
    encryption,
    serve::ServeError,
};

use super::backup::database;
use crate::{
    cli::Global,
    error::{CliError, Outcome},
    exit::Exit,
    ui::{self, text},
};

/// Encrypt what is kept: make a key, change keys
///
/// `encrypt` in stead.toml, or the variable STEAD_ENCRYPT, says where the key is: `file:PATH` or `env:NAME`. What is written from
/// then on is encrypted, and opens only with that key.
#[derive(Debug, Args)]
pub(crate) struct Data {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a key in a new file that only you can read
    NewKey {
        /// The file, which must not exist
        file: PathBuf,
    },
    /// Change keys: what is written from now on is sealed with new ones; what was written stays readable
    ///
    /// Stop the server first. With `--to` the keys of all tenants are wrapped with another key than before: name that one in
    /// `encrypt` or STEAD_ENCRYPT from then on.
    RotateKey {
        /// The key from now on: `file:PATH` or `env:NAME`; the same as before when silent
        #[arg(long, value_name = "KEY", value_parser = place)]
        to: Option<Encrypt>,
        /// The stead.toml that says where data and key are; without it the data folder and STEAD_ENCRYPT count
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The data is in this PostgreSQL database; the data folder has the key of its addresses
        #[arg(long, value_name = "URL", value_parser = database)]
        store: Option<DatabaseUrl>,
    },
}

fn place(text: &str) -> Result<Encrypt, String> {
    Encrypt::parse(text).ok_or_else(|| "write `file:PATH` or `env:NAME`".into())
}

pub(crate) async fn run(global: &Global, args: Data) -> Outcome {
    match args.verb {
        Verb::NewKey { file } => new_key(global, &file),
        Verb::RotateKey { to, config, store } => rotate(global, to, config, store).await,
    }
}

fn new_key(global: &Global, file: &std::path::Path) -> Outcome {
    encryption::new_key(file).map_err(|e| CliError::new(e.code, e.detail))?;
    let absolute = std::path::absolute(file)?;
    if global.json {
        ui::json(&serde_json::json!({ "encrypt": format!("file:{}", absolute.display()) }))?;
    } else if !global.quiet {
        ui::say(&format!("made the key {}: keep a copy of it elsewhere, nothing opens without it", file.display()));
    }
    Ok(Exit::Ok)
}

async fn rotate(global: &Global, to: Option<Encrypt>, config: Option<PathBuf>, store: Option<DatabaseUrl>) -> Outcome {
    let data = match config {
        Some(path) => {
            let config = Config::load(&path).map_err(ServeError::from)?;
            encryption::Data { data_dir: config.data_dir, database: store.or(config.database), encrypt: config.encrypt }
        }
        None => encryption::Data { data_dir: global.data.clone(), database: store, encrypt: None },
    };
    if data.database.is_none() && !data.data_dir.join("stead.db").exists() {
        let detail = format!("{} has no data of Stead", data.data_dir.display());
        return Err(CliError::new(code::NOT_FOUND, detail));
    }
    let done = data.rotate(to.as_ref()).await.map_err(|e| CliError::new(e.code, e.detail))?;
    if global.json {
        ui::json(&serde_json::json!({ "tenants": done.tenants, "kept": done.kept }))?;
        return Ok(Exit::Ok);
    }
    ui::say(&format!(
        "{} made, {} kept for what was written before",
        text::counted(done.tenants, "new key"),
        text::counted(done.kept, "older key"),
    ));
    if let Some(to) = to {
        ui::say(&format!("from now on: encrypt = \"{to}\""));
    }
    Ok(Exit::Ok)
}
