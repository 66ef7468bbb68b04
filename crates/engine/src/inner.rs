//! What all actors of an engine share: ports, bounds, and the register of who is loaded.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use parking_lot::Mutex;
use stead_core::{id::RunId, record::Actor as By};
use tokio::sync::{Notify, Semaphore, mpsc, mpsc::error::TrySendError};

use crate::{
    Engine,
    actor::{Boot, Msg},
    aside::Asides,
    bell::Bell,
    carries::Carries,
    enter,
    history::Books,
    lease::{Gate, TTL},
    log::Log,
    providers::Accounts,
    sessions::Sessions,
    stats::Counters,
    stream::Rooms,
    switches::Board,
    types::{EngineError, Options, Ports},
    uppers::Uppers,
    waiters::Waiters,
    wake::Wakes,
};

/// Messages that wait for one actor before callers are told to come back.
const MAILBOX: usize = 256;
/// Parts of the register, so that actors that come and go do not queue for one lock.
const SHARDS: usize = 64;

/// See the module.
pub(crate) struct Inner {
    pub(crate) ports: Ports,
    pub(crate) options: Options,
    pub(crate) lease: Gate,
    pub(crate) counters: Counters,
    pub(crate) rooms: Rooms,
    /// Whoever follows questions to people.
    pub(crate) bell: Bell,
    pub(crate) waiters: Waiters,
    pub(crate) sessions: Sessions,
    pub(crate) carries: Carries,
    /// What policies count, by tenant.
    pub(crate) books: Books,
    pub(crate) wakes: Wakes,
    /// Places in memory.
    pub(crate) slots: Arc<Semaphore>,
    /// Accounts at model providers.
    pub(crate) providers: Accounts,
    /// Budgets above runs.
    pub(crate) uppers: Uppers,
    /// What operators have turned off.
    pub(crate) board: Board,
    /// Model calls that may be under way.
    pub(crate) models: Semaphore,
    /// Tool calls that may be under way.
    pub(crate) tools: Semaphore,
    register: [Mutex<HashMap<RunId, mpsc::Sender<Msg>>>; SHARDS],
    /// Runs that are left alone.
    pub(crate) aside: Asides,
    /// The last id given to a run.
    last_run: Mutex<u128>,
    registered: AtomicUsize,
    draining: AtomicBool,
    /// Told whenever an actor leaves while draining.
    pub(crate) left: Notify,
    /// Told when the engine is to stop at once: drained, or its lease is lost.
    pub(crate) stopped: Arc<Notify>,
    pub(crate) dead: AtomicBool,
    /// The audit log, where one is kept.
    pub(crate) log: OnceLock<Log>,
}

impl Inner {
    pub(crate) async fn open(ports: Ports, options: Options) -> Result<Arc<Self>, EngineError> {
        let asked = ports.clock.boot_micros();
        let lease = ports.journal.acquire(&options.holder, TTL).await?;
        let uppers = Uppers::default();
        uppers.refresh(&ports.journal, ports.clock.now()).await?;
        let board = Board::open(ports.switches.clone(), lease.ttl.is_some(), &*ports.clock).await?;
        Ok(Arc::new(Self {
            lease: Gate::new(lease, asked),
            counters: Counters::default(),
            rooms: Rooms::new(options.stream_buffer),
            bell: Bell::new(ports.clock.random()),
            waiters: Waiters::default(),
            sessions: Sessions::default(),
            carries: Carries::default(),
            books: Books::default(),
            wakes: Wakes::default(),
            slots: Arc::new(Semaphore::new(options.max_active.min(Semaphore::MAX_PERMITS))),
            providers: Accounts::new(options.providers.clone(), ports.clock.clone()),
            uppers,
            board,
            models: Semaphore::new(options.max_model_calls.min(Semaphore::MAX_PERMITS)),
            tools: Semaphore::new(options.max_tool_calls.min(Semaphore::MAX_PERMITS)),
            register: std::array::from_fn(|_| Mutex::default()),
            aside: Asides::default(),
            last_run: Mutex::new(0),
            registered: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            left: Notify::new(),
            stopped: Arc::new(Notify::new()),
            dead: AtomicBool::new(false),
            log: OnceLock::new(),
            ports,
            options,
        }))
    }

    fn shard(&self, run: RunId) -> &Mutex<HashMap<RunId, mpsc::Sender<Msg>>> {
        &self.register[(run.0 as usize) % SHARDS]
    }

    /// Sends a message to a run's actor; loads the run if nobody has.
    pub(crate) fn tell(&self, engine: &Engine, run: RunId, msg: Msg) -> Result<(), EngineError> {
        let mut shard = self.shard(run).lock();
        if let Some(actor) = shard.get(&run) {
            return actor.try_send(msg).map_err(|e| match e {
                TrySendError::Full(_) => EngineError::Overloaded { limit: MAILBOX },
                // Actors are dropped without leaving only when the whole engine stops.
                TrySendError::Closed(_) => EngineError::Draining,
            });
        }
        if let Some(error) = self.aside.quarantine(run) {
            return Err(error);
        }
        // What callers ask for is bounded; what runs owe each other is bounded by the runs there are. A parent that must
        // stop its child gets through: it is one of those that fill the place.
        if matches!(&msg, Msg::Ask(_, by, _) if !matches!(by, By::Run(_))) {
            self.has_room()?;
        } else if self.is_draining() {
            return Err(EngineError::Draining);
        }
        let mailbox = self.enter(&mut shard, run);
        drop(shard);
        enter::spawn(engine.clone(), run, mailbox, Boot::Load, Some(msg));
        Ok(())
    }

    /// Loads a run if nobody has: one that is loaded looks at its own clock, one set aside is left alone. Tells whether
    /// it was loaded now.
    pub(crate) fn rouse(&self, engine: &Engine, run: RunId) -> bool {
        let mut shard = self.shard(run).lock();
        if shard.contains_key(&run) || self.aside.contains(run) || self.is_draining() {
            return false;
        }
        let mailbox = self.enter(&mut shard, run);
        drop(shard);
        enter::spawn(engine.clone(), run, mailbox, Boot::Load, Some(Msg::Wake));
        true
    }

    /// Lets every run in memory look at what is owed.
    pub(crate) fn shout(&self) {
        for shard in &self.register {
            for actor in shard.lock().values() {
                // One whose mailbox is full looks anyway.
                let _ = actor.try_send(Msg::Wake);
            }
        }
    }

    /// Registers a run that is about to be made, so that whoever hears of it first finds this mailbox. `None` when it is
    /// registered already.
    pub(crate) fn reserve(&self, run: RunId) -> Option<mpsc::Receiver<Msg>> {
        let mut shard = self.shard(run).lock();
        (!shard.contains_key(&run)).then(|| self.enter(&mut shard, run))
    }

    /// A run that was reserved and is not to be worked on now: it is forgotten, or loaded for what has come in.
    pub(crate) fn unreserve(&self, engine: &Engine, run: RunId, mut mailbox: mpsc::Receiver<Msg>) {
        if let Err(msg) = self.leave(run, &mut mailbox) {
            enter::spawn(engine.clone(), run, mailbox, Boot::Load, Some(msg));
        }
    }

    fn enter(&self, shard: &mut HashMap<RunId, mpsc::Sender<Msg>>, run: RunId) -> mpsc::Receiver<Msg> {
        let (tx, rx) = mpsc::channel(MAILBOX);
        shard.insert(run, tx);
        self.registered.fetch_add(1, SeqCst);
        rx
    }

    /// An id for a new run, greater than every one before: the runs of a session wait in the order of their ids.
    pub(crate) fn new_run(&self) -> RunId {
        let fresh = self.ports.clock.new_ulid();
        let mut last = self.last_run.lock();
        *last = if fresh > *last { fresh } else { last.saturating_add(1 + (fresh & 0xffff_ffff)) };
        RunId(*last)
    }

    /// Whether another run may be started.
    pub(crate) fn has_room(&self) -> Result<(), EngineError> {
        if self.is_draining() {
            return Err(EngineError::Draining);
        }
        let limit = self.options.max_active.saturating_add(self.options.max_backlog);
        if self.registered.load(SeqCst) >= limit { Err(EngineError::Overloaded { limit }) } else { Ok(()) }
    }

    /// An actor leaves if its mailbox is empty; otherwise it must stay for the message.
    pub(crate) fn leave(&self, run: RunId, mailbox: &mut mpsc::Receiver<Msg>) -> Result<(), Msg> {
        let mut shard = self.shard(run).lock();
        if let Ok(msg) = mailbox.try_recv() {
            return Err(msg);
        }
        shard.remove(&run);
        drop(shard);
        self.gone(run);
        Ok(())
    }

    /// An actor has died; its mailbox is gone with it.
    pub(crate) fn died(&self, run: RunId) {
        self.shard(run).lock().remove(&run);
        self.gone(run);
    }

    fn gone(&self, run: RunId) {
        self.registered.fetch_sub(1, SeqCst);
        self.rooms.unloaded(run);
        if self.is_draining() {
            self.left.notify_waiters();
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(SeqCst)
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(SeqCst)
    }

    /// Runs in memory, and runs in memory or waiting for it.
    pub(crate) fn loaded(&self) -> (u64, u64) {
        let loaded = self.options.max_active.saturating_sub(self.slots.available_permits());
        (loaded as u64, self.registered.load(SeqCst) as u64)
    }

    /// Stops everything at once: nothing more leaves, and no append of this engine can be taken any more.
    pub(crate) fn die(&self) {
        self.lease.lost();
        self.draining.store(true, SeqCst);
        self.dead.store(true, SeqCst);
        self.stopped.notify_waiters();
        self.rooms.close();
        self.waiters.wake_all();
    }

    pub(crate) async fn drain(&self, deadline: Duration) {
        self.draining.store(true, SeqCst);
        // Whoever waits for memory has begun nothing, and begins nothing now.
        self.slots.close();
        for shard in &self.register {
            for actor in shard.lock().values() {
                let _ = actor.try_send(Msg::Drain);
            }
        }
        let all_left = async {
            loop {
                let left = self.left.notified();
                if self.registered.load(SeqCst) == 0 {
                    return;
                }
                left.await;
            }
        };
        let _ = tokio::time::timeout(deadline, all_left).await;
        self.die();
        // The lease is needed for it.
        if let Some(log) = self.log.get() {
            log.finish().await;
        }
        // The lease ends by itself if the store is away.
        let _ = self.ports.journal.release(self.lease.lease).await;
    }
}
