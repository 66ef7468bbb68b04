//! Following a run to its end, or to where only a human can move it: shows its steps, and asks the human who is there.

mod keyboard;

use std::{io::Write as _, path::PathBuf};

use stead_api::{
    agent::Agent,
    approval::Approval,
    fact::AnyFact,
    run::{Run, Status, WaitUntil},
};
use stead_client::{Client, ClientError, Heard};
use stead_core::{
    code,
    fact::{AskReason, Fact},
    id::{EffectId, RunId},
    time::Timestamp,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::JoinHandle,
};

use crate::{
    cli::Global,
    error::Outcome,
    exit::Exit,
    signing,
    ui::{
        self,
        steps::{Steps, reason},
        term,
    },
};
use keyboard::Keyboard;

/// Events that wait to be shown.
const AHEAD: usize = 256;

/// How questions are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    /// By the person at the terminal.
    Ask,
    /// What the manifest asks is approved; anything else is left.
    Yes,
    /// Not here.
    Leave,
}

/// Where following ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The run is over, or waits for a human.
    Run(Box<Run>),
    /// Ctrl-C.
    Interrupted,
}

/// Follows runs, one after the other.
pub(crate) struct Follower<'c> {
    client: &'c Client,
    answers: Answers,
    quiet: bool,
    /// The folder that may hold the key of who works alone.
    data: PathBuf,
    keyboard: Keyboard,
    interrupt: Signal,
}

impl<'c> Follower<'c> {
    /// From here on Ctrl-C does not end the process by itself.
    pub(crate) fn new(client: &'c Client, answers: Answers, global: &Global) -> Outcome<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let (quiet, data) = (global.quiet, global.data.clone());
        Ok(Self { client, answers, quiet, data, keyboard: Keyboard::default(), interrupt })
    }

    /// The next line that the person types; `None` at the end of input, or at Ctrl-C.
    pub(crate) async fn line(&mut self) -> Outcome<Option<String>> {
        tokio::select! {
            line = self.keyboard.line() => line,
            _ = self.interrupt.recv() => Ok(None),
        }
    }

    /// Follows a run from its first fact.
    pub(crate) async fn follow(&mut self, run: RunId) -> Outcome<Ended> {
        let mut events = Events::of(self.client, run);
        // On one screen the answer has been seen while it was written; elsewhere it follows on stdout.
        let live = term::err_is_tty();
        let mut steps = Steps::new(term::Paint::stderr(), live, !(live && term::out_is_tty()));
        let mut waiting: Option<JoinHandle<Result<Run, ClientError>>> = None;
        let mut questions: Vec<Approval> = Vec::new();
        // Questions that have been answered here, or left: a gate may wait for others.
        let mut left: Vec<(EffectId, Timestamp)> = Vec::new();
        loop {
            let asking = self.answers == Answers::Ask && !questions.is_empty();
            tokio::select! {
                event = events.next() => {
                    let heard = event?;
                    self.write(&steps.show(&heard));
                    match &heard {
                        Heard::End => return Ok(Ended::Run(Box::new(self.client.run(run).await?))),
                        Heard::Fact(event) => {
                            if asks(&event.fact) && waiting.is_none() {
                                waiting = Some(self.wait(run));
                            }
                            if let Some(effect) = answered(&event.fact) {
                                questions.retain(|q| q.id.n != effect);
                            }
                        }
                        Heard::Delta(_) | Heard::Reset => {}
                    }
                }
                found = finished(&mut waiting) => {
                    waiting = None;
                    let found = found?;
                    if found.summary.status == Status::Paused {
                        return Ok(Ended::Run(Box::new(found)));
                    }
                    let yes = |a: &Approval| {
                        self.answers == Answers::Yes
                            && matches!(a.reason, AskReason::Manifest | AskReason::Policy)
                            && !left.contains(&(a.id, a.since))
                    };
                    let (approve, mut rest): (Vec<_>, Vec<_>) = found.approvals.iter().cloned().partition(yes);
                    rest.retain(|a| !left.contains(&(a.id, a.since)));
                    for approval in &approve {
                        self.answer(approval.id, true).await?;
                        left.push((approval.id, approval.since));
                    }
                    if self.answers == Answers::Ask && !rest.is_empty() {
                        questions = rest;
                        self.question(&questions[0]);
                    } else if approve.is_empty() && !found.approvals.is_empty() {
                        return Ok(Ended::Run(Box::new(found)));
                    } else if !approve.is_empty() {
                        // Others may be waiting behind them.
                        waiting = Some(self.wait(run));
                    }
                }
                line = self.keyboard.line(), if asking => {
                    let approval = questions.remove(0);
                    match line? {
                        Some(line) => {
                            let yes = matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes");
                            self.answer(approval.id, yes).await?;
                            left.push((approval.id, approval.since));
                        }
                        // The terminal is gone: the question stays open.
                        None => {
                            left.push((approval.id, approval.since));
                            self.answers = Answers::Leave;
                        }
                    }
                    match questions.first() {
                        Some(next) => self.question(next),
                        None => waiting = Some(self.wait(run)),
                    }
                }
                _ = self.interrupt.recv() => return Ok(Ended::Interrupted),
            }
        }
    }

    fn wait(&self, run: RunId) -> JoinHandle<Result<Run, ClientError>> {
        let client = self.client.clone();
        tokio::spawn(async move { client.wait(run, WaitUntil::Waiting).await })
    }

    /// Answers a question. That it was answered elsewhere meanwhile is fine.
    async fn answer(&self, approval: EffectId, yes: bool) -> Outcome<()> {
        match signing::answer(self.client, &self.data, approval, yes, None).await {
            Err(e) if !matches!(e.code(), Some(code::NOT_FOUND | code::CONFLICT)) => Err(e),
            _ => Ok(()),
        }
    }

    fn question(&self, approval: &Approval) {
        let paint = term::Paint::stderr();
        let mut text = match &approval.question {
            Some(words) => format!("\n{}\n", term::clean(words)),
            None => format!("\n{} {}\n", paint.bold(&term::clean(&approval.tool)), term::clean(&approval.arguments)),
        };
        if approval.question.is_none() && approval.reason != AskReason::Manifest {
            text.push_str(reason(approval.reason));
            text.push('\n');
        }
        text.push_str(&paint.ask("Approve? [y/N] "));
        write(&text);
    }

    fn write(&self, text: &str) {
        if !self.quiet {
            write(text);
        }
    }
}

fn write(text: &str) {
    let mut err = std::io::stderr().lock();
    // That nobody listens is no error.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// Events of a run, read by a task of their own: a wait for one of them may be given up at any point.
struct Events(mpsc::Receiver<Result<Heard, ClientError>>);

impl Events {
    fn of(client: &Client, run: RunId) -> Self {
        let mut follow = client.follow(run, None);
        let (send, receive) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            while let Some(event) = follow.next().await {
                if send.send(event).await.is_err() {
                    return;
                }
            }
        });
        Self(receive)
    }

    async fn next(&mut self) -> Result<Heard, ClientError> {
        self.0.recv().await.unwrap_or(Ok(Heard::End))
    }
}

/// Never comes while nothing is waited for.
async fn finished(waiting: &mut Option<JoinHandle<Result<Run, ClientError>>>) -> Outcome<Run> {
    match waiting {
        Some(task) => match task.await {
            Ok(found) => Ok(found?),
            Err(e) => Err(crate::error::CliError::other(format!("waiting broke off: {e}"))),
        },
        None => std::future::pending().await,
    }
}

fn asks(fact: &AnyFact) -> bool {
    matches!(fact, AnyFact::Known(Fact::ApprovalRequested(_) | Fact::Paused))
}

fn answered(fact: &AnyFact) -> Option<u32> {
    match fact {
        AnyFact::Known(Fact::ApprovalGiven(f)) => Some(f.effect),
        AnyFact::Known(Fact::ApprovalExpired(f)) => Some(f.effect),
        _ => None,
    }
}

/// The lines that tell which agent runs, and what it starts on the machine that runs it.
pub(crate) fn banner(agent: &Agent, run: RunId, local: bool) -> String {
    let notice = scripted(agent);
    let warning = unsandboxed(agent, local);
    format!("{} {}{notice}\n{warning}{run}\n", agent.name, ui::text::version(&agent.version))
}

/// That no AI answers, when a script does.
pub(crate) fn scripted(agent: &Agent) -> &'static str {
    if agent.models.iter().any(|m| m.scripted) { " · scripted model, no AI" } else { "" }
}

/// A line for each program that runs without a sandbox.
pub(crate) fn unsandboxed(agent: &Agent, local: bool) -> String {
    let who = if local { "you, with your" } else { "the server's user, with that user's" };
    let line = |program: &String| {
        format!("unsandboxed: the MCP server {} runs as {who} files and network\n", term::clean(program))
    };
    agent.unsandboxed.iter().map(line).collect()
}

/// Writes how a run ended: the answer to stdout, the rest to stderr.
pub(crate) fn report(run: &Run, json: bool, quiet: bool) -> Outcome {
    let summary = &run.summary;
    let exit = match summary.status {
        Status::Completed => Exit::Ok,
        Status::Failed => Exit::Failed,
        Status::Cancelled => Exit::Cancelled,
        Status::Queued | Status::Running | Status::Waiting | Status::Paused => Exit::Waiting,
    };
    if !quiet {
        let paint = term::Paint::stderr();
        let took = ui::text::span(summary.updated.since(summary.created).0);
        ui::say(&format!(
            "{} · {} · {} · {} · {took}",
            paint.bold(summary.status.as_str()),
            ui::text::counted(summary.turns.into(), "turn"),
            ui::text::counted(summary.effects.into(), "effect"),
            ui::text::spend(summary.spent),
        ));
    }
    if json {
        ui::json(run)?;
    } else if let Some(answer) = &run.output
        && !(term::out_is_tty() && term::err_is_tty() && !quiet)
    {
        ui::line(&if term::out_is_tty() { term::clean(answer) } else { answer.clone() })?;
    }
    Ok(exit)
}
