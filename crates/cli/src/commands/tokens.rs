//! `stead tokens`: tokens for programs. A server knows a token by its hash alone, so whoever makes one needs no server.

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use clap::{Args, Subcommand};
use stead_api::right::Right;
use stead_core::id::Name;
use stead_server::config::{TokenEntry, hash_token};

use crate::{
    cli::Global,
    error::{CliError, Outcome},
    exit::Exit,
    ui,
};

/// Make tokens for programs
#[derive(Debug, Args)]
pub(crate) struct Tokens {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a token for an agent whose loop runs elsewhere: it asks the model of one gateway, in one session, and does nothing else
    ///
    /// The token goes to stdout, once; nobody can tell it from what a server keeps. Its entry goes into the server's configuration, which
    /// counts from the server's next start.
    Issue {
        /// The gateway: an agent with `gateway: true`
        #[arg(long)]
        agent: String,
        /// The key of the session; it is made when the token is first used
        #[arg(long)]
        session: String,
        /// Who is asked about it: the actor in the journal, on whose behalf its runs work; the agent's name when silent
        #[arg(long)]
        subject: Option<String>,
        /// Its tenant
        #[arg(long, default_value = "default")]
        tenant: String,
        /// Append the entry to this file, the server's `auth.tokens_file`, instead of showing it
        #[arg(long, value_name = "FILE")]
        into: Option<PathBuf>,
    },
}

/// Does what is asked.
pub(crate) fn run(global: &Global, args: Tokens) -> Outcome {
    let Verb::Issue { agent, session, subject, tenant, into } = args.verb;
    let mut random = [0; 32];
    stead_server::clock::fill(&mut random);
    let token = BASE64_URL_SAFE_NO_PAD.encode(random);
    let entry = TokenEntry {
        sha256: hash_token(&token).iter().map(|byte| format!("{byte:02x}")).collect(),
        subject: subject.unwrap_or_else(|| agent.clone()).into(),
        tenant: tenant.into(),
        rights: vec![Right::Read, Right::Run],
        roles: Vec::new(),
        mends: false,
        agent: Some(Name::from(agent)),
        session: Some(Name::from(session)),
    };
    if let Some(wrong) = entry.wrong() {
        return Err(CliError::usage(wrong));
    }
    let text = written(&entry);
    if let Some(file) = &into {
        append(file, &text)?;
    }
    if global.json {
        ui::json(&serde_json::json!({ "token": token, "entry": entry }))?;
        return Ok(Exit::Ok);
    }
    if !global.quiet {
        let told = match &into {
            Some(file) => format!("{} has the entry; restart the server", file.display()),
            None => format!("put this into the server's `auth.tokens_file` and restart it:\n\n{text}"),
        };
        ui::say(&told);
        ui::say("the token, shown once:");
    }
    ui::line(&token)?;
    Ok(Exit::Ok)
}

/// The entry as a file of tokens has it. A text in JSON is one in TOML.
fn written(entry: &TokenEntry) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut lines = vec!["[[tokens]]".to_owned()];
    let mut put = |key: &str, value: &str| lines.push(format!("{key} = {}", quoted(value)));
    put("sha256", &entry.sha256);
    put("subject", &entry.subject);
    put("tenant", &entry.tenant);
    for (key, value) in [("agent", &entry.agent), ("session", &entry.session)] {
        if let Some(value) = value {
            put(key, value);
        }
    }
    lines.push("rights = [\"read\", \"run\"]\n".to_owned());
    lines.join("\n")
}

fn append(file: &Path, text: &str) -> Outcome<()> {
    let told = |e: std::io::Error| CliError::other(format!("{}: {e}", file.display()));
    let mut open = OpenOptions::new().append(true).create(true).mode(0o600).open(file).map_err(told)?;
    open.write_all(format!("\n{text}").as_bytes()).and_then(|()| open.sync_all()).map_err(told)
}
