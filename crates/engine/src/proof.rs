//! Whether what people signed is what was done: the signed answers of a run, held against the questions, the directory as it was at that
//! time, and what they let go. Nothing here is taken from what the run remembers of having looked: everything is looked at anew.

mod release;

use std::collections::{BTreeMap, BTreeSet};

use stead_core::{
    fact::{ApprovalGiven, Fact, Verdict},
    id::RunId,
    record::Record,
    ruling::{Given, Nonce, Signed},
    run::{Call, State},
    time::Timestamp,
};
use stead_ports::{agent::Agent, journal::AliasEvent, trust::DirectoryRow};
use stead_trust::{
    directory::{Accepted, At, Directory, Entry, Envelope},
    question::Question,
    receipt::Receipt,
    statement::{Human, Statement},
};

use crate::{
    Engine, load,
    question::of_release,
    signing::{human, initiators, seconds},
    types::EngineError,
};

/// How far an entry of a directory may be dated after it was brought, in seconds: clocks differ.
const AHEAD: u64 = 300;
/// What is noted of answers whose question was made of texts that are erased.
const ERASED: &str = "the texts are erased: what was signed cannot be compared";

/// What was found of a run's signed answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignedReport {
    /// Signed answers that were looked at.
    pub answers: u64,
    /// Effects that such answers let go.
    pub released: u64,
    /// Where something does not hold: the record, and why. Without a record it is about the directory.
    pub breaks: Vec<(Option<u64>, String)>,
    /// What could not be compared, and why.
    pub notes: Vec<String>,
}

/// A record that people's answers are about, with the run before and after it.
struct Moment {
    seq: u64,
    at: Timestamp,
    facts: Vec<Fact>,
    before: State,
    after: State,
}

/// An answer that holds by itself.
struct Answer {
    given: Given,
    accepted: Accepted,
}

/// What is known of a question while its records go by.
#[derive(Default)]
struct Open {
    /// The signed yeses that hold.
    yeses: Vec<Answer>,
    /// The nonces that were used for it.
    used: BTreeSet<Nonce>,
    /// When it was let go.
    let_go: Option<Timestamp>,
}

/// See the module.
struct Proving<'a> {
    engine: &'a Engine,
    agent: &'a Agent,
    history: Vec<AliasEvent>,
    directory: Entries<'a>,
    /// Nonces that were given, and that were used, in the run.
    given: BTreeSet<Nonce>,
    used: BTreeSet<Nonce>,
    open: BTreeMap<u32, Open>,
    report: SignedReport,
}

/// The entries of a directory, to be folded up to a time.
struct Entries<'a> {
    rows: &'a [DirectoryRow],
    /// Folded up to that many entries.
    folded: Option<(usize, Directory)>,
}

impl Entries<'_> {
    /// The directory as it was at a time.
    fn at(&mut self, at: Timestamp) -> Result<&Directory, String> {
        let n = self.rows.iter().take_while(|row| row.at <= at).count();
        if self.folded.as_ref().is_none_or(|(known, _)| *known != n) {
            let texts = self.rows[..n].iter().map(|row| std::str::from_utf8(&row.body).unwrap_or_default());
            let folded = Directory::fold(texts).map_err(|(n, e)| format!("entry {n} of the directory: {e}"))?;
            self.folded = Some((n, folded));
        }
        self.folded.as_ref().map(|(_, directory)| directory).ok_or_else(|| "there was no directory".to_owned())
    }
}

impl Engine {
    /// Verifies the signed answers of a run, by its records and the entries of its tenant's directory, the first one first.
    ///
    /// # Errors
    /// When the store does not answer, or the records do not fold. What does not hold is no error.
    pub async fn prove_signed(
        &self,
        run: RunId,
        records: &[Record],
        entries: &[DirectoryRow],
    ) -> Result<SignedReport, EngineError> {
        let mut report = SignedReport { breaks: directory(entries), ..SignedReport::default() };
        let moments = self.moments(run, records).await?;
        let Some(first) = moments.first() else { return Ok(report) };
        let (tenant, version) = (first.after.tenant.clone(), first.after.version);
        let agent = match self.0.ports.agents.load(&tenant, version).await {
            Ok(agent) => agent,
            Err(e) => {
                let why = format!("what was signed cannot be compared: the agent's version cannot be loaded ({e})");
                report.breaks.push((None, why));
                return Ok(report);
            }
        };
        let history = self.journal().alias_history(&tenant, &first.after.agent, crate::question::HISTORY).await?;
        let directory = Entries { rows: entries, folded: None };
        let (given, used, open) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        let mut proving = Proving { engine: self, agent: &agent, history, directory, given, used, open, report };
        for moment in &moments {
            proving.moment(moment).await?;
        }
        Ok(proving.report)
    }

    /// The records that answers of people are about.
    async fn moments(&self, run: RunId, records: &[Record]) -> Result<Vec<Moment>, EngineError> {
        let mut moments = Vec::new();
        let mut before: Option<State> = None;
        let mut next = records.iter().skip(1);
        load::each_of(self.journal(), run, records, |after, record| {
            let previous = before.take();
            if next.next().is_some_and(|next| next.facts.iter().any(is_about)) {
                before = Some(after.clone());
            }
            let facts: Vec<Fact> = record.facts.iter().filter(|fact| is_about(fact)).cloned().collect();
            if !facts.is_empty() {
                let (seq, at) = (record.header.seq, record.header.at);
                let before = previous.unwrap_or_else(|| after.clone());
                moments.push(Moment { seq, at, facts, before, after: after.clone() });
            }
        })
        .await?;
        Ok(moments)
    }

    /// What a call asks people at a moment, with all that they are shown, and how what they signed is compared with it: where texts are
    /// erased, it tells only where it was asked.
    async fn question_at(
        &self,
        state: &State,
        agent: &Agent,
        call: &Call,
    ) -> Result<Result<(Question, At), &'static str>, EngineError> {
        let Some(request) = &call.request else { return Ok(Err("it was asked where nobody signs")) };
        let erased = self.is_erased(state, call, request).await?;
        let arguments = if erased { String::new() } else { self.arguments_of(state, call).await? };
        let Some(mut question) = of_release(state, agent, call, &arguments) else {
            return Ok(Err("the agent's version has no such tool"));
        };
        if erased {
            return Ok(Ok((question, At::Erased)));
        }
        self.explain(state, call, request, &mut question).await?;
        question.preview = self.preview(state, call).await?;
        Ok(Ok((question, At::Giving)))
    }
}

/// Whether a fact has to do with what people sign.
const fn is_about(fact: &Fact) -> bool {
    match fact {
        Fact::ApprovalRequested(_) | Fact::ApprovalGiven(_) | Fact::ApprovalsUsed(_) => true,
        Fact::EffectIntended(_) | Fact::ChildStarted(_) => true,
        Fact::EffectDecided(f) => matches!(f.verdict, Verdict::Allow),
        _ => false,
    }
}

/// Whether the entries are a directory.
fn directory(entries: &[DirectoryRow]) -> Vec<(Option<u64>, String)> {
    if entries.is_empty() {
        return Vec::new();
    }
    let mut breaks = Vec::new();
    let texts = entries.iter().map(|row| std::str::from_utf8(&row.body).unwrap_or_default());
    if let Err((n, e)) = Directory::fold(texts) {
        breaks.push((None, format!("entry {n} of the directory of approvers does not hold: {e}")));
    }
    for (n, row) in (0..).zip(entries) {
        let entry = std::str::from_utf8(&row.body).ok().and_then(|text| Envelope::from_text(text).ok());
        let dated = entry.and_then(|envelope| Entry::from_text(&envelope.entry).ok()).map(|entry| entry.at);
        let late = dated.is_some_and(|dated| dated > seconds(row.at) + AHEAD);
        let order = entries.get(n + 1).is_some_and(|next| next.at < row.at);
        if row.seq != n as u64 || late || order {
            breaks.push((None, format!("entry {n} of the directory of approvers is not where, or when, it was made")));
        }
    }
    breaks
}

impl Proving<'_> {
    fn breaks(&mut self, seq: u64, why: impl Into<String>) {
        self.report.breaks.push((Some(seq), why.into()));
    }

    fn notes(&mut self, note: String) {
        if !self.report.notes.contains(&note) {
            self.report.notes.push(note);
        }
    }

    async fn moment(&mut self, moment: &Moment) -> Result<(), EngineError> {
        for fact in &moment.facts {
            match fact {
                Fact::ApprovalRequested(f) => {
                    self.open.insert(f.effect, Open::default());
                }
                Fact::ApprovalGiven(f) => self.answered(moment, f).await?,
                Fact::EffectDecided(f) => {
                    self.open.entry(f.effect).or_default().let_go.get_or_insert(moment.at);
                    let released = |call: &Call| !call.head.class.needs_intent() && call.head.rules.child.is_none();
                    if moment.after.call(f.effect).is_some_and(released) {
                        self.begins(moment, f.effect).await?;
                    }
                }
                Fact::ApprovalsUsed(f) => self.used(moment, f),
                Fact::EffectIntended(f) => self.begins(moment, f.effect).await?,
                Fact::ChildStarted(f) => self.begins(moment, f.effect).await?,
                _ => {}
            }
        }
        Ok(())
    }

    async fn answered(&mut self, moment: &Moment, f: &ApprovalGiven) -> Result<(), EngineError> {
        if f.approved {
            // As the run keeps them: one answer of each person over each way, the last.
            let way = |signed: &Option<Box<Signed>>| signed.as_ref().and_then(|s| s.page).unwrap_or(false);
            let yeses = &mut self.open.entry(f.effect).or_default().yeses;
            yeses.retain(|yes| yes.given.name != f.by || way(&yes.given.signed) != way(&f.signed));
        }
        let Some(signed) = &f.signed else { return Ok(()) };
        self.report.answers += 1;
        let call = moment.before.call(f.effect);
        let asked = match call {
            Some(call) => self.engine.question_at(&moment.before, self.agent, call).await?,
            None => Err("nobody was asked"),
        };
        let asked = asked.map_err(str::to_owned);
        let holds = asked.and_then(|(question, how)| self.accepted(moment, f, signed, &question, how));
        match holds {
            Ok(accepted) if f.approved => {
                let escalated = call.map_or_else(Vec::new, |call| call.escalated.clone());
                let given = Given { name: f.by.clone(), roles: f.roles.clone(), signed: f.signed.clone(), escalated };
                self.open.entry(f.effect).or_default().yeses.push(Answer { given, accepted });
            }
            Ok(_) => {}
            Err(why) => self.breaks(moment.seq, format!("the signed answer of {} to effect {}: {why}", f.by, f.effect)),
        }
        Ok(())
    }

    /// Whether an answer holds: as it was looked at when it was given.
    fn accepted(
        &mut self,
        moment: &Moment,
        f: &ApprovalGiven,
        signed: &Signed,
        question: &Question,
        how: At,
    ) -> Result<Accepted, String> {
        if how == At::Erased {
            self.notes(ERASED.to_owned());
        }
        let receipt = Receipt::from_text(signed.receipt.as_str()).map_err(|e| e.to_string())?;
        let statement = Statement::from_text(&receipt.text).map_err(|e| e.to_string())?;
        let same = [
            (statement.approved == f.approved, "what was signed is the other answer"),
            (statement.human == human(&f.by), "it is signed by another person than the one who gave it"),
            (statement.nonce == signed.nonce.0, "it has another nonce than the one that was noted"),
            (self.given.insert(signed.nonce), "the statement was given before"),
        ];
        if let Some((_, why)) = same.iter().find(|(same, _)| !same) {
            return Err((*why).to_owned());
        }
        let began = initiators(&moment.before, &self.editors(&moment.before, moment.at));
        let directory = self.directory.at(moment.at)?;
        directory.accept(&receipt, question, &began, seconds(moment.at), how).map_err(|e| e.to_string())
    }

    /// Who had changed the agent last at a time.
    fn editors(&self, state: &State, at: Timestamp) -> Vec<Human> {
        let then = self.history.iter().filter(|event| event.at <= at);
        crate::question::editors(then, state.version)
    }
}
