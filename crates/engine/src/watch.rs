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

/// Where a follower stands.
struct Follower {
    engine: Engine,
    run: RunId,
    /// The last event given out.
    last: Option<EventId>,
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
        let follower = Follower { engine: self.clone(), run, last: after, ready: Vec::new(), live: None, done: false };
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
            out.push(FactEvent::new(&record.header, leaf, index, fact.clone(), text));
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
                    Some(event) if self.last.is_some_and(|l| event.id <= l) && !self.restarts(&event) => {}
                    Some(event) => self.take(event),
                    // Dropped for being slow, or the room closed: through the journal again.
                    None => self.live = None,
                },
            }
        }
    }

    /// A reset of an attempt already seen from in part is not skipped: its pieces start again.
    fn restarts(&self, event: &Event) -> bool {
        matches!(event.body, EventBody::Reset) && self.last.is_some_and(|l| l.attempt > 0)
    }

    fn take(&mut self, event: Event) {
        let end = matches!(&event.body, EventBody::Fact(f) if ends(&f.fact));
        let id = event.id;
        if end {
            self.ready.push(Event { id, body: EventBody::End });
        }
        self.ready.push(event);
    }

    /// Enters the room, then reads what the journal has after the last event seen: nothing can fall between.
    async fn catch_up(&mut self) -> Result<(), EngineError> {
        let (live, pieces) = self.engine.rooms().enter(self.run);
        self.live = Some(live);
        let from = self.last.map_or(0, |l| l.seq);
        let records = records_after(&self.engine, self.run, from).await?;
        let mut events = Vec::new();
        for (record, leaf) in records {
            for fact in self.engine.events(&record, leaf).await? {
                let id = EventId { seq: fact.seq, attempt: 0, index: fact.index };
                let end = ends(&fact.fact);
                if self.last.is_none_or(|l| id > l) {
                    events.push(Event { id, body: EventBody::Fact(fact.into()) });
                }
                if end {
                    events.push(Event { id, body: EventBody::End });
                }
            }
        }
        let ended = matches!(events.last(), Some(Event { body: EventBody::End, .. }));
        if ended {
            self.live = None;
            self.engine.rooms().leave(self.run);
        } else {
            self.resume_pieces(&mut events, pieces);
        }
        events.reverse();
        self.ready = events;
        Ok(())
    }

    /// Pieces of the attempt under way: those after the last one seen, or a reset and all of them.
    fn resume_pieces(&self, events: &mut Vec<Event>, pieces: Vec<Event>) {
        let seen_piece = self.last.filter(|l| l.attempt > 0 && events.is_empty());
        match (seen_piece, pieces.last()) {
            (Some(seen), Some(last)) if last.id.seq == seen.seq && last.id.attempt == seen.attempt => {
                events.extend(pieces.into_iter().filter(|p| p.id > seen));
            }
            (Some(seen), _) => {
                events.push(Event { id: EventId { index: 0, ..seen }, body: EventBody::Reset });
                events.extend(pieces);
            }
            (None, _) => events.extend(pieces),
        }
    }
}

fn ends(fact: &stead_core::fact::Fact) -> bool {
    use stead_core::fact::Fact;
    matches!(fact, Fact::RunCompleted(_) | Fact::RunFailed(_) | Fact::RunCancelled)
}

/// Records from position `from`, with their hashes as stored.
async fn records_after(engine: &Engine, run: RunId, from: u64) -> Result<Vec<(Record, LeafHash)>, EngineError> {
    if engine.journal().run(run).await?.is_none() {
        return Err(EngineError::NotFound { what: run.to_string() });
    }
    let mut out = Vec::new();
    let mut next = from;
    loop {
        let page = engine.journal().read(run, next, 1_000).await?;
        let full = page.len() == 1_000;
        for stored in page {
            next = stored.seq + 1;
            let (record, _) = Record::decode(&stored.bytes, GENESIS)
                .map_err(|e| EngineError::Quarantined { run, why: e.to_string() })?;
            out.push((record, stored.leaf));
        }
        if !full {
            return Ok(out);
        }
    }
}
