//! `stead identity`: the keys of an installation, and whom they vouch for no more.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;
use stead_api::switch::Switched;
use stead_core::code;
use stead_identity::keys::{KeyError, SigningKeys};
use stead_server::identity::{keys_path, now};

use super::switches::{self, Why};
use crate::{
    cli::Global,
    error::{CliError, Outcome},
    exit::Exit,
    ui::{self, table::table},
};

/// Look at and rotate the keys that sign tokens of runs, and revoke runs and people
#[derive(Debug, Args)]
pub(crate) struct Identity {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the keys that are published, by the file of the data folder
    Keys,
    /// Let the next key sign from now on; those before stay published until their tokens have expired
    Rotate {
        /// Publish the keys of before no more: one may have become known to somebody. Tokens that they signed are worth nothing at once
        #[arg(long)]
        compromised: bool,
    },
    /// Let a run, or a person, do nothing any more, or a token count no longer: at once, on every server, until it is restored
    Revoke(Which),
    /// Take a revocation back; runs that hold go on
    Restore(Which),
}

#[derive(Debug, Args)]
struct Which {
    /// What it is
    what: Kind,
    /// A run's id, a person's name as `stead whoami` shows it, or a token's `jti`
    name: String,
    #[command(flatten)]
    why: Why,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Run,
    Person,
    Token,
}

pub(crate) async fn run(global: &Global, args: Identity) -> Outcome {
    match args.verb {
        Verb::Keys => keys(global, SigningKeys::open(&keys_path(&global.data), now())),
        Verb::Rotate { compromised: false } => keys(global, SigningKeys::rotate(&keys_path(&global.data), now())),
        Verb::Rotate { compromised: true } => keys(global, SigningKeys::replace(&keys_path(&global.data), now())),
        Verb::Revoke(which) => turn(global, which, false).await,
        Verb::Restore(which) => turn(global, which, true).await,
    }
}

async fn turn(global: &Global, which: Which, on: bool) -> Outcome {
    let what = match which.what {
        Kind::Run => Switched::Run,
        Kind::Person => Switched::Person,
        Kind::Token => Switched::Token,
    };
    switches::turn(global, what, which.name, which.why, on).await
}

fn keys(global: &Global, read: Result<SigningKeys, KeyError>) -> Outcome {
    let keys = read.map_err(|e| CliError::new(code::DATA_READONLY, format!("the signing keys cannot be used: {e}")))?;
    let (published, signs) = (keys.published(now()), keys.current(now()).kid().to_owned());
    if global.json {
        ui::json(&published)?;
        return Ok(Exit::Ok);
    }
    let text = |key: &Value, name: &str| key[name].as_str().unwrap_or_default().to_owned();
    let row = |key: &Value| {
        let state = if key["kid"] == *signs { "signs" } else { "published" };
        [text(key, "kid"), text(key, "alg"), state.to_owned()]
    };
    let rows: Vec<[String; 3]> = published["keys"].as_array().into_iter().flatten().map(row).collect();
    ui::text(&table(["KEY", "ALGORITHM", "STATE"], &rows))?;
    Ok(Exit::Ok)
}
