//! `stead chat`: a conversation with an agent, line by line, in one session.

use std::path::Path;

use clap::Args;
use stead_api::{
    run::{StartRun, Status},
    session::{OpenSession, SessionRef},
};
use stead_core::{code, id::Name};

use super::run::apply;
use crate::{
    cli::Global,
    connect::{Connection, Need},
    error::{CliError, Outcome},
    exit::Exit,
    follow::{Answers, Ended, Follower, report, scripted, unsandboxed},
    ui::{self, term},
};

/// Talk to an agent, line by line, in one session
///
/// Ends with an empty input (Ctrl-D) or /quit.
#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// An applied agent's name, after an `@` an alias or a version of it; or a folder with an agent.yaml
    agent: String,
    /// Go on in the session of this name or id; without it a new one begins
    #[arg(long, value_name = "KEY")]
    session: Option<String>,
}

pub(crate) async fn run(global: &Global, args: Chat) -> Outcome {
    // A folder has a separator or an agent.yaml; a name has neither.
    let path = Path::new(&args.agent);
    let folder = args.agent.contains('/') || args.agent.starts_with('.') || path.join("agent.yaml").exists();
    let bundle = if folder { Some(stead_manifest::load(path)?) } else { None };
    let connection = Connection::open(global, Need::Work).await?;
    let outcome = chat(global, &connection, args, bundle).await;
    connection.close().await;
    outcome
}

async fn chat(global: &Global, connection: &Connection, args: Chat, bundle: Option<stead_manifest::Bundle>) -> Outcome {
    let client = &connection.client;
    let agent = match &bundle {
        Some(bundle) => apply(connection, bundle).await?,
        None => client.agent(&args.agent).await?,
    };
    // An alias or a version stays part of the name: each message is answered by what it names then.
    let named: Name = if bundle.is_some() { agent.name.clone() } else { args.agent.as_str().into() };
    let key = args.session.unwrap_or_else(|| format!("chat/{}-{}", std::process::id(), ui::text::now().0));
    let session = match SessionRef::new(&key, None) {
        SessionRef::Id(id) => client.session(id).await?,
        SessionRef::Key { key, .. } => client.open_session(&OpenSession { agent: agent.name.clone(), key }).await?,
    };
    if !global.quiet {
        let (scripted, warning) = (scripted(&agent), unsandboxed(&agent, connection.local));
        ui::say(&format!("{warning}{}{scripted} · session {}", agent.name, term::clean(&key)));
    }
    let answers = if term::can_ask() { Answers::Ask } else { Answers::Leave };
    let mut follower = Follower::new(client, answers, global)?;
    loop {
        if term::can_ask() {
            eprint!("{} ", term::Paint::stderr().bold(">"));
        }
        let Some(line) = follower.line().await? else { return Ok(Exit::Ok) };
        let input = match line.trim() {
            "" => continue,
            "/quit" => return Ok(Exit::Ok),
            text => text.to_owned(),
        };
        let start = StartRun { agent: named.clone(), session: Some(session.id), input, ..StartRun::default() };
        let started = match client.start_run(&start, None).await {
            // Nothing has begun: the next line may fit.
            Err(e) if e.code == code::INPUT_SCHEMA => {
                ui::say(CliError::from(e).render(term::Paint::stderr()).trim_end());
                continue;
            }
            started => started?,
        };
        match follower.follow(started.run).await? {
            Ended::Interrupted => return Ok(Exit::Interrupted),
            Ended::Run(run) => {
                let exit = report(&run, global.json, global.quiet)?;
                if let (Status::Failed, Some(code)) = (run.summary.status, run.summary.code) {
                    let why = run.error.clone().unwrap_or_else(|| code.title().into());
                    ui::say(CliError::new(code, why).render(term::Paint::stderr()).trim_end());
                }
                if exit == Exit::Waiting {
                    ui::say(&format!("hint: stead runs show {}", run.summary.id));
                    return Ok(exit);
                }
            }
        }
    }
}
