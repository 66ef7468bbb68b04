//! The counters of one tenant in memory: what is durable, what is under way, and which of them are known yet.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use stead_core::{
    fact::Fact,
    id::{Name, RunId},
    message::Reply,
    run::{Decision, State},
    time::Timestamp,
};
use stead_policy::{By, Counter, Event, Mark, Policies, Scope, Tally};
use stead_ports::journal::Journal;
use tokio::{
    sync::{OnceCell, mpsc, watch},
    time::Instant,
};

use super::{
    calls::{Calls, inline},
    row::{self, EventId, Placed},
};
use crate::{Engine, types::EngineError};

/// Sets whose counters' names are kept.
const SETS: usize = 1_024;
/// Counters of a tenant that are folded at once; beyond, the one that was asked for the longest ago is given up.
const MAX_TALLIES: usize = 512;
/// How long decisions wait for counters that are new; then they deny what asks for them until they are known.
const PATIENCE: Duration = Duration::from_secs(10);
/// Marks of new counters that are remembered while journals are read.
pub(super) const MAX_SINCE: usize = 1_000_000;

/// The counters that a set asks for: their ids, by name.
pub(crate) type Names = BTreeMap<String, u64>;

/// The books of all tenants.
#[derive(Default)]
pub(crate) struct Books(Mutex<HashMap<Name, Arc<Book>>>);

impl Books {
    /// A tenant's.
    pub(crate) fn of(&self, tenant: &Name) -> Arc<Book> {
        let mut books = self.0.lock();
        if let Some(book) = books.get(tenant) {
            return book.clone();
        }
        let book = Arc::new(Book::new(tenant.clone()));
        books.insert(tenant.clone(), book.clone());
        book
    }
}

/// See the module.
pub(crate) struct Book {
    pub(super) tenant: Name,
    inside: Mutex<Inside>,
    loaded: OnceCell<()>,
    /// Told when something that was under way is durable, or is not to be.
    settled: watch::Sender<()>,
    /// Told when new counters are known.
    known: watch::Sender<()>,
    /// Held by whoever changes what is kept.
    pub(super) keeper: tokio::sync::Mutex<()>,
}

/// A counter in memory.
pub(super) struct Live {
    pub(super) tally: Tally,
    /// What was added since it is new, as long as its past is not known.
    pub(super) since: Option<Vec<Placed>>,
    /// When it was last asked for, in the order of sets.
    asked: u64,
}

/// What is under way in a scope of a counter: by ticket, and how many calls that is with which sum.
#[derive(Default)]
pub(super) struct UnderWay {
    tickets: BTreeMap<u64, Vec<(Timestamp, Mark)>>,
    pub(super) calls: (i128, i128),
}

impl UnderWay {
    fn add(&mut self, ticket: u64, at: Timestamp, mark: Mark) {
        self.count(mark, 1);
        self.tickets.entry(ticket).or_default().push((at, mark));
    }

    fn release(&mut self, ticket: u64) {
        for (_, mark) in self.tickets.remove(&ticket).into_iter().flatten() {
            self.count(mark, -1);
        }
    }

    fn count(&mut self, mark: Mark, by: i128) {
        if let Mark::Call(amount) = mark {
            self.calls = (self.calls.0 + by, self.calls.1 + by * i128::from(amount));
        }
    }

    pub(super) fn marks(&self) -> impl Iterator<Item = &(Timestamp, Mark)> {
        self.tickets.values().flatten()
    }
}

/// What a book has.
pub(crate) struct Inside {
    pub(super) tallies: BTreeMap<u64, Live>,
    under_way: HashMap<(u64, String), UnderWay>,
    /// The events of it.
    pub(super) ids: HashSet<EventId>,
    next_ticket: u64,
    /// Held by every append under way that was decided under the present counters.
    round: (mpsc::Sender<()>, mpsc::Receiver<()>),
    /// By the address of a set, which is no other one's as long as it is held here.
    names: HashMap<usize, (Weak<Policies>, Arc<Names>)>,
    asked: u64,
    patience: Option<Instant>,
    /// Rows since counters were kept.
    rows: u64,
}

impl Book {
    fn new(tenant: Name) -> Self {
        let inside = Inside {
            tallies: BTreeMap::new(),
            under_way: HashMap::new(),
            ids: HashSet::new(),
            next_ticket: 0,
            round: mpsc::channel(1),
            names: HashMap::new(),
            asked: 0,
            patience: None,
            rows: 0,
        };
        Self {
            tenant,
            inside: Mutex::new(inside),
            loaded: OnceCell::new(),
            settled: watch::Sender::new(()),
            known: watch::Sender::new(()),
            keeper: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock()
    }

    /// Told from now on when something under way is settled.
    pub(crate) fn settled(&self) -> watch::Receiver<()> {
        self.settled.subscribe()
    }

    /// Reads what is kept, once: before the first append of the tenant that this engine makes, so that none is missed.
    pub(crate) async fn load(self: &Arc<Self>, engine: &Engine) -> Result<(), EngineError> {
        self.loaded
            .get_or_try_init(|| async {
                let (tallies, rows) = self.kept(engine.journal()).await?;
                let mut inside = self.lock();
                inside.rows = rows;
                let live = |(id, tally)| (id, Live { tally, since: None, asked: 0 });
                inside.tallies = tallies.into_iter().map(live).collect();
                drop(inside);
                self.keep_if_due(engine);
                Ok::<(), EngineError>(())
            })
            .await
            .copied()
    }

    /// The counters that a set asks for. Those that are new are counted from here on, and their past is read.
    pub(crate) fn names(self: &Arc<Self>, engine: &Engine, policies: &Arc<Policies>) -> Arc<Names> {
        let place = Arc::as_ptr(policies) as usize;
        let mut inside = self.lock();
        if let Some((_, names)) = inside.names.get(&place) {
            return names.clone();
        }
        let counters = policies.world().counters();
        let names: Arc<Names> = Arc::new(counters.iter().map(|(name, counter)| (name.clone(), counter.id())).collect());
        inside.asked += 1;
        let asked = inside.asked;
        let mut new = false;
        for counter in counters.values() {
            new |= inside.admit(counter, asked);
        }
        if inside.names.len() >= SETS {
            inside.names.clear();
        }
        inside.names.insert(place, (Arc::downgrade(policies), names.clone()));
        if new {
            inside.patience = Some(Instant::now() + PATIENCE);
            drop(inside);
            self.fill(engine);
        }
        names
    }

    /// Waits until these counters are known, or no longer than is bearable.
    pub(crate) async fn known(&self, names: &Names) {
        let mut known = self.known.subscribe();
        loop {
            let until = {
                let inside = self.lock();
                let new = |id| inside.tallies.get(id).is_none_or(|live| live.since.is_some());
                match inside.patience {
                    Some(until) if names.values().any(new) => until,
                    _ => return,
                }
            };
            if !matches!(tokio::time::timeout_at(until, known.changed()).await, Ok(Ok(()))) {
                return;
            }
        }
    }

    pub(super) fn told_known(&self) {
        self.known.send_replace(());
    }

    /// A digest of a value as it is kept: keyed, so that nobody who reads the database can try values.
    pub(super) fn sealed(&self, journal: &dyn Journal, value: [u8; 16]) -> [u8; 16] {
        let keyed = journal.blob_id(&self.tenant, &value).0;
        std::array::from_fn(|n| keyed[n])
    }

    /// What an event is to a counter, as it is kept.
    pub(super) fn mark(&self, journal: &dyn Journal, counter: &Counter, event: &Event<'_>) -> Option<Mark> {
        Some(match counter.mark(event)? {
            Mark::Value(value) => Mark::Value(self.sealed(journal, value)),
            mark => mark,
        })
    }

    /// Counts what a decision says, from now on and until its append fails.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        inside: &mut Inside,
        journal: &dyn Journal,
        (state, decision): (&State, &Decision),
        reply: Option<&Reply>,
    ) -> Reserved {
        let mut reserved = Reserved {
            book: self.clone(),
            ticket: 0,
            run: state.run,
            at: decision.at,
            ended: false,
            marks: Vec::new(),
            _round: inside.round.0.clone(),
        };
        if inside.tallies.is_empty() {
            return reserved;
        }
        reserved.ended =
            decision.state.life.ended() && inside.tallies.values().any(|live| live.tally.counter().by == By::Run);
        let mut calls = Calls::open(state, reply);
        let place = Place::of(state);
        for fact in &decision.facts {
            let anew = match fact {
                Fact::EffectDecided(f) => f.rewritten.as_deref().map(|r| r.arguments),
                _ => None,
            };
            let anew = anew.and_then(|ix| decision.payloads.get(usize::from(ix))).and_then(inline);
            let Some((effect, happened)) = calls.tell(fact, reply, anew.as_deref()) else { continue };
            let Some(call) = calls.get(effect) else { continue };
            let event = Event {
                at: decision.at,
                scope: place.scope(&self.tenant),
                tool: &call.tool,
                arguments: call.arguments.as_deref(),
                happened,
            };
            for (counter, live) in &inside.tallies {
                if let Some(mark) = self.mark(journal, live.tally.counter(), &event) {
                    let scope = live.tally.counter().by.of(&event.scope).to_owned();
                    let id = EventId::new(state.run, effect, happened);
                    reserved.marks.push(Placed { id, counter: *counter, scope, at: decision.at, mark });
                }
            }
        }
        if !reserved.marks.is_empty() {
            inside.next_ticket += 1;
            reserved.ticket = inside.next_ticket;
            for Placed { id, counter, scope, at, mark } in &reserved.marks {
                inside.ids.insert(*id);
                let under_way = inside.under_way.entry((*counter, scope.clone())).or_default();
                under_way.add(reserved.ticket, *at, *mark);
            }
        }
        reserved
    }
}

/// Where a run counts, as texts.
pub(crate) struct Place {
    agent: Name,
    session: String,
    run: String,
}

impl Place {
    pub(crate) fn of(state: &State) -> Self {
        Self { agent: state.agent.clone(), session: state.works_for().to_string(), run: state.run.to_string() }
    }

    pub(crate) fn scope<'a>(&'a self, tenant: &'a Name) -> Scope<'a> {
        Scope { tenant, agent: &self.agent, session: &self.session, run: &self.run }
    }
}

impl Inside {
    /// Whether a counter is new here.
    fn admit(&mut self, counter: &Counter, asked: u64) -> bool {
        let id = counter.id();
        if let Some(live) = self.tallies.get_mut(&id) {
            live.asked = asked;
            return false;
        }
        let live = Live { tally: Tally::new(counter.clone()), since: Some(Vec::new()), asked };
        self.tallies.insert(id, live);
        true
    }

    /// Counters to give up, so that there is room for those that were asked for later.
    pub(super) fn surplus(&self) -> Vec<u64> {
        let mut by_age: Vec<(u64, u64)> = self.tallies.iter().map(|(id, live)| (live.asked, *id)).collect();
        by_age.sort_unstable();
        let most = by_age.len().saturating_sub(MAX_TALLIES);
        by_age.into_iter().take(most).filter(|(asked, _)| *asked < self.asked).map(|(_, id)| id).collect()
    }

    /// Counts these no more. Who asks for one of them again finds it new.
    pub(super) fn give_up(&mut self, surplus: &[u64]) {
        self.tallies.retain(|id, _| !surplus.contains(id));
        self.names.retain(|_, (_, names)| !names.values().any(|id| surplus.contains(id)));
    }

    /// A counter, with what is under way in a scope of it.
    pub(super) fn look(&self, counter: u64, scope: &str) -> Option<(&Live, Option<&UnderWay>)> {
        let live = self.tallies.get(&counter)?;
        if self.under_way.is_empty() {
            return Some((live, None));
        }
        Some((live, self.under_way.get(&(counter, scope.to_owned()))))
    }

    /// The counters that a run's calls are told to.
    pub(super) fn counters(&self) -> impl Iterator<Item = (u64, &Counter)> {
        self.tallies.iter().map(|(id, live)| (*id, live.tally.counter()))
    }

    /// Whether arguments matter to one of them.
    pub(crate) fn looks_at_arguments(&self) -> bool {
        self.tallies.values().any(|live| live.tally.counter().has_argument())
    }

    /// For tests: a counter that is known, with one call under way.
    #[cfg(test)]
    pub(super) fn pretend(&mut self, counter: &Counter) {
        self.admit(counter, 0);
        if let Some(live) = self.tallies.get_mut(&counter.id()) {
            live.since = None;
        }
        self.under_way.entry((counter.id(), String::new())).or_default().add(1, Timestamp(1), Mark::Call(1));
    }

    pub(super) fn rows(&mut self) -> &mut u64 {
        &mut self.rows
    }

    /// From here on appends belong to another round; tells when those of the one before are settled.
    pub(super) fn next_round(&mut self) -> mpsc::Receiver<()> {
        std::mem::replace(&mut self.round, mpsc::channel(1)).1
    }

    fn release(&mut self, ticket: u64, marks: &[Placed]) {
        for Placed { id, counter, scope, .. } in marks {
            self.ids.remove(id);
            let key = (*counter, scope.clone());
            if let Some(under_way) = self.under_way.get_mut(&key) {
                under_way.release(ticket);
                if under_way.tickets.is_empty() {
                    self.under_way.remove(&key);
                }
            }
        }
    }
}

/// What an append under way adds. Dropped before it is durable, it adds nothing.
#[must_use]
pub(crate) struct Reserved {
    book: Arc<Book>,
    ticket: u64,
    run: RunId,
    at: Timestamp,
    ended: bool,
    marks: Vec<Placed>,
    _round: mpsc::Sender<()>,
}

impl Reserved {
    /// What the append must carry.
    pub(crate) fn row(&self) -> Option<Bytes> {
        (self.ended || !self.marks.is_empty()).then(|| row::encode(self.run, self.at, self.ended, &self.marks))
    }

    /// The append is durable.
    pub(crate) fn durable(mut self, engine: &Engine) {
        let marks = std::mem::take(&mut self.marks);
        if marks.is_empty() && !self.ended {
            return;
        }
        let mut inside = self.book.lock();
        inside.release(self.ticket, &marks);
        inside.rows += 1;
        for placed in marks {
            let Some(live) = inside.tallies.get_mut(&placed.counter) else { continue };
            live.tally.add(&placed.scope, placed.at, placed.mark);
            if let Some(since) = &mut live.since
                && since.len() <= MAX_SINCE
            {
                since.push(placed);
            }
        }
        if self.ended {
            let run = self.run.to_string();
            let of_runs = inside.tallies.values_mut().filter(|live| live.tally.counter().by == By::Run);
            of_runs.for_each(|live| live.tally.forget(&run));
        }
        drop(inside);
        self.book.settled.send_replace(());
        self.book.keep_if_due(engine);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.marks.is_empty() {
            self.book.lock().release(self.ticket, &self.marks);
            self.book.settled.send_replace(());
        }
    }
}
