//! `stead run`: an agent from a folder, in this process or on the server that owns the data directory.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use stead_api::{
    agent::{Agent, ApplyAgent, Bundle},
    approval::Approval,
    artifact::Attachment,
    run::{Run as ApiRun, RunSummary, StartRun, Status},
};
use stead_client::{Client, RunQuery};
use stead_core::{code, fact::AskReason, id::RunId, time::Timestamp};

use super::{pages::in_session, runs::record};
use crate::{
    attach,
    cli::Global,
    connect::{Connection, Need},
    error::{CliError, Outcome},
    exit::Exit,
    follow::{Answers, Ended, Follower, banner, report},
    ui::{self, steps::reason, term},
};

/// How long a server that no longer serves may take to end.
const LAST_WORDS: Duration = Duration::from_secs(40);

/// Run an agent and print its answer
///
/// Everything that happens is durable in the data folder. Killed at any point, `stead run --resume` finishes the run, and
/// nothing is done twice. A server that owns the data folder (`stead dev`) does the work; without one, this process does.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Folder with an agent.yaml, or the path of one
    #[arg(required_unless_present = "resume", conflicts_with = "resume", value_name = "DIR|FILE")]
    agent: Option<PathBuf>,
    /// What the agent is asked; without it, or as `-`, it is read from stdin
    input: Option<String>,
    /// Run in the session of this name, which is made if it does not exist, or of this id
    #[arg(long, value_name = "KEY")]
    session: Option<String>,
    /// Finish this run; without RUN the latest that is not finished
    #[arg(long, value_name = "RUN", num_args = 0..=1)]
    resume: Option<Option<RunId>>,
    /// Give the run this file; may be repeated. Models read texts and see pictures, and are told of other files
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    attach: Vec<PathBuf>,
    /// Record what goes over the wire to the models, and write it to this file at the end
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    record: Option<PathBuf>,
    /// Approve what the manifest says a human must approve (never an effect whose outcome is unknown)
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(global: &Global, args: Run) -> Outcome {
    let answers = answers(args.yes);
    let task = match args.resume {
        Some(run) => Task::Resume(run),
        None => {
            let path = args.agent.unwrap_or_default();
            // What is wrong with the manifest or the input is told before anything is opened.
            let bundle = stead_manifest::load(&path)?;
            let attachments = attach::files(&args.attach)?;
            Task::Start { bundle: Box::new(bundle), input: input(args.input)?, attachments, session: args.session }
        }
    };
    // Names this request: should the process that took it end before it answered, it is made again and starts nothing.
    let key = format!("stead-run-{}-{}", std::process::id(), ui::text::now().0);
    let mut work = Work { task, answers, key, begun: ui::text::now(), run: None, record: args.record };
    loop {
        let connection = Connection::open(global, Need::Work).await?;
        let outcome = tokio::select! {
            outcome = work.on(global, &connection) => outcome,
            () = connection.lost() => Err(CliError::new(code::NO_SERVER, "the process that worked on it has ended")),
        };
        let gone = |e: &CliError| matches!(e.code(), Some(code::NO_SERVER | code::DRAINING));
        let lost = connection.is_borrowed() && outcome.as_ref().is_err_and(gone);
        // It may still be on its way out.
        if !lost || tokio::time::timeout(LAST_WORDS, connection.lost()).await.is_err() {
            connection.close().await;
            return outcome;
        }
        if !global.quiet {
            ui::say("\nthe process that worked on it has ended; going on here");
        }
    }
}

/// What is to be done.
enum Task {
    Start { bundle: Box<stead_manifest::Bundle>, input: String, attachments: Vec<Attachment>, session: Option<String> },
    Resume(Option<RunId>),
}

/// A task, and how far it has come.
struct Work {
    task: Task,
    answers: Answers,
    key: String,
    begun: Timestamp,
    run: Option<RunId>,
    /// Where its cassette is written.
    record: Option<PathBuf>,
}

impl Work {
    async fn on(&mut self, global: &Global, connection: &Connection) -> Outcome {
        let client = &connection.client;
        let (agent, run, follower) = match (&self.task, self.run) {
            (Task::Start { bundle, input, attachments, session }, None) => {
                let agent = apply(connection, bundle).await?;
                let start = StartRun {
                    agent: agent.name.clone(),
                    version: Some(agent.version),
                    input: input.clone(),
                    attachments: attachments.clone(),
                    record: self.record.is_some(),
                    ..in_session(session.as_deref())
                };
                let follower = Follower::new(client, self.answers, global)?;
                let started = client.start_run(&start, Some(&self.key)).await?;
                (agent, started.run, follower)
            }
            (task, run) => {
                let asked = if let Task::Resume(asked) = task { *asked } else { None };
                let summary = unfinished(client, run.or(asked), self.begun).await?;
                resumed(client, summary, self.answers, global).await?
            }
        };
        self.run = Some(run);
        if !global.quiet {
            ui::say(&banner(&agent, run, connection.local));
        }
        let outcome = finish(global, follower, run).await;
        if let Some(path) = &self.record
            && !outcome.as_ref().is_err_and(|e| matches!(e.code(), Some(code::NO_SERVER | code::DRAINING)))
        {
            record(global, client, run, path).await?;
        }
        outcome
    }
}

/// Follows a run and tells how it ended, with the command that goes on when it waits.
pub(crate) async fn finish(global: &Global, mut follower: Follower<'_>, run: RunId) -> Outcome {
    let followed = follower.follow(run).await;
    // The run itself is where it was, whatever happened to the way to it.
    let followed = followed.map_err(|e| match e.code() {
        Some(code::NO_SERVER) => e.hint(format!("{} run --resume {run}", stead(global))),
        _ => e,
    })?;
    match followed {
        Ended::Run(run) => {
            let exit = report(&run, global.json, global.quiet)?;
            tell(global, &run)?;
            Ok(exit)
        }
        Ended::Interrupted => {
            ui::say("\ninterrupted: what is under way may finish; Ctrl-C again ends it at once. Nothing is lost.");
            ui::say(&format!("hint: {} run --resume {run}", stead(global)));
            Ok(Exit::Interrupted)
        }
    }
}

/// Why a run did not complete, and what to do.
fn tell(global: &Global, run: &ApiRun) -> Outcome<()> {
    let summary = &run.summary;
    match summary.status {
        Status::Failed => {
            let code = summary.code.unwrap_or(code::INTERNAL);
            let why = run.error.clone().unwrap_or_else(|| code.title().into());
            let look = format!("{} runs facts {} shows what happened", stead(global), summary.id);
            return Err(CliError::new(code, why).hint(look));
        }
        Status::Paused => ui::say(&format!("hint: {} runs resume {}", stead(global), summary.id)),
        Status::Waiting => {
            for approval in &run.approvals {
                ui::say(&question(approval));
                ui::say(&format!("hint: {} approvals approve {}", stead(global), approval.id));
                ui::say(&format!("hint: {} approvals deny {}", stead(global), approval.id));
            }
            ui::say(&format!("hint: {} run --resume {}", stead(global), summary.id));
        }
        _ => {}
    }
    Ok(())
}

fn question(approval: &Approval) -> String {
    if let Some(words) = &approval.question {
        return format!("approval needed: {}", term::clean(words));
    }
    let why = if approval.reason == AskReason::Manifest { "" } else { reason(approval.reason) };
    let why = if why.is_empty() { String::new() } else { format!("\n  {why}") };
    format!("approval needed: {} {}{why}", term::clean(&approval.tool), term::clean(&approval.arguments))
}

/// How the user calls this program, with the options that say where the data is.
pub(crate) fn stead(global: &Global) -> String {
    if global.server.is_some() || global.data == Path::new(".stead") {
        "stead".to_owned()
    } else {
        format!("stead --data {}", global.data.display())
    }
}

fn answers(yes: bool) -> Answers {
    match (yes, term::can_ask()) {
        (true, _) => Answers::Yes,
        (false, true) => Answers::Ask,
        (false, false) => Answers::Leave,
    }
}

/// Applies an agent, as the connection's server takes it, and makes it live.
pub(crate) async fn apply(connection: &Connection, bundle: &stead_manifest::Bundle) -> Outcome<Agent> {
    apply_as(connection, bundle, None).await
}

/// Applies an agent under an alias.
pub(crate) async fn apply_as(
    connection: &Connection,
    bundle: &stead_manifest::Bundle,
    alias: Option<&str>,
) -> Outcome<Agent> {
    let form: Bundle = serde_json::from_slice(&bundle.encode())?;
    // A folder means nothing on another machine.
    let dir = bundle.dir.as_ref().filter(|_| connection.local);
    let dir = dir.map(std::path::absolute).transpose()?.map(|d| d.display().to_string());
    Ok(connection.client.apply_agent(&ApplyAgent { bundle: form, dir, alias: alias.map(Into::into) }).await?)
}

/// The run to finish; without a name the latest that is not finished, or that was not when this command began: a process that
/// opens the data takes up what it finds, and may have ended it before it is asked what there is.
async fn unfinished(client: &Client, run: Option<RunId>, begun: Timestamp) -> Outcome<RunSummary> {
    if let Some(run) = run {
        return Ok(client.run(run).await?.summary);
    }
    let open = RunQuery { status: Status::ALL.into_iter().filter(|s| !s.ended()).collect(), ..RunQuery::default() };
    let first = |runs: Vec<RunSummary>| runs.into_iter().find(|r| r.parent.is_none());
    if let Some(found) = first(client.runs(&open).await?.items) {
        return Ok(found);
    }
    let all = client.runs(&RunQuery::default()).await?.items.into_iter();
    let just_ended = all.filter(|r| r.created < begun && r.updated >= begun).collect();
    first(just_ended).ok_or_else(|| CliError::new(code::NOT_FOUND, "there is no unfinished run here"))
}

/// A run, followed until it ends.
async fn resumed<'c>(
    client: &'c Client,
    summary: RunSummary,
    answers: Answers,
    global: &Global,
) -> Outcome<(Agent, RunId, Follower<'c>)> {
    if summary.status == Status::Paused {
        client.resume(summary.id).await?;
    }
    let agent = client.version(&summary.agent, summary.version).await?;
    Ok((agent, summary.id, Follower::new(client, answers, global)?))
}

fn input(given: Option<String>) -> Outcome<String> {
    match given.as_deref() {
        Some("-") | None => {}
        Some(text) => return Ok(text.to_owned()),
    }
    if given.is_none() && std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        return Err(CliError::usage("there is no input").hint("give it after the folder, or pipe it in"));
    }
    crate::input::whole(std::io::stdin().lock())
}
