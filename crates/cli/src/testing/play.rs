//! Playing a case once: its turns one after the other, its questions answered, its crash borne.

use std::{os::unix::process::ExitStatusExt as _, time::Duration};

use stead_api::{
    agent::ApplyAgent,
    approval::Approval,
    run::{Run, StartRun, WaitUntil},
};
use stead_client::{ApprovalQuery, Client, ClientError};
use stead_core::{
    code,
    fact::AskReason,
    id::{EffectId, RunId},
};
use stead_manifest::cases::ApprovalAnswer;
use stead_server::testing::{CrashAt, Entry, Setup, read_ledger};

use super::{
    process::Process,
    suite::{Subject, TestCase},
    trace::{self, Trace},
};

/// How often open questions are looked for: those of agents that the agent calls are not told by its own run.
const LOOK: Duration = Duration::from_millis(30);

/// What came of playing a case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Played {
    pub(crate) turns: Vec<Trace>,
    pub(crate) ledger: Vec<Entry>,
    /// Records of all runs.
    pub(crate) records: u64,
    /// Whether the crash that was asked for came.
    pub(crate) crashed: bool,
    /// Answers of `approvals`, by place, that nobody asked for.
    pub(crate) unused: Vec<usize>,
}

/// Why playing did not come to an end.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    /// The key of the case that it is about.
    pub(crate) path: String,
    pub(crate) what: String,
}

impl From<String> for Broken {
    fn from(what: String) -> Self {
        Self { path: String::new(), what }
    }
}

impl From<ClientError> for Broken {
    fn from(e: ClientError) -> Self {
        let hint = e.hint.as_ref().map_or_else(String::new, |h| format!("\nhint: {h}"));
        format!("{e}{hint}").into()
    }
}

/// Plays a case once, within its time.
pub(crate) async fn play(subject: &Subject, test: &TestCase, crash: Option<CrashAt>) -> Result<Played, Broken> {
    let limit = test.case.timeout;
    let late = || Broken { path: "timeout".into(), what: format!("it did not end within {limit}") };
    tokio::time::timeout(limit.to_std(), Box::pin(play_on(subject, test, crash))).await.map_err(|_| late())?
}

async fn play_on(subject: &Subject, test: &TestCase, crash: Option<CrashAt>) -> Result<Played, Broken> {
    let folder = tempfile::tempdir().map_err(|e| format!("a data folder cannot be made: {e}"))?;
    let setup = Setup {
        model: test.model.clone(),
        tools: test.case.tools.iter().map(|(name, double)| (name.clone(), double.all())).collect(),
        ledger: folder.path().join("ledger.jsonl"),
        crash,
    };
    let mut play = Play {
        process: Process::start(folder.path(), &setup, &test.case.env).await?,
        setup,
        subject,
        test,
        folder,
        answers: Answers::new(),
        crashed: false,
    };
    play.process.client.apply_agent(&subject.apply).await?;
    let mut played = Played::default();
    for (n, (input, _)) in test.case.all_turns().into_iter().enumerate() {
        let run = play.turn(n, input).await?;
        played.turns.push(trace::read(&play.process.client, run).await?);
    }
    played.records = records(&play.process.client).await?;
    played.crashed = play.crashed;
    played.ledger = read_ledger(&play.setup.ledger).map_err(|e| format!("the ledger: {e}"))?;
    let used: Vec<usize> = play.answers.iter().map(|(_, place)| *place).collect();
    played.unused = (0..test.case.approvals.len()).filter(|n| !used.contains(n)).collect();
    play.process.stop().await;
    Ok(played)
}

/// The records of every run of the data folder.
async fn records(client: &Client) -> Result<u64, ClientError> {
    let mut sum = 0;
    for run in client.runs(&stead_client::RunQuery::default()).await?.items {
        let mut page = stead_api::page::PageQuery { cursor: None, limit: Some(500) };
        loop {
            let found = client.facts(run.id, &page).await?;
            sum += found.items.iter().filter(|f| f.index == 0).count() as u64;
            match found.next {
                Some(next) => page.cursor = Some(next),
                None => break,
            }
        }
    }
    Ok(sum)
}

/// Which answer of the case each question got.
type Answers = Vec<((EffectId, AskReason), usize)>;

struct Play<'s> {
    process: Process,
    setup: Setup,
    subject: &'s Subject,
    test: &'s TestCase,
    folder: tempfile::TempDir,
    /// A question that is asked again after a crash gets the same answer.
    answers: Answers,
    crashed: bool,
}

impl Play<'_> {
    /// One run, through a crash if it comes.
    async fn turn(&mut self, n: usize, input: &str) -> Result<Run, Broken> {
        let several = !self.test.case.turns.is_empty();
        let start = StartRun {
            agent: self.subject.name.clone(),
            session_key: several.then(|| "test".into()),
            input: input.to_owned(),
            ..StartRun::default()
        };
        let key = format!("turn-{n}");
        loop {
            let client = self.process.client.clone();
            let approvals = &self.test.case.approvals;
            let answers = &mut self.answers;
            let work = async {
                let started = client.start_run(&start, Some(&key)).await;
                let run = started.map_err(|e| not_started(e, several.then_some(n)))?.run;
                finish(&client, run, |a| choose(approvals, answers, a)).await
            };
            let ended = tokio::select! {
                done = work => match done {
                    Err(e) if e.what.starts_with(&code::NO_SERVER.to_string()) => self.process.ended().await?,
                    done => return done,
                },
                ended = self.process.ended() => ended?,
            };
            if self.setup.crash.take().is_none() || ended.signal() != Some(9) {
                return Err(self.process.last_words(ended).into());
            }
            self.crashed = true;
            self.process = Process::start(self.folder.path(), &self.setup, &self.test.case.env).await?;
        }
    }
}

/// A run that did not begin; a wrong input is told at its key, which is that of a turn if there are several.
fn not_started(e: ClientError, turn: Option<usize>) -> Broken {
    let input = match turn {
        Some(n) => format!("turns[{n}].input"),
        None => "input".to_owned(),
    };
    let path = if e.code == code::INPUT_SCHEMA { input } else { String::new() };
    Broken { path, ..e.into() }
}

/// Waits for the end of a run, and answers what is asked meanwhile.
async fn finish(
    client: &Client,
    run: RunId,
    mut choose: impl FnMut(&Approval) -> Result<(ApprovalAnswer, Option<String>), Broken>,
) -> Result<Run, Broken> {
    let mut end = std::pin::pin!(client.wait(run, WaitUntil::Ended));
    loop {
        tokio::select! {
            found = &mut end => return Ok(found?),
            () = tokio::time::sleep(LOOK) => {}
        }
        // The answers of a case are in the order in which it is asked; the list is the other way round.
        for asked in client.approvals(&ApprovalQuery::default()).await?.items.into_iter().rev() {
            let (answer, note) = choose(&asked)?;
            let told = match answer {
                ApprovalAnswer::Approve => client.approve(asked.id, note).await,
                ApprovalAnswer::Deny => client.deny(asked.id, note).await,
            };
            match told {
                Err(e) if !matches!(e.code, code::NOT_FOUND | code::CONFLICT) => return Err(e.into()),
                _ => {}
            }
        }
    }
}

fn choose(
    approvals: &[stead_manifest::cases::Approval],
    answers: &mut Answers,
    asked: &Approval,
) -> Result<(ApprovalAnswer, Option<String>), Broken> {
    let question = (asked.id, asked.reason);
    let known = answers.iter().find(|(q, _)| *q == question).map(|(_, place)| *place);
    let place = known.or_else(|| {
        let fits = |n: &usize| approvals[*n].tool == asked.tool && approvals[*n].reason == asked.reason;
        (0..approvals.len()).filter(|n| !answers.iter().any(|(_, used)| used == n)).find(fits)
    });
    let Some(place) = place else {
        let why = match asked.reason {
            AskReason::Manifest => "",
            AskReason::Policy => ", because policies ask for it",
            AskReason::EqualUnknown => ", because an equal call has an unknown outcome",
            AskReason::OutcomeUnknown => ", because its outcome is unknown",
            AskReason::Budget | AskReason::Delegation => "",
            AskReason::Restored => ", because the run was restored from a backup",
        };
        let reason = serde_json::to_value(asked.reason).unwrap_or_default();
        let about = match &asked.question {
            Some(words) => format!(": {words} There"),
            None => format!(" about {} {}{why}, and there", asked.tool, asked.arguments),
        };
        let what = format!(
            "a human was asked{about} is no answer to that\nhint: add `{{ tool: {}, reason: {}, answer: approve }}` or `deny`",
            asked.tool,
            reason.as_str().unwrap_or_default(),
        );
        return Err(Broken { path: "approvals".into(), what });
    };
    if known.is_none() {
        answers.push((question, place));
    }
    Ok((approvals[place].answer, approvals[place].note.clone()))
}

/// What is sent to make the agent known.
pub(crate) fn application(bundle: &stead_manifest::Bundle) -> Result<ApplyAgent, crate::error::CliError> {
    let form = serde_json::from_slice(&bundle.encode())?;
    let dir = bundle.dir.as_ref().map(std::path::absolute).transpose()?.map(|d| d.display().to_string());
    Ok(ApplyAgent { bundle: form, dir, alias: None })
}
