//! The one task that appends. It takes everything that waits, writes it in one transaction, and then tells each caller.
//! An append that breaks a rule is refused alone; after a lost connection nobody's result is guessed. When another one was first with a
//! budget, the batch is decided again.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use deadpool_postgres::Object;
use stead_ports::journal::AppendError;
use tokio::{
    sync::{Notify, mpsc::UnboundedReceiver},
    time::{sleep, timeout},
};

use super::{
    connect::Database,
    errors::{Trouble, contended, unsettled},
    plan::{Found, Memory, Pending, Plan, Questions},
    write,
};

/// Waits between attempts to connect; after the last, what waits is told that the database is away.
const BACK_OFF: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
];

/// How often a batch is decided again because somebody else had changed a budget first. Each time somebody got through.
const MOVED: u16 = 200;

/// Bounds of one transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) appends: usize,
    pub(crate) bytes: usize,
    pub(crate) timeout: Duration,
}

pub(crate) struct Flusher {
    db: Database,
    bounds: Bounds,
    memory: Memory,
    /// Rung when records are durable.
    bell: Arc<Notify>,
}

/// Appends that are written together.
struct Batch {
    appends: Vec<Pending>,
    /// Whether it may be taken apart and tried again.
    again: bool,
    /// How often somebody else was first with a budget.
    moved: u16,
}

impl Batch {
    const fn new(appends: Vec<Pending>, again: bool) -> Self {
        Self { appends, again, moved: 0 }
    }
}

/// The result of each append of a batch; `None` is a success.
type Results = Vec<Option<AppendError>>;

impl Flusher {
    pub(crate) fn new(db: Database, bounds: Bounds, bell: Arc<Notify>) -> Self {
        Self { db, bounds, memory: Memory::default(), bell }
    }

    /// Works until nobody can append any more and everything is written.
    pub(crate) async fn run(mut self, mut queue: UnboundedReceiver<Pending>) {
        let mut waiting = Vec::new();
        while queue.recv_many(&mut waiting, self.bounds.appends).await > 0 {
            let mut rest = waiting.drain(..).peekable();
            let mut batches = VecDeque::new();
            while rest.peek().is_some() {
                let mut bytes = 0;
                let mut batch: Vec<Pending> = Vec::new();
                while let Some(p) = rest.next_if(|p| batch.is_empty() || bytes + p.size() <= self.bounds.bytes) {
                    bytes += p.size();
                    batch.push(p);
                }
                batches.push_back(Batch::new(batch, true));
            }
            self.flush(batches).await;
        }
    }

    /// Writes batches in their order.
    async fn flush(&mut self, mut batches: VecDeque<Batch>) {
        while let Some(batch) = batches.pop_front() {
            match self.write(&batch.appends).await {
                Ok(results) => {
                    answer(batch.appends, results);
                    self.bell.notify_one();
                }
                Err(trouble) => {
                    // What was written, and by whom, must be looked up anew.
                    self.memory.clear();
                    self.settle(trouble, batch, &mut batches).await;
                }
            }
        }
    }

    /// Decides what becomes of a batch that was not written.
    async fn settle(&mut self, trouble: Trouble, batch: Batch, batches: &mut VecDeque<Batch>) {
        let Batch { appends: batch, again, moved } = batch;
        match trouble {
            Trouble::Moved if moved < MOVED => {
                batches.push_front(Batch { appends: batch, again, moved: moved + 1 });
            }
            Trouble::Fenced => {
                let results = match self.epochs().await {
                    Ok(epochs) => batch.iter().map(|p| fenced(p, &epochs)).collect::<Results>(),
                    Err(t) => return fail(batch, t, &self.db.place),
                };
                let (stale, fresh): (Vec<_>, Vec<_>) =
                    batch.into_iter().zip(results).partition(|(_, result)| result.is_some());
                if !fresh.is_empty() {
                    // An owner that changes all the time cannot keep this going for ever.
                    let fresh: Vec<_> = fresh.into_iter().map(|(p, _)| p).collect();
                    if stale.is_empty() && !again {
                        fail(fresh, Trouble::Fenced, &self.db.place);
                    } else {
                        batches.push_front(Batch::new(fresh, !stale.is_empty()));
                    }
                }
                let (stale, results) = stale.into_iter().unzip();
                answer(stale, results);
            }
            // One of them is at fault, or something was written meanwhile that was not known: each alone, once more.
            Trouble::Rejected(_) if again => {
                tracing::warn!(?trouble, appends = batch.len(), "a transaction was refused; trying each append alone");
                for pending in batch.into_iter().rev() {
                    batches.push_front(Batch::new(vec![pending], false));
                }
            }
            trouble => {
                tracing::warn!(?trouble, appends = batch.len(), "appends could not be written");
                fail(batch, trouble, &self.db.place);
            }
        }
    }

    async fn write(&mut self, batch: &[Pending]) -> Result<Results, Trouble> {
        // Under a new epoch somebody else may have written since this memory was filled.
        let epoch = batch.iter().map(|p| p.append.epoch).max().unwrap_or(0);
        if epoch != self.memory.epoch {
            self.memory.clear();
            self.memory.epoch = epoch;
        }
        let late = || Trouble::late(&self.db.place);
        let (client, found) =
            timeout(self.bounds.timeout, ready(&self.db, batch, &mut self.memory)).await.map_err(|_| late())??;
        let plan = Plan::new(batch, &mut self.memory, found);
        let prepared = timeout(self.bounds.timeout, write::prepare(&client, &plan))
            .await
            .map_err(|_| late())?
            .map_err(|e| Trouble::before(&self.db.place, &e))?;
        let trouble = match timeout(self.bounds.timeout, write::commit(&client, &prepared)).await {
            Ok(Ok(())) => return Ok(plan.refused),
            Ok(Err(e)) => Trouble::during(&self.db.place, &e),
            Err(_) => Trouble::Unknown(format!("{} does not answer in time", self.db.place)),
        };
        if matches!(trouble, Trouble::Unknown(_)) {
            // Whatever still comes over this connection belongs to nobody.
            drop(Object::take(client));
        }
        Err(trouble)
    }

    /// The epoch of every partition.
    async fn epochs(&self) -> Result<Vec<u64>, Trouble> {
        let client = self.db.client().await.map_err(Trouble::Unavailable)?;
        let rows = client
            .query("SELECT epoch FROM leases ORDER BY partition", &[])
            .await
            .map_err(|e| Trouble::before(&self.db.place, &e))?;
        Ok(rows.iter().map(|r| r.get::<_, i64>(0).unsigned_abs()).collect())
    }
}

/// A connection, and what must be known to plan the batch. Nothing has been written when this fails, so a connection
/// that has died in the meantime is simply replaced.
async fn ready(db: &Database, batch: &[Pending], memory: &mut Memory) -> Result<(Object, Found), Trouble> {
    let mut waits = BACK_OFF.iter();
    loop {
        let trouble = match db.writer.get().await {
            Ok(client) => {
                let questions = Questions::of(batch, memory);
                if questions.is_empty() {
                    return Ok((client, Found::default()));
                }
                match write::ask(&client, &questions, memory).await {
                    Ok(found) => return Ok((client, found)),
                    Err(e) => Trouble::before(&db.place, &e),
                }
            }
            Err(e) => Trouble::Unavailable(db.unreachable(&e)),
        };
        match waits.next() {
            Some(wait) => sleep(*wait).await,
            None => return Err(trouble),
        }
    }
}

fn fenced(pending: &Pending, epochs: &[u64]) -> Option<AppendError> {
    let current = epochs.get(usize::from(pending.append.partition)).copied().unwrap_or(u64::MAX);
    (current != pending.append.epoch).then_some(AppendError::Fenced { current })
}

fn answer(batch: Vec<Pending>, results: Results) {
    for (pending, result) in batch.into_iter().zip(results) {
        // A caller that has gone needs no answer.
        let _ = pending.ack.send(result.map_or(Ok(()), Err));
    }
}

fn fail(batch: Vec<Pending>, trouble: Trouble, place: &str) {
    let error = match trouble {
        Trouble::Rejected(error) | Trouble::Unavailable(error) => AppendError::Unavailable(error),
        Trouble::Unknown(text) => AppendError::Unknown(text),
        Trouble::Fenced => AppendError::Unavailable(unsettled(place)),
        Trouble::Moved => AppendError::Unavailable(contended(place)),
    };
    for pending in batch {
        let _ = pending.ack.send(Err(error.clone()));
    }
}
