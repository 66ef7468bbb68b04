//! What one follower of a run sees: the facts of the journal, then what happens, without gap or repetition.

use futures_util::{Stream, stream};
use stead_core::{
    id::{LeafHash, RunId},
    record::Record,
    run::GENESIS,
};
use tokio::sync::mpsc;

use crate::{
    Engine, payload,
    types::{EngineError, Event, EventBody, EventId, FactEvent},
};

/// Records read at once; their texts are held until they are given out.
const PAGE: u32 = 64;

/// Where a follower stands.
struct Follower {
    engine: Engine,
    run: RunId,
    /// The last event given out.
    last: Option<EventId>,
    /// Records before this one have been given out.
    next: u64,
    /// Events read and not yet given out, newest first.
    ready: Vec<Event>,
    live: Option<mpsc::Receiver<Event>>,
    done: bool,
}

impl Engine {
    /// Every fact after `after`, then facts and pieces of replies as they come, then `End`. When pieces were lost, or
    /// belong to an attempt that was given up, a `Reset` says so.
    pub fn watch(
        &self,
        run: RunId,
        after: Option<EventId>,
    ) -> impl Stream<Item = Result<Event, EngineError>> + Send + 'static + use<> {
        let follower =
            Follower { engine: self.clone(), run, last: after, next: 0, ready: Vec::new(), live: None, done: false };
        stream::unfold(follower, |mut f| async move {
            match f.next().await {
                Ok(Some(event)) => Some((Ok(event), f)),
                Ok(None) => None,
                Err(error) => {
                    f.done = true;
                    Some((Err(error), f))
                }
            }
        })
    }

    /// Facts of a run from record `from`, of at most `limit` records.
    ///
    /// # Errors
    /// When the run does not exist or its journal cannot be read.
    pub async fn facts(&self, run: RunId, from: u64, limit: u32) -> Result<Vec<FactEvent>, EngineError> {
        let journal = self.journal();
        if journal.run(run).await?.is_none() {
            return Err(EngineError::NotFound { what: run.to_string() });
        }
        let mut out = Vec::new();
        // Hashes chain from the first record, but a page is shown with the hashes as stored.
        for stored in journal.read(run, from, limit).await? {
            let (record, _) = Record::decode(&stored.bytes, GENESIS)
                .map_err(|e| EngineError::Quarantined { run, why: e.to_string() })?;
            out.extend(self.events(&record, stored.leaf).await?);
        }
        Ok(out)
    }

    /// The facts of a record with their texts.
    pub(crate) async fn events(&self, record: &Record, leaf: LeafHash) -> Result<Vec<FactEvent>, EngineError> {
        let mut out = Vec::with_capacity(record.facts.len());
        for (index, fact) in (0..).zip(&record.facts) {
            let text = match fact.payload().and_then(|ix| record.payloads.get(usize::from(ix))) {
                Some(p) => {
                    let bytes = payload::open(self.journal(), &record.header.tenant, p).await?;
                    Some(String::from_utf8_lossy(&bytes).into_owned())
                }
                None => None,
            };
            out.push(FactEvent::new(&record.header, leaf, index, fact.clone(), text).with_why(record));
        }
        Ok(out)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if self.live.take().is_some() {
            self.engine.rooms().leave(self.run);
        }
    }
}

impl Follower {
    async fn next(&mut self) -> Result<Option<Event>, EngineError> {
        loop {
            if let Some(event) = self.ready.pop() {
                match event.body {
                    EventBody::End => self.done = true,
                    _ => self.last = Some(event.id),
                }
                return Ok(Some(event));
            }
            if self.done {
                return Ok(None);
            }
            match &mut self.live {
                None => self.catch_up().await?,
                Some(live) => match live.recv().await {
                    Some(event) if self.last.is_some_and(|l| event.id <= l) => {}
                    Some(event) => self.take(event),
                    // Dropped for being slow, or the room closed: through the journal again.
                    None => self.live = None,
                },
            }
        }
    }

    /// Takes an event that came live.
    fn take(&mut self, event: Event) {
        let id = event.id;
        let mut reset = None;
        match &event.body {
            EventBody::Fact(f) if ends(&f.fact) => self.ready.push(Event { id, body: EventBody::End }),
            EventBody::Delta(_) => match self.last.filter(|l| (l.seq, l.attempt) == (id.seq, id.attempt)) {
                Some(last) if id.index == last.index + 1 => {}
                // The first piece of an attempt whose reset came before this follower.
                None if id.index == 1 && id.attempt > 1 => reset = Some(reset_before(id)),
                None if id.index == 1 => {}
                // Its beginning was never seen: the fact will say it whole.
                _ => return,
            },
            _ => {}
        }
        self.ready.push(event);
        self.ready.extend(reset);
    }

    /// Enters the room, then reads a page of what the journal has after the last event seen: nothing can fall between. A
    /// page that is full is given out first, and the room entered again for the next.
    async fn catch_up(&mut self) -> Result<(), EngineError> {
        let (live, pieces) = self.engine.rooms().enter(self.run);
        self.live = Some(live);
        // An engine that has stopped closed its rooms before, or closes this one soon; nothing comes here any more.
        let stopped = self.engine.0.is_dead();
        let (events, more, ended) = self.page().await?;
        if more || ended || stopped {
            self.live = None;
            self.engine.rooms().leave(self.run);
        }
        let mut events = events;
        if ended {
            let id = events.last().map(|e| e.id).or(self.last).unwrap_or(EventId { seq: 0, attempt: 0, index: 0 });
            events.push(Event { id, body: EventBody::End });
        } else if stopped && !more && events.is_empty() {
            return Err(EngineError::Draining);
        } else if !more {
            self.resume_pieces(&mut events, pieces);
        }
        events.reverse();
        self.ready = events;
        Ok(())
    }

    /// Facts after the last event seen; whether there are more, and if not, whether the run has ended.
    async fn page(&mut self) -> Result<(Vec<Event>, bool, bool), EngineError> {
        let journal = self.engine.journal();
        let row = journal.run(self.run).await?.ok_or_else(|| EngineError::NotFound { what: self.run.to_string() })?;
        let from = self.next.max(self.last.map_or(0, |l| l.seq));
        let page = journal.read(self.run, from, PAGE).await?;
        let more = page.len() == PAGE as usize;
        let mut events = Vec::new();
        for stored in page {
            let (record, _) = Record::decode(&stored.bytes, GENESIS)
                .map_err(|e| EngineError::Quarantined { run: self.run, why: e.to_string() })?;
            for fact in self.engine.events(&record, stored.leaf).await? {
                let id = EventId { seq: fact.seq, attempt: 0, index: fact.index };
                if self.last.is_none_or(|l| id > l) {
                    events.push(Event { id, body: EventBody::Fact(fact.into()) });
                }
            }
            self.next = stored.seq + 1;
        }
        Ok((events, more, !more && row.state.status.ended()))
    }

    /// Pieces of the attempt under way, which come after every fact: those that follow on the last one seen, or a reset
    /// and all of them.
    fn resume_pieces(&self, events: &mut Vec<Event>, pieces: Vec<Event>) {
        let last = events.last().map(|e| e.id).or(self.last);
        let attempt = |id: EventId| (id.seq, id.attempt);
        let seen = last.filter(|l| l.attempt > 0);
        let current = pieces.last().map(|p| p.id).filter(|p| last.is_none_or(|l| attempt(*p) >= attempt(l)));
        match (seen, current) {
            (Some(seen), Some(now)) if attempt(seen) == attempt(now) => {
                return events.extend(pieces.into_iter().filter(|p| p.id > seen));
            }
            (Some(_), Some(now)) => events.push(reset_before(now)),
            (None, Some(now)) if now.attempt > 1 => events.push(reset_before(now)),
            (Some(seen), None) => return events.push(reset_before(seen)),
            (None, Some(_)) => {}
            (None, None) => return,
        }
        events.extend(pieces);
    }
}

/// A reset that stands before the pieces of an attempt.
fn reset_before(piece: EventId) -> Event {
    Event { id: EventId { index: 0, ..piece }, body: EventBody::Reset }
}

fn ends(fact: &stead_core::fact::Fact) -> bool {
    use stead_core::fact::Fact;
    matches!(fact, Fact::RunCompleted(_) | Fact::RunFailed(_) | Fact::RunCancelled)
}
