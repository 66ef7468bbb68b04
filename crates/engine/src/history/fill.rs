//! The past of counters that are new: read from the journals, while what happens meanwhile is counted already. Until it is known, what
//! asks for them is denied: a counter never begins from nothing.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use stead_core::{
    fact::Fact,
    message::Reply,
    record::{Body, Payload, Record},
    run::GENESIS,
    time::{Span, Timestamp},
};
use stead_policy::{By, Counter, Event, Scope, Tally};
use stead_ports::journal::{Journal, RunFilter, RunRow, StoreError};

use super::{
    book::{Book, MAX_SINCE},
    calls::{self, Calls},
    keep::PAGE,
    row::{self, EventId, Placed},
};
use crate::{Engine, payload, recover::background};

/// Events of all new counters together that are taken from journals; a counter whose past has more stays unknown.
const MAX_PAST: usize = 1_000_000;
/// Runs listed at once.
const RUNS: u32 = 500;
/// How long is waited after the store did not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Why the past is not known.
enum Unfilled {
    Store(StoreError),
    TooMuch,
}

impl From<StoreError> for Unfilled {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Book {
    /// Reads the past of what is new, in the background.
    pub(super) fn fill(self: &Arc<Self>, engine: &Engine) {
        let (book, engine) = (self.clone(), engine.clone());
        background(&engine.clone(), async move {
            let _alone = book.keeper.lock().await;
            loop {
                match book.fill_now(&engine).await {
                    Ok(()) => return,
                    Err(Unfilled::TooMuch) => {
                        let tenant = &book.tenant;
                        tracing::error!(%tenant, "new counters reach back over more than {MAX_PAST} calls: what asks for them is denied; give them a shorter window");
                        return;
                    }
                    Err(Unfilled::Store(error)) => {
                        tracing::warn!(tenant = %book.tenant, %error, "the past of new counters is read again");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        });
    }

    async fn fill_now(&self, engine: &Engine) -> Result<(), Unfilled> {
        let (wanted, mut before) = {
            let mut inside = self.lock();
            let new = inside.tallies.iter().filter(|(_, live)| live.since.is_some());
            let wanted: BTreeMap<u64, Counter> = new.map(|(id, live)| (*id, live.tally.counter().clone())).collect();
            (wanted, inside.next_round())
        };
        if wanted.is_empty() {
            return Ok(());
        }
        // What was decided before they were counted is in the journals, or never will be.
        while before.recv().await.is_some() {}
        let (mut folded, last) = self.keep(engine).await?;
        let past = self.past(engine, &wanted).await?;
        // What rows from here on have is not the past.
        let since = self.since(engine.journal(), last).await?;
        let kept = tallies(&wanted, past.iter().filter(|p| !since.contains(&(p.counter, p.id))));
        folded.extend(kept.into_iter().map(|(id, tally)| (id, (last, tally))));
        self.put(engine, &folded, last).await?;
        let mut inside = self.lock();
        if inside.tallies.values().any(|live| live.since.as_ref().is_some_and(|since| since.len() > MAX_SINCE)) {
            return Err(Unfilled::TooMuch);
        }
        let ids: HashSet<(u64, EventId)> = inside
            .tallies
            .values()
            .flat_map(|live| live.since.iter().flatten())
            .map(|placed| (placed.counter, placed.id))
            .collect();
        let known = past.iter().filter(|p| !ids.contains(&(p.counter, p.id)) && !inside.ids.contains(&p.id));
        let since = inside.tallies.values().flat_map(|live| live.since.iter().flatten());
        for (id, tally) in tallies(&wanted, known.chain(since)) {
            if let Some(live) = inside.tallies.get_mut(&id) {
                (live.tally, live.since) = (tally, None);
            }
        }
        drop(inside);
        self.told_known();
        Ok(())
    }

    /// The events of rows after one.
    async fn since(&self, journal: &Arc<dyn Journal>, mut last: u64) -> Result<HashSet<(u64, EventId)>, StoreError> {
        let mut ids = HashSet::new();
        loop {
            let page = journal.counted(&self.tenant, last, PAGE).await?;
            for found in &page {
                last = found.n;
                let (_, marks) = row::decode(&found.body)
                    .map_err(|detail| StoreError { code: stead_core::code::DATA_DAMAGED, detail })?;
                ids.extend(marks.iter().map(|mark| (mark.counter, mark.id)));
            }
            if page.len() < PAGE as usize {
                return Ok(ids);
            }
        }
    }

    /// What the journals say that these counters count.
    async fn past(&self, engine: &Engine, wanted: &BTreeMap<u64, Counter>) -> Result<Vec<Placed>, Unfilled> {
        let journal = engine.journal();
        let now = engine.0.ports.clock.now();
        let begin = |within: Option<Span>| {
            let within = within.map(|span| i64::try_from(span.0).unwrap_or(i64::MAX));
            within.map_or(Timestamp(i64::MIN), |span| Timestamp(now.0.saturating_sub(span)))
        };
        let earliest = wanted.values().map(|counter| begin(counter.within)).min().unwrap_or(now);
        let of_runs = wanted.values().all(|counter| counter.by == By::Run);
        let (mut past, mut before) = (Vec::new(), None);
        loop {
            let filter = RunFilter { tenant: self.tenant.clone(), before, limit: RUNS, ..RunFilter::default() };
            let rows = journal.runs(&filter).await?;
            before = rows.last().map(|row| row.id);
            for row in &rows {
                // One that has ended does nothing any more, and its row says when.
                if row.state.status.ended() && (of_runs || row.updated < earliest) {
                    continue;
                }
                self.past_of(engine, row, wanted, &mut past).await?;
                if past.len() > MAX_PAST {
                    return Err(Unfilled::TooMuch);
                }
            }
            if rows.len() < RUNS as usize {
                break;
            }
        }
        past.retain(|placed: &Placed| {
            wanted.get(&placed.counter).is_some_and(|counter| placed.at >= begin(counter.within))
        });
        Ok(past)
    }

    async fn past_of(
        &self,
        engine: &Engine,
        run: &RunRow,
        wanted: &BTreeMap<u64, Counter>,
        past: &mut Vec<Placed>,
    ) -> Result<(), Unfilled> {
        let journal = engine.journal();
        let arguments = wanted.values().any(Counter::has_argument);
        let ended = run.state.status.ended();
        let (mut calls, mut from) = (Calls::default(), 0);
        let (mut session, own) = (run.session.to_string(), run.id.to_string());
        loop {
            let page = journal.read(run.id, from, PAGE).await?;
            for stored in &page {
                from = stored.seq + 1;
                let Ok((record, _)) = Record::decode(&stored.bytes, GENESIS) else {
                    // The run itself says so when it is loaded.
                    tracing::warn!(run = %run.id, seq = stored.seq, "a record cannot be read; what it says is not counted");
                    continue;
                };
                for fact in &record.facts {
                    if let Fact::RunStarted(f) = fact
                        && let Some(works_for) = f.behalf.as_ref().and_then(|behalf| behalf.session)
                    {
                        session = works_for.to_string();
                    }
                    let reply = match fact {
                        Fact::ModelReplied(f) if arguments => self.reply(journal, &record, f.payload).await?,
                        _ => None,
                    };
                    let written = match fact {
                        Fact::EffectDecided(f) => f.rewritten.as_deref().and_then(|r| record.inline_text(r.arguments)),
                        _ => None,
                    };
                    let Some((effect, happened)) = calls.tell(fact, reply.as_ref(), written.as_deref()) else {
                        continue;
                    };
                    let Some(call) = calls.get(effect) else { continue };
                    let event = Event {
                        at: record.header.at,
                        scope: Scope { tenant: &self.tenant, agent: &run.agent, session: &session, run: &own },
                        tool: &call.tool,
                        arguments: call.arguments.as_deref(),
                        happened,
                    };
                    let id = EventId::new(run.id, effect, happened);
                    for (counter, what) in wanted.iter().filter(|(_, counter)| !(ended && counter.by == By::Run)) {
                        if let Some(mark) = self.mark(&**journal, what, &event) {
                            let scope = what.by.of(&event.scope).to_owned();
                            past.push(Placed { id, counter: *counter, scope, at: event.at, mark });
                        }
                    }
                }
            }
            if page.len() < PAGE as usize {
                return Ok(());
            }
        }
    }

    /// A reply, when its text is not erased.
    async fn reply(&self, journal: &Arc<dyn Journal>, record: &Record, ix: u16) -> Result<Option<Reply>, StoreError> {
        match record.payloads.get(usize::from(ix)) {
            None | Some(Payload { body: Body::Erased { .. }, .. }) => Ok(None),
            Some(payload) => Ok(calls::reply(&payload::open_whole(journal, &self.tenant, payload).await?)),
        }
    }
}

/// Counters that have these events.
fn tallies<'p>(wanted: &BTreeMap<u64, Counter>, placed: impl Iterator<Item = &'p Placed>) -> BTreeMap<u64, Tally> {
    let mut all: Vec<&Placed> = placed.collect();
    all.sort_by_key(|placed| placed.at);
    let mut tallies: BTreeMap<u64, Tally> =
        wanted.iter().map(|(id, counter)| (*id, Tally::new(counter.clone()))).collect();
    for Placed { counter, scope, at, mark, .. } in all {
        if let Some(tally) = tallies.get_mut(counter) {
            tally.add(scope, *at, *mark);
        }
    }
    tallies
}
