//! What all actors of an engine share: ports, bounds, and the register of who is loaded.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use parking_lot::Mutex;
use stead_core::id::RunId;
use tokio::sync::{Notify, Semaphore, mpsc};

use crate::{
    Engine,
    actor::{self, Boot, Msg},
    lease::{Gate, TTL},
    sessions::Sessions,
    stats::Counters,
    stream::Rooms,
    types::{EngineError, Options, Ports},
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
    pub(crate) waiters: Waiters,
    pub(crate) sessions: Sessions,
    pub(crate) wakes: Wakes,
    /// Places in memory.
    pub(crate) slots: Arc<Semaphore>,
    /// Model calls that may be under way.
    pub(crate) models: Semaphore,
    /// Tool calls that may be under way.
    pub(crate) tools: Semaphore,
    register: [Mutex<HashMap<RunId, mpsc::Sender<Msg>>>; SHARDS],
    registered: AtomicUsize,
    draining: AtomicBool,
    /// Told whenever an actor leaves while draining.
    pub(crate) left: Notify,
    /// Told when the engine is to stop at once: drained, or its lease is lost.
    pub(crate) stopped: Arc<Notify>,
    pub(crate) dead: AtomicBool,
}

impl Inner {
    pub(crate) async fn open(ports: Ports, options: Options) -> Result<Arc<Self>, EngineError> {
        let asked = ports.clock.boot_micros();
        let lease = ports.journal.acquire(&options.holder, TTL).await?;
        Ok(Arc::new(Self {
            lease: Gate::new(lease, asked),
            counters: Counters::default(),
            rooms: Rooms::new(options.stream_buffer),
            waiters: Waiters::default(),
            sessions: Sessions::default(),
            wakes: Wakes::default(),
            slots: Arc::new(Semaphore::new(options.max_active)),
            models: Semaphore::new(options.max_model_calls),
            tools: Semaphore::new(options.max_tool_calls),
            register: std::array::from_fn(|_| Mutex::default()),
            registered: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            left: Notify::new(),
            stopped: Arc::new(Notify::new()),
            dead: AtomicBool::new(false),
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
            return actor.try_send(msg).map_err(|_| EngineError::Overloaded { limit: MAILBOX });
        }
        self.admit()?;
        let (tx, rx) = mpsc::channel(MAILBOX);
        tx.try_send(msg).map_err(|_| EngineError::Overloaded { limit: MAILBOX })?;
        shard.insert(run, tx);
        drop(shard);
        actor::spawn(engine.clone(), run, rx, Boot::Load);
        Ok(())
    }

    /// Registers and spawns the actor of a run that has just been made.
    pub(crate) fn launch(&self, engine: &Engine, run: RunId, boot: Boot) {
        let (tx, rx) = mpsc::channel(MAILBOX);
        if self.shard(run).lock().insert(run, tx).is_none() {
            self.registered.fetch_add(1, SeqCst);
        }
        actor::spawn(engine.clone(), run, rx, boot);
    }

    /// Whether one more actor may come.
    fn admit(&self) -> Result<(), EngineError> {
        if self.is_draining() {
            return Err(EngineError::Draining);
        }
        self.registered.fetch_add(1, SeqCst);
        Ok(())
    }

    /// Whether another run may be started.
    pub(crate) fn has_room(&self) -> Result<(), EngineError> {
        if self.is_draining() {
            return Err(EngineError::Draining);
        }
        let limit = self.options.max_active.saturating_add(self.options.max_backlog);
        if self.registered.load(SeqCst) >= limit { Err(EngineError::Overloaded { limit }) } else { Ok(()) }
    }

    /// An actor leaves if its mailbox is empty; `false` means that it must stay.
    pub(crate) fn leave(&self, run: RunId, mailbox: &mut mpsc::Receiver<Msg>) -> Result<(), Msg> {
        let mut shard = self.shard(run).lock();
        if let Ok(msg) = mailbox.try_recv() {
            return Err(msg);
        }
        shard.remove(&run);
        drop(shard);
        self.registered.fetch_sub(1, SeqCst);
        self.rooms.leave(run);
        if self.is_draining() {
            self.left.notify_waiters();
        }
        Ok(())
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(SeqCst)
    }

    /// Runs in memory, and runs in memory or waiting for it.
    pub(crate) fn loaded(&self) -> (u64, u64) {
        let loaded = self.options.max_active - self.slots.available_permits().min(self.options.max_active);
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
        // The lease ends by itself if the store is away.
        let _ = self.ports.journal.release(self.lease.lease).await;
    }
}
