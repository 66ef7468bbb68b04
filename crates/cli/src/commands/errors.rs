//! `stead errors`: what a code means.

use clap::Args;
use serde_json::json;
use stead_core::code::{self, Code};

use crate::{
    cli::Global,
    error::{CliError, Outcome},
    errors_pages::PAGES,
    exit::Exit,
    ui::{self, table::table},
};

/// Explain an error code: its cause, what Stead did, what to do
#[derive(Debug, Args)]
pub(crate) struct Errors {
    /// A code such as ST0102, or `ls` for all of them
    #[arg(value_name = "CODE|ls")]
    code: String,
}

pub(crate) fn run(global: &Global, args: &Errors) -> Outcome {
    if args.code == "ls" {
        list(global)?;
        return Ok(Exit::Ok);
    }
    let number = args.code.to_ascii_uppercase();
    let number = number.strip_prefix("ST").unwrap_or(&number).parse::<u16>().ok();
    let page = number.and_then(|n| PAGES.iter().find(|(code, _)| *code == n));
    let Some((number, page)) = page else {
        let message = format!("there is no code `{}`", ui::term::short(&args.code, 40));
        return Err(CliError::usage(message).hint("stead errors ls"));
    };
    if global.json {
        let code = Code(*number);
        ui::json(&json!({ "code": code, "title": code.title(), "page": page }))?;
    } else {
        ui::text(page)?;
    }
    Ok(Exit::Ok)
}

fn list(global: &Global) -> Outcome<()> {
    if global.json {
        let all: Vec<_> = code::ALL.iter().map(|(code, title)| json!({ "code": code, "title": title })).collect();
        ui::json(&all)?;
    } else {
        let rows: Vec<_> = code::ALL.iter().map(|(code, title)| [code.to_string(), (*title).to_owned()]).collect();
        ui::text(&table(["CODE", "TITLE"], &rows))?;
    }
    Ok(())
}
