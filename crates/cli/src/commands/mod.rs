//! One file for each command, and the way to them.

pub(crate) mod agents;
pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod budgets;
pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod data;
pub(crate) mod demo;
pub(crate) mod demo_service;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod errors;
pub(crate) mod identity;
pub(crate) mod init;
pub(crate) mod login;
pub(crate) mod man_pages;
pub(crate) mod migrate;
pub(crate) mod pages;
pub(crate) mod policy;
pub(crate) mod restore;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod sandboxes;
pub(crate) mod schema;
pub(crate) mod secrets;
pub(crate) mod serve;
pub(crate) mod sessions;
pub(crate) mod switches;
pub(crate) mod test;
pub(crate) mod test_runtime;
pub(crate) mod tokens;
pub(crate) mod usage;
pub(crate) mod with_parent;
pub(crate) mod wrap;

use std::{future::Future, io, process::ExitCode};

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use crate::{
    cli::{Cli, Command},
    error::{CliError, Outcome},
    exit::Exit,
    ui::term::Paint,
};

/// Reads the command line and does what it says.
pub(crate) fn main() -> ExitCode {
    let (json, outcome) = match Cli::try_parse() {
        Ok(cli) => (cli.global.json, dispatch(cli)),
        // As JSON it is told as every other failure; help that was asked for is none.
        Err(usage) if usage.use_stderr() && asks_for_json(std::env::args_os()) => {
            (true, Err(CliError::not_understood(&usage)))
        }
        Err(usage) => usage.exit(),
    };
    let ended = outcome.unwrap_or_else(|error| {
        let text = if json { error.json() } else { error.render(Paint::stderr()) };
        // Nobody may listen; then nobody hears of the error either.
        let _ = io::Write::write_all(&mut io::stderr().lock(), text.as_bytes());
        error.exit()
    });
    ended.into()
}

/// Whether a command line that is not understood has `--json` where an option may stand.
fn asks_for_json(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> bool {
    arguments.by_ref().take_while(|a| a != "--").any(|a| a == "--json")
}

fn dispatch(cli: Cli) -> Outcome {
    let Cli { global, command } = cli;
    if global.json
        && let Some(writes) = no_json(&command)
    {
        return Err(CliError::usage(format!("`--json` has no meaning here: this command writes {writes}")));
    }
    let server = matches!(command, Command::Serve(_) | Command::Dev(_));
    let usual = match command {
        _ if server => "info",
        // Its stderr is the client's log of it.
        Command::Wrap(_) => "warn",
        _ => "error",
    };
    log(usual, server && !matches!(command, Command::Dev(_)));
    match command {
        Command::Run(args) => one(run::run(&global, args)),
        Command::Chat(args) => one(chat::run(&global, args)),
        Command::Agents(args) => one(agents::run(&global, args)),
        Command::Sessions(args) => one(sessions::run(&global, args)),
        Command::Test(args) => one(test::run(&global, args)),
        Command::TestRuntime(args) => one(test_runtime::run(&global, args)),
        Command::Runs(args) => one(runs::run(&global, args)),
        Command::Sandboxes(args) => one(sandboxes::run(&global, args)),
        Command::Budgets(args) => one(budgets::run(&global, args)),
        Command::Identity(args) => one(identity::run(&global, args)),
        Command::Tokens(args) => tokens::run(&global, args),
        Command::Login(args) => one(login::login(&global, args)),
        Command::Logout(args) => one(login::logout(&global, args)),
        Command::Whoami(args) => one(login::whoami(&global, args)),
        Command::Disable(args) => one(switches::disable(&global, args)),
        Command::Enable(args) => one(switches::enable(&global, args)),
        Command::Switches(args) => one(switches::list(&global, args)),
        Command::Policy(args) => one(policy::run(&global, args)),
        Command::Audit(args) => one(audit::run(&global, args)),
        Command::Usage(args) => one(usage::run(&global, args)),
        Command::Approvals(args) => one(approvals::run(&global, args)),
        Command::Init(args) => init::run(&global, &args),
        Command::Dev(args) => many(dev::run(&global, args)),
        Command::Serve(args) => many(serve::run(&global, args)),
        Command::Demo(args) => one(demo::run(&global, args)),
        Command::DemoService(args) => one(demo_service::run(&global, args)),
        Command::Backup(args) => one(backup::run(&global, args)),
        Command::Restore(args) => many(restore::run(&global, args)),
        Command::Migrate(args) => one(migrate::run(&global, args)),
        Command::Data(args) => one(data::run(&global, args)),
        Command::Wrap(args) => one(wrap::run(&global, args)),
        Command::Doctor(args) => one(doctor::run(&global, args)),
        Command::Errors(args) => errors::run(&global, &args),
        Command::Secrets(args) => one(secrets::run(&global, args)),
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::WithParent(args) => with_parent::run(&args),
        Command::Markdown => {
            crate::ui::text(&crate::markdown::reference())?;
            Ok(Exit::Ok)
        }
        Command::ManPages { dir } => man_pages::run(&dir),
    }
}

/// What a command writes that can be no JSON.
fn no_json(command: &Command) -> Option<&'static str> {
    match command {
        Command::Wrap(_) => Some("the messages of MCP"),
        Command::Completions(_) => Some("a script for the shell"),
        Command::Markdown => Some("Markdown"),
        Command::ManPages { .. } => Some("manual pages"),
        _ => None,
    }
}

/// On one thread: starts fastest, and there is little to do at once.
fn one(command: impl Future<Output = Outcome>) -> Outcome {
    on(tokio::runtime::Builder::new_current_thread(), command)
}

/// On all processors.
fn many(command: impl Future<Output = Outcome>) -> Outcome {
    on(tokio::runtime::Builder::new_multi_thread(), command)
}

fn on(mut builder: tokio::runtime::Builder, command: impl Future<Output = Outcome>) -> Outcome {
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|e| CliError::other(format!("the asynchronous runtime cannot be started: {e}")))?;
    let outcome = runtime.block_on(command);
    // A thread may be waiting for a line that nobody will type.
    runtime.shutdown_background();
    outcome
}

/// What the library that speaks MCP may say at most.
const MCP: &str = "rmcp=warn";

/// What the layers below say goes to stderr; `STEAD_LOG` chooses (`info`, `stead_engine=debug`).
fn log(usual: &str, json: bool) {
    let filter =
        EnvFilter::builder().with_env_var("STEAD_LOG").try_from_env().unwrap_or_else(|_| EnvFilter::new(usual));
    // Below a warning it writes whole messages: arguments, results, and what a server repeats of its secrets.
    let filter = filter.add_directive(MCP.parse().expect("it is a directive"));
    let colors = Paint::stderr().is_on();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colors);
    // A log set up twice is a mistake of tests only.
    if json && !crate::ui::term::err_is_tty() {
        let _ = builder.json().try_init();
    } else {
        let _ = builder.with_target(false).try_init();
    }
}
