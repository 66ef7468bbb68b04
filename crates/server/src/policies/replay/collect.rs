//! What the journals of a tenant say of calls: decided, let go, ended, in the order of time.

use std::collections::BTreeMap;

use stead_core::{
    code::{self, Code},
    effect::Ended,
    fact::{AfterUnknown, Fact, Verdict as Was},
    id::{EffectId, Name, RunId, SessionId, VersionId},
    message::Reply,
    time::Timestamp,
};
use stead_engine::{Engine, EngineError, FactEvent};
use stead_policy::{Happened, Outcome};
use stead_ports::journal::{RunFilter, RunRow, StoreError};

use super::{PolicyError, Text};

/// Runs that are looked at, the newest first.
const MAX_RUNS: usize = 10_000;
/// What is kept of them: decisions, calls let go, ends.
const MAX_ENTRIES: usize = 200_000;
/// Bytes of arguments that are kept.
const MAX_BYTES: usize = 64 << 20;
/// Runs of a page, and records of one.
const PAGE: u32 = 500;

/// A run that did something.
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) agent: Name,
    pub(super) version: VersionId,
    pub(super) session: SessionId,
}

/// What is told of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It was decided so.
    Decided(Outcome),
    /// It was let go, or it ended.
    Happened(Happened),
}

/// Something that is told of a call.
pub(super) struct Entry {
    pub(super) at: Timestamp,
    /// Which of the runs.
    pub(super) run: usize,
    effect: u32,
    pub(super) tool: Name,
    pub(super) arguments: Text,
    /// Whether its manifest asks a human whatever policies say.
    pub(super) asks: bool,
    pub(super) told: Told,
}

impl Entry {
    pub(super) fn effect(&self, run: RunId) -> EffectId {
        EffectId { run, n: self.effect }
    }
}

/// Everything that is decided again, and what it is decided by.
pub(super) struct Past {
    pub(super) tenant: Name,
    pub(super) runs: Vec<Run>,
    /// In the order of time.
    pub(super) entries: Vec<Entry>,
    pub(super) truncated: bool,
    /// Decisions whose arguments are gone.
    pub(super) skipped: u64,
    bytes: usize,
}

impl Past {
    /// How a decision is named.
    pub(super) fn id(&self, entry: &Entry) -> String {
        entry.effect(self.runs[entry.run].id).to_string()
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= MAX_ENTRIES || self.bytes >= MAX_BYTES
    }
}

/// Reads the journals of runs that changed since then.
pub(super) async fn collect(
    engine: &Engine,
    tenant: &Name,
    since: Timestamp,
    agent: Option<&Name>,
) -> Result<Past, PolicyError> {
    let mut past =
        Past { tenant: tenant.clone(), runs: Vec::new(), entries: Vec::new(), truncated: false, skipped: 0, bytes: 0 };
    let (mut before, mut seen) = (None, 0);
    'pages: loop {
        let filter =
            RunFilter { tenant: tenant.clone(), agent: agent.cloned(), before, limit: PAGE, ..RunFilter::default() };
        let rows = engine.journal().runs(&filter).await?;
        let last = rows.len() < PAGE as usize;
        before = rows.last().map(|row| row.id);
        for row in rows {
            if seen >= MAX_RUNS || past.is_full() {
                past.truncated = true;
                break 'pages;
            }
            seen += 1;
            if row.updated >= since {
                read(engine, &mut past, &row, since).await?;
            }
        }
        if last {
            break;
        }
    }
    // Of one moment a run's own order stands.
    past.entries.sort_by_key(|entry| entry.at);
    Ok(past)
}

/// A call of a run, as far as it is known.
struct Call {
    tool: Name,
    arguments: Option<Text>,
    asks: bool,
    approved: bool,
    decided: bool,
    sent: bool,
}

async fn read(engine: &Engine, past: &mut Past, row: &RunRow, since: Timestamp) -> Result<(), PolicyError> {
    let mut calls: BTreeMap<u32, Call> = BTreeMap::new();
    let run = past.runs.len();
    past.runs.push(Run { id: row.id, agent: row.agent.clone(), version: row.version, session: row.session });
    let mut from = 0;
    loop {
        let events = engine.facts(row.id, from, PAGE).await.map_err(unread)?;
        let Some(last) = events.last() else { return Ok(()) };
        from = last.seq + 1;
        for event in &events {
            for (effect, told) in of(event, &mut calls) {
                let call = &calls[&effect];
                if event.at < since {
                    continue;
                }
                let Some(arguments) = &call.arguments else {
                    past.skipped += u64::from(matches!(told, Told::Decided(_)));
                    continue;
                };
                if past.is_full() {
                    past.truncated = true;
                    return Ok(());
                }
                if matches!(told, Told::Decided(_)) {
                    past.bytes += arguments.len();
                }
                let (tool, arguments, asks) = (call.tool.clone(), arguments.clone(), call.asks);
                past.entries.push(Entry { at: event.at, run, effect, tool, arguments, asks, told });
            }
        }
    }
}

fn unread(e: EngineError) -> PolicyError {
    PolicyError::Store(StoreError { code: e.code(), detail: e.to_string() })
}

/// What a fact tells of calls.
fn of(event: &FactEvent, calls: &mut BTreeMap<u32, Call>) -> Vec<(u32, Told)> {
    let ended = |effect: u32, ended| vec![(effect, Told::Happened(Happened::Ended(ended)))];
    let told = match &event.fact {
        Fact::ModelReplied(replied) => {
            let reply: Option<Reply> = event.text.as_deref().and_then(|text| serde_json::from_str(text).ok());
            for (n, head) in replied.calls.iter().enumerate() {
                let written =
                    reply.as_ref().and_then(|reply| reply.calls.get(n)).map(|call| call.arguments.get().into());
                let call = Call {
                    tool: head.tool.clone(),
                    arguments: written,
                    asks: head.rules.ask,
                    approved: false,
                    decided: false,
                    sent: false,
                };
                calls.insert(head.effect, call);
            }
            Vec::new()
        }
        Fact::EffectDecided(decided) => {
            let Some(call) = calls.get_mut(&decided.effect) else { return Vec::new() };
            let mut told = Vec::new();
            // The first decision is the one about the call; later ones follow a human, or an unknown outcome.
            if !std::mem::replace(&mut call.decided, true) && !decided.code.is_some_and(is_machines) {
                let was = match decided.verdict {
                    Was::Allow => Outcome::Allow,
                    Was::Deny => Outcome::Deny,
                    Was::Ask => Outcome::Ask,
                };
                told.push((decided.effect, Told::Decided(was)));
            }
            if decided.verdict == Was::Deny {
                told.extend(ended(decided.effect, Ended::Denied));
            }
            told
        }
        Fact::ApprovalGiven(given) => match calls.get_mut(&given.effect) {
            Some(call) if given.approved => {
                call.approved = true;
                Vec::new()
            }
            _ => ended(given.effect, Ended::Denied),
        },
        Fact::ApprovalExpired(of) => ended(of.effect, Ended::Denied),
        Fact::EffectIntended(intended) => {
            let Some(call) = calls.get_mut(&intended.effect) else { return Vec::new() };
            let first = !std::mem::replace(&mut call.sent, true);
            let sent = Told::Happened(Happened::Sent { approved: call.approved });
            if first { vec![(intended.effect, sent)] } else { Vec::new() }
        }
        Fact::EffectReturned(outcome) => ended(outcome.effect, Ended::Returned),
        Fact::EffectRefused(outcome) => ended(outcome.effect, Ended::Refused),
        Fact::EffectNotSent(not) if not.retry_at.is_none() && not.held.is_none() => ended(not.effect, Ended::NotSent),
        Fact::EffectUnknown(unknown) if matches!(unknown.then, AfterUnknown::Tell | AfterUnknown::Ask) => {
            ended(unknown.effect, Ended::Unknown)
        }
        Fact::EffectReconciled(reconciled) if reconciled.happened => ended(reconciled.effect, Ended::Returned),
        Fact::EffectWithdrawn(of) => ended(of.effect, Ended::Withdrawn),
        _ => Vec::new(),
    };
    told.into_iter().filter(|(effect, _)| calls.contains_key(effect)).collect()
}

/// Whether the machine refused the call by itself, so that no policy was to be asked.
fn is_machines(code: Code) -> bool {
    [
        code::TOOL_UNKNOWN,
        code::TOOL_ARGUMENTS,
        code::TOOL_CHANGED,
        code::KEY_REUSED,
        code::HOPS,
        code::BUDGET,
        code::UNPRICED,
        code::STOPPED,
        code::WITHDRAWN,
    ]
    .contains(&code)
}
