//! What a drill showed, for people and as JSON: counts as they were observed, whatever they are.

use std::{fmt::Write as _, io, time::Duration};

use serde::Serialize;
use stead_core::budget::Spend;

use super::{
    folder::{AGENT, Folder, KEPT},
    journal::{Hit, hits, shown},
    lives::{Answer, End, INPUT},
    world::World,
};
use crate::{
    error::Outcome,
    ui::{table::fields, term::clean, text},
};

/// See the module.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    run: String,
    status: &'static str,
    kills: usize,
    hits: Vec<Hit>,
    payments: Counted,
    mails: Counted,
    approvals: Vec<Answered>,
    facts: usize,
    spent: Spend,
    answer: Option<String>,
    scripted: bool,
    took_ms: u128,
    /// Where the agent and its journal stay, when they do.
    folder: Option<String>,
    #[serde(skip)]
    table: String,
}

/// What a service was asked to do, and what it did.
#[derive(Clone, Copy, Debug, Serialize)]
struct Counted {
    asked: u64,
    done: u64,
}

#[derive(Debug, Serialize)]
struct Answered {
    tool: String,
    approved: bool,
    why: &'static str,
}

/// Lines of a service's list: each is something that it did.
pub(crate) fn count(folder: &Folder, service: &str) -> Outcome<u64> {
    let path = folder.services().join(format!("{service}.jsonl"));
    match std::fs::read_to_string(path) {
        Ok(list) => Ok(list.lines().filter(|line| did(service, line)).count() as u64),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(e.into()),
    }
}

/// The payment service also lists requests that it answered with a refund made before.
fn did(service: &str, line: &str) -> bool {
    let entry: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
    service != "payments" || entry.get("refund").is_some()
}

impl Report {
    /// Counts.
    pub(crate) fn new(folder: &Folder, world: &World, end: End, took: Duration) -> Outcome<Self> {
        let End { run, facts, kills, answers } = end;
        let answered = |a: Answer| Answered { tool: a.tool, approved: a.approved, why: a.why };
        Ok(Self {
            run: run.summary.id.to_string(),
            status: run.summary.status.as_str(),
            kills: kills.len(),
            hits: hits(&facts, &kills),
            payments: Counted { asked: world.payments.asked(), done: count(folder, "payments")? },
            mails: Counted { asked: world.mail.asked(), done: count(folder, "mail")? },
            approvals: answers.into_iter().map(answered).collect(),
            facts: facts.len(),
            spent: run.summary.spent,
            answer: run.output,
            scripted: true,
            took_ms: took.as_millis(),
            folder: folder.kept().then(|| folder.path().display().to_string()),
            table: shown(&facts, &kills),
        })
    }

    /// Whether what must happen once happened once.
    pub(crate) fn good(&self) -> bool {
        (self.status, self.payments.done, self.mails.done) == ("completed", 1, 1)
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut out =
            format!("The journal of {} ({}):\n\n{}\n", self.run, text::counted(self.facts as u64, "fact"), self.table);
        if !self.hits.is_empty() {
            out.push_str("Where the kills hit:\n\n");
            for hit in &self.hits {
                // Writing to a String cannot fail.
                let _ = writeln!(out, "  {:>4}  {}", hit.kills, hit.place);
            }
            out.push('\n');
        }
        let times = |n: u64, what: &str| format!("{what} {}", text::counted(n, "time"));
        let yes = self.approvals.iter().filter(|a| a.approved).count();
        out.push_str(&fields(&[
            ("killed", text::counted(self.kills as u64, "time")),
            (
                "payments",
                format!("{} made ({})", self.payments.done, times(self.payments.asked, "the service was asked")),
            ),
            ("mails", format!("{} sent ({})", self.mails.done, times(self.mails.asked, "the service was asked"))),
            ("approvals", format!("{yes} given, {} denied, by the demo in your place", self.approvals.len() - yes)),
            ("cost", format!("{}; a script stood for the model, no AI", text::spend(self.spent))),
            ("took", text::span(u64::try_from(self.took_ms).unwrap_or(u64::MAX).saturating_mul(1_000))),
            ("status", self.status.to_owned()),
            ("answer", self.answer.as_deref().map(clean).unwrap_or_default()),
        ]));
        let _ = write!(out, "\nTry next:\n\n{}", self.next());
        out
    }

    /// Three commands that work.
    fn next(&self) -> String {
        let commands = if self.folder.is_some() {
            [
                (format!("stead --data {KEPT}/.stead runs facts {}", self.run), "every fact of it".to_owned()),
                (format!("stead --data {KEPT}/.stead run {KEPT}/{AGENT} \"{INPUT}\""), "ask for it again".to_owned()),
                (
                    format!("stead --data {KEPT}/.stead chat {AGENT}"),
                    format!("talk to it; rm -r {KEPT} removes it all"),
                ),
            ]
        } else {
            [
                ("stead demo --keep".to_owned(), format!("the same; its agent and journal stay in ./{KEPT}")),
                ("stead demo --kills 100".to_owned(), "kill it more often".to_owned()),
                ("stead doctor".to_owned(), "what this machine can give".to_owned()),
            ]
        };
        let width = commands.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
        commands.iter().map(|(command, what)| format!("  {command:width$}  {what}\n")).collect()
    }
}
