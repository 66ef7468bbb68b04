//! What the journals of a tenant say of calls: decided, let go, ended, in the order of time.

use std::collections::BTreeSet;

use stead_core::{
    code::{self, Code},
    fact::{Fact, Verdict as Was},
    id::{EffectId, Name, RunId, SessionId, VersionId},
    message::Reply,
    time::Timestamp,
};
use stead_engine::{Calls, Engine, EngineError, FactEvent, Known};
use stead_policy::{Handed, Happened, Outcome};
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
    /// The session that what it does counts in.
    pub(super) works_for: SessionId,
    /// The agents above it.
    pub(super) callers: BTreeSet<String>,
    /// What the agent that started it handed on to it.
    pub(super) grant: Option<Handed>,
}

/// What is taken of the journals.
pub(super) struct Of<'a> {
    /// Decisions from this time on,
    pub(super) since: Timestamp,
    /// of this agent, or of all.
    pub(super) agent: Option<&'a Name>,
    /// What happened from this time on, to whomever.
    pub(super) reach: Timestamp,
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
    /// Of a decision, what was known when it was made, as far as that can still be heard.
    pub(super) known: Option<Box<Known>>,
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
    /// Of these, runs that changed in the time of the decisions.
    pub(super) recent: u64,
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
pub(super) async fn collect(engine: &Engine, tenant: &Name, of: &Of<'_>) -> Result<Past, PolicyError> {
    let mut past = Past {
        tenant: tenant.clone(),
        runs: Vec::new(),
        recent: 0,
        entries: Vec::new(),
        truncated: false,
        skipped: 0,
        bytes: 0,
    };
    let (mut before, mut seen) = (None, 0);
    'pages: loop {
        // Who looks further back than the decisions asks what others did, too.
        let agent = of.agent.filter(|_| of.reach == of.since).cloned();
        let filter = RunFilter { tenant: tenant.clone(), agent, before, limit: PAGE, ..RunFilter::default() };
        let rows = engine.journal().runs(&filter).await?;
        let last = rows.len() < PAGE as usize;
        before = rows.last().map(|row| row.id);
        for row in rows {
            if seen >= MAX_RUNS || past.is_full() {
                past.truncated = true;
                break 'pages;
            }
            seen += 1;
            // The row of one that has not ended need not say when it last did something.
            if row.updated >= of.reach || !row.state.status.ended() {
                read(engine, &mut past, &row, of).await?;
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

async fn read(engine: &Engine, past: &mut Past, row: &RunRow, of: &Of<'_>) -> Result<(), PolicyError> {
    let (mut calls, mut decided) = (Calls::default(), BTreeSet::new());
    let run = past.runs.len();
    past.runs.push(Run {
        id: row.id,
        agent: row.agent.clone(),
        version: row.version,
        session: row.session,
        works_for: row.session,
        callers: BTreeSet::new(),
        grant: None,
    });
    let (judged, first) = (of.agent.is_none_or(|agent| *agent == row.agent), past.entries.len());
    past.recent += u64::from(judged && row.updated >= of.since);
    let mut from = 0;
    'pages: loop {
        let events = engine.facts(row.id, from, PAGE).await.map_err(unread)?;
        let Some(last) = events.last() else { break };
        from = last.seq + 1;
        for event in &events {
            if let Fact::RunStarted(f) = &event.fact
                && let Some(behalf) = &f.behalf
            {
                let found = &mut past.runs[run];
                found.works_for = behalf.session.unwrap_or(found.works_for);
                found.callers = behalf.callers.iter().map(ToString::to_string).collect();
                found.grant = Handed::of(behalf, &f.config.limits);
            }
            for (effect, told) in told(event, &mut calls, &mut decided) {
                let wanted = match told {
                    Told::Decided(_) => judged && event.at >= of.since,
                    Told::Happened(_) => event.at >= of.reach,
                };
                let Some(call) = calls.get(effect).filter(|_| wanted) else { continue };
                let Some(arguments) = &call.arguments else {
                    past.skipped += u64::from(matches!(told, Told::Decided(_)));
                    continue;
                };
                if past.is_full() {
                    past.truncated = true;
                    break 'pages;
                }
                if matches!(told, Told::Decided(_)) {
                    past.bytes += arguments.len();
                }
                let (tool, arguments, asks) = (call.tool.clone(), arguments.clone(), call.asks);
                past.entries.push(Entry { at: event.at, run, effect, tool, arguments, asks, told, known: None });
            }
        }
    }
    hear(engine, past, row.id, first).await
}

/// Hears again what was known when the calls of a run were decided, from that entry on.
async fn hear(engine: &Engine, past: &mut Past, run: RunId, first: usize) -> Result<(), PolicyError> {
    let decided = |entry: &&mut Entry| matches!(entry.told, Told::Decided(_));
    let mut entries = past.entries[first..].iter_mut().filter(decided).peekable();
    if entries.peek().is_none() {
        return Ok(());
    }
    let mut known = match engine.known(run).await {
        Ok(known) => known,
        Err(EngineError::Store(e)) => return Err(PolicyError::Store(e)),
        // Calls of a version that cannot be loaded are not decided again.
        Err(_) => return Ok(()),
    };
    for entry in entries {
        entry.known = known.remove(&entry.effect).map(Box::new);
        let sources = entry.known.iter().flat_map(|known| &known.provenance);
        past.bytes +=
            sources.map(|(name, from)| name.len() + from.sources.iter().map(String::len).sum::<usize>()).sum::<usize>();
    }
    Ok(())
}

fn unread(e: EngineError) -> PolicyError {
    PolicyError::Store(StoreError { code: e.code(), detail: e.to_string() })
}

/// What a fact tells of calls: first what was decided, then what became of it.
fn told(event: &FactEvent, calls: &mut Calls, decided: &mut BTreeSet<u32>) -> Vec<(u32, Told)> {
    let reply = match &event.fact {
        Fact::ModelReplied(_) => event.text.as_deref().and_then(|text| serde_json::from_str::<Reply>(text).ok()),
        _ => None,
    };
    let mut told = Vec::new();
    // The first decision is the one about the call; later ones follow a human, or an unknown outcome.
    if let Fact::EffectDecided(f) = &event.fact
        && calls.get(f.effect).is_some()
        && decided.insert(f.effect)
        && !f.code.is_some_and(is_machines)
    {
        told.push((
            f.effect,
            Told::Decided(match f.verdict {
                Was::Allow => Outcome::Allow,
                Was::Deny => Outcome::Deny,
                Was::Ask => Outcome::Ask,
            }),
        ));
    }
    let happened = calls.tell(&event.fact, reply.as_ref(), event.rewritten.as_deref());
    told.extend(happened.map(|(effect, happened)| (effect, Told::Happened(happened))));
    told
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
