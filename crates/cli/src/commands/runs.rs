//! `stead runs`: starting, listing, showing, following and stopping runs.

mod artifacts;
mod cassette;
mod facts;
mod files;
mod policies;
mod show;
mod trace;
mod verify;
mod why;

use std::path::PathBuf;

pub(crate) use cassette::record;
use clap::{Args, Subcommand};
use futures_util::StreamExt as _;
use stead_api::{
    identity::AskToken,
    page::{MAX_LIMIT, PageQuery},
    run::{Run, SandboxLimits, StartRun, Status},
    session::SessionRef,
    switch::CancelAll,
};
use stead_client::{Client, RunQuery};
use stead_core::{
    code,
    id::{Name, RunId},
    time::Span,
};
use tokio::io::AsyncWriteExt as _;

use super::{
    pages::{self, Paging, more, watched},
    run::{finish, stead},
    switches,
};
use crate::{
    attach,
    cli::Global,
    connect::{Connection, Need},
    error::{CliError, Outcome},
    exit::Exit,
    follow::{Answers, Follower},
    scalar,
    ui::{self, text},
};

/// Start, list, follow and stop runs
#[derive(Debug, Args)]
pub(crate) struct Runs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start a run of an applied agent and print its id
    Start {
        /// The agent's name; after an `@` an alias or a version, such as refund-desk@canary
        agent: String,
        /// What it is asked
        input: String,
        /// An alias, a version, or the beginning of one, instead of the live version
        #[arg(long, value_name = "VERSION|ALIAS")]
        version: Option<String>,
        /// Run in the session of this name, which is made if it does not exist, or of this id
        #[arg(long, value_name = "KEY")]
        session: Option<String>,
        /// A repeated request with the same key starts nothing
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
        /// Give the run this file; may be repeated. Models read texts and see pictures, and are told of other files
        #[arg(long, value_name = "FILE")]
        attach: Vec<PathBuf>,
        /// Follow the run to its end
        #[arg(long, short)]
        watch: bool,
    },
    /// List runs, newest first
    Ls {
        /// Only of these statuses, separated by commas
        #[arg(long, value_delimiter = ',', value_parser = status)]
        status: Vec<Status>,
        /// Only of this agent
        #[arg(long)]
        agent: Option<String>,
        /// Only of this session: its id or its name; for a name that several agents have, --agent chooses
        #[arg(long)]
        session: Option<String>,
        /// Only children of this run
        #[arg(long)]
        parent: Option<RunId>,
        #[command(flatten)]
        paging: Paging,
        /// Write the list again whenever it changes
        #[arg(long, short)]
        watch: bool,
    },
    /// Show a run: where it stands, its answer, what a human is asked
    Show {
        /// The run
        run: RunId,
    },
    /// Follow a run to its end, or to where it waits for a human
    Watch {
        /// The run
        run: RunId,
    },
    /// List the facts of a run: everything that happened, in order
    Facts {
        /// The run
        run: RunId,
    },
    /// Say why a run waits, failed or was denied; of a step, what led to it and what became of it
    Why {
        /// The run
        run: RunId,
        /// A turn by its number, such as 2, or an effect, such as e1
        step: Option<String>,
    },
    /// Show the spans of a run and of the runs below it, as a tree; or give them to tools that read OpenTelemetry
    ///
    /// They follow from the journal: a run of last year has the same spans, with the same ids, as on the day it ran.
    Trace {
        /// The run
        run: RunId,
        /// Write them as a request of OTLP in its JSON encoding, which a collector takes at /v1/traces
        #[arg(long)]
        otlp: bool,
        /// Post them to the collector at this URL, to /v1/traces below it
        #[arg(long, value_name = "URL", conflicts_with = "otlp")]
        endpoint: Option<String>,
    },
    /// Show exactly what the model saw in a turn, by source
    Context {
        /// The run
        run: RunId,
        /// A turn by its number, such as 2, or an effect, such as e1
        step: String,
    },
    /// List the files of a run: those it was given, those its tools returned, results that were too long for its records
    Artifacts {
        /// The run
        run: RunId,
    },
    /// Write a file of a run
    Artifact {
        /// The run
        run: RunId,
        /// The file's name, as `stead runs artifacts` lists it
        name: String,
        /// Where to; stdout without it, which must be no terminal
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Look at the workspace that a run left: list a folder, write a file, take all as an archive
    Files {
        /// The run
        run: RunId,
        /// A folder to list or a file to write; the top without it
        path: Option<String>,
        /// Where a file goes; stdout without it, which must be no terminal
        #[arg(long, short, value_name = "FILE", requires = "path")]
        output: Option<PathBuf>,
        /// Write the whole workspace to this tar archive
        #[arg(long, value_name = "FILE", conflicts_with = "path")]
        tar: Option<PathBuf>,
    },
    /// Let a run begin nothing new until it is resumed
    Pause {
        /// The run
        run: RunId,
    },
    /// Let a paused run go on
    Resume {
        /// The run
        #[arg(required_unless_present = "all")]
        run: Option<RunId>,
        /// Every paused run, as after a restore
        #[arg(long, conflicts_with = "run")]
        all: bool,
    },
    /// Let a run that works on your behalf go on: its delegation lasts as long again
    Renew {
        /// The run
        run: RunId,
    },
    /// Set other limits for a run's sandboxes: those that run now, and all that start later
    Limit {
        /// The run
        run: RunId,
        /// Memory, such as `256Mi`
        #[arg(long, value_parser = scalar::size)]
        memory: Option<u64>,
        /// Processors, such as `0.5` or `2`
        #[arg(long, value_parser = scalar::processors)]
        cpu: Option<u32>,
        /// Processes and threads at once
        #[arg(long)]
        pids: Option<u32>,
        /// Private folders, such as `1Gi`; for sandboxes that start from now on
        #[arg(long, value_parser = scalar::size)]
        disk: Option<u64>,
        /// Time of an action, such as `2m`; for sandboxes that start from now on
        #[arg(long, value_parser = scalar::span)]
        timeout: Option<Span>,
        /// Files and folders that may be written; for sandboxes that start from now on
        #[arg(long)]
        inodes: Option<u64>,
        /// Open files of one process; for sandboxes that start from now on
        #[arg(long)]
        open_files: Option<u32>,
        /// What is kept of each output, such as `4Mi`; for actions that start from now on
        #[arg(long, value_parser = scalar::size)]
        output: Option<u64>,
        /// Only these of the hosts that the agent's rules name, separated by commas; `*` for all, '' for none. At once
        #[arg(long, value_delimiter = ',', value_name = "HOST")]
        egress: Option<Vec<String>>,
    },
    /// Stop a run, or all runs of the tenant at once; effects under way may finish
    Cancel {
        /// The run
        #[arg(required_unless_present = "all")]
        run: Option<RunId>,
        /// All runs that there are, on every server: answered at once, and in force when it is
        #[arg(long, conflicts_with = "run")]
        all: bool,
        /// With --all: abandon effects under way; their outcome is unknown
        #[arg(long, requires = "all")]
        kill: bool,
        /// With --all: the tenant, when it is not that of the token
        #[arg(long, requires = "all")]
        tenant: Option<String>,
        /// With --all: why
        #[arg(long, requires = "all", default_value = "")]
        reason: String,
    },
    /// Stop a run and abandon effects under way; their outcome is unknown
    Kill {
        /// The run
        run: RunId,
    },
    /// Say whether a run's journal is what happened: its hashes, its leaves in the audit log, its decisions and answers
    Verify {
        /// The run
        run: RunId,
    },
    /// Make a token by which a run is known to others: for one audience, for ten minutes
    Token {
        /// The run
        run: RunId,
        /// For whom it is meant
        #[arg(long)]
        audience: String,
        /// What it may be used for, as words between spaces
        #[arg(long)]
        scope: Option<String>,
    },
    /// Write a run and all its facts as JSON Lines
    Export {
        /// The run
        run: RunId,
        /// A file instead of stdout
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Write the cassette of a run: what it said to its models and what they answered
    ///
    /// A run that was started with `--record` has what went over the wire; of any other the journal knows the replies.
    Record {
        /// The run
        run: RunId,
        /// The file
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
    },
    /// Play a cassette: nothing is asked and nothing is done; what is not read as it was recorded is told
    Replay {
        /// The cassette
        file: PathBuf,
        /// Keep the delays of the recording
        #[arg(long)]
        paced: bool,
    },
}

fn status(word: &str) -> Result<Status, String> {
    let all = || Status::ALL.map(Status::as_str).join(", ");
    Status::parse(word).ok_or_else(|| format!("not one of {}", all()))
}

pub(crate) async fn run(global: &Global, args: Runs) -> Outcome {
    // It needs no server.
    if let Verb::Replay { file, paced } = &args.verb {
        return cassette::play(global, file, *paced).await;
    }
    let need = match args.verb {
        Verb::Start { watch: true, .. } | Verb::Watch { .. } => Need::Work,
        _ => Need::Rest,
    };
    let connection = Connection::open(global, need).await?;
    let outcome = verb(global, &connection, args.verb).await;
    connection.close().await;
    outcome
}

async fn verb(global: &Global, connection: &Connection, verb: Verb) -> Outcome {
    let client = &connection.client;
    match verb {
        Verb::Start { agent, input, version, session, idempotency_key, attach, watch } => {
            let attachments = attach::files(&attach)?;
            let agent = match version {
                Some(version) => format!("{agent}@{version}"),
                None => agent,
            };
            let start =
                StartRun { agent: agent.as_str().into(), input, attachments, ..pages::in_session(session.as_deref()) };
            let follower = watch.then(|| Follower::new(client, Answers::Leave, global)).transpose()?;
            let started = client.start_run(&start, idempotency_key.as_deref()).await?;
            if let Some(follower) = follower {
                return finish(global, follower, started.run).await;
            }
            if global.json {
                ui::json(&started)?
            } else {
                ui::line(&started.run.to_string())?
            }
            if connection.is_own() && !global.quiet {
                ui::say(&format!(
                    "no server is running; the run goes on with\nhint: {} run --resume {}",
                    stead(global),
                    started.run
                ));
            }
        }
        Verb::Ls { status, agent, session, parent, paging, watch } => {
            let agent: Option<Name> = agent.map(|a| a.as_str().into());
            let session = session.map(|s| SessionRef::new(&s, agent.clone()));
            let query = RunQuery { status, agent, session, parent, page: paging.query() };
            watched(watch, async || {
                let page = client.runs(&query).await?;
                more(page.next.as_deref());
                if global.json { Ok(serde_json::to_string_pretty(&page)? + "\n") } else { Ok(show::list(&page.items)) }
            })
            .await?;
        }
        Verb::Show { run } => answer(global, &client.run(run).await?)?,
        Verb::Watch { run } => {
            return finish(global, Follower::new(client, Answers::Leave, global)?, run).await;
        }
        Verb::Facts { run } => facts::write(global, client, run).await?,
        Verb::Artifacts { run } => artifacts::list(global, client, run).await?,
        Verb::Artifact { run, name, output } => artifacts::get(global, client, run, &name, output).await?,
        Verb::Files { run, tar: Some(tar), .. } => files::archive(global, client, run, &tar).await?,
        Verb::Files { run, path, output, .. } => {
            files::look(global, client, run, path.as_deref().unwrap_or_default(), output).await?;
        }
        Verb::Why { run, step } => {
            let told = client.why(run, step.as_deref()).await?;
            if global.json { ui::json(&told)? } else { ui::text(&why::why(&told))? }
        }
        Verb::Context { run, step } => {
            let seen = client.context(run, &step).await?;
            if global.json { ui::json(&seen)? } else { ui::text(&why::context(&seen))? }
        }
        Verb::Trace { run, otlp, endpoint } => trace::tell(global, client, run, otlp, endpoint.as_deref()).await?,
        Verb::Pause { run } => answer(global, &client.pause(run).await?)?,
        Verb::Renew { run } => answer(global, &client.renew_run(run).await?)?,
        Verb::Resume { run: Some(run), .. } => answer(global, &client.resume(run).await?)?,
        Verb::Resume { run: None, .. } => resume_all(global, client).await?,
        Verb::Limit { run, memory, cpu, pids, disk, timeout, inodes, open_files, output, egress } => {
            let (cpu_milli, wall) = (cpu, timeout);
            let egress = egress.map(|hosts| hosts.into_iter().filter(|host| !host.is_empty()).collect());
            let limits = SandboxLimits { memory, cpu_milli, pids, disk, wall, inodes, open_files, output, egress };
            answer(global, &client.limit(run, &limits).await?)?;
        }
        Verb::Cancel { run: Some(run), .. } => answer(global, &client.cancel(run).await?)?,
        Verb::Cancel { run: None, all, kill, tenant, reason } => {
            let stop = CancelAll { all, kill, reason, tenant: tenant.map(Name::from) };
            switches::cancel_all(global, client, &stop).await?;
        }
        Verb::Kill { run } => answer(global, &client.kill(run).await?)?,
        Verb::Verify { run } => {
            let found = client.verify_run(run).await?;
            if global.json {
                ui::json(&found)?
            } else {
                ui::text(&verify::told(&found))?
            }
            return Ok(if found.holds { Exit::Ok } else { Exit::Failed });
        }
        Verb::Token { run, audience, scope } => {
            let minted = client.run_token(run, &AskToken { audience, scope }).await?;
            if global.json { ui::json(&minted)? } else { ui::line(&minted.token)? }
        }
        Verb::Export { run, output } => export(client, run, output).await?,
        Verb::Record { run, output } => record(global, client, run, &output).await?,
        Verb::Replay { file, paced } => return cassette::play(global, &file, paced).await,
    }
    Ok(Exit::Ok)
}

/// A run as it stands.
pub(crate) fn answer(global: &Global, run: &Run) -> Outcome<()> {
    if global.json {
        ui::json(run)?
    } else {
        ui::text(&show::one(run))?
    }
    Ok(())
}

/// Lets every run go on that is paused now, those too that wait for their session. One that goes on or ends meanwhile is
/// fine.
async fn resume_all(global: &Global, client: &Client) -> Outcome<()> {
    let page = PageQuery { cursor: None, limit: Some(MAX_LIMIT) };
    let mut query = RunQuery { status: vec![Status::Paused, Status::Queued], page, ..RunQuery::default() };
    let mut resumed = Vec::new();
    loop {
        let found = client.runs(&query).await?;
        for run in &found.items {
            match client.resume(run.id).await {
                Ok(_) if run.status == Status::Queued => {}
                Ok(_) => resumed.push(run.id),
                Err(e) if matches!(e.code, code::CONFLICT | code::NOT_FOUND | code::QUARANTINED) => {}
                Err(e) => return Err(e.into()),
            }
        }
        let Some(next) = found.next else { break };
        query.page.cursor = Some(next);
    }
    if global.json {
        ui::json(&resumed)?;
    } else {
        ui::line(&format!("{} resumed", text::counted(resumed.len() as u64, "run")))?;
    }
    Ok(())
}

async fn export(client: &Client, run: RunId, output: Option<PathBuf>) -> Outcome<()> {
    let mut pieces = std::pin::pin!(client.export(run).await?);
    let Some(path) = output else {
        while let Some(piece) = pieces.next().await {
            ui::text(&String::from_utf8_lossy(&piece?))?;
        }
        return Ok(());
    };
    let failed = |e: std::io::Error| CliError::new(code::DATA_READONLY, format!("{}: {e}", path.display()));
    let mut file = tokio::fs::File::create(&path).await.map_err(failed)?;
    while let Some(piece) = pieces.next().await {
        file.write_all(&piece?).await.map_err(failed)?;
    }
    file.sync_all().await.map_err(failed)?;
    ui::say(&format!("wrote {}", path.display()));
    Ok(())
}

/// The spending and steps of a run on one line.
fn spent(run: &stead_api::run::RunSummary) -> String {
    let (turns, effects) = (text::counted(run.turns.into(), "turn"), text::counted(run.effects.into(), "effect"));
    format!("{turns} · {effects} · {}", text::spend(run.spent))
}
