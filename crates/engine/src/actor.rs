//! One loaded run: a task that owns its state, pays its debts and commits what comes back. There is at most one for
//! each run, and nobody else touches the state; so there is no lock on the way of a step.

use std::{
    future::poll_fn,
    panic::AssertUnwindSafe,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicI64},
    },
    time::Duration,
};

use futures_util::FutureExt;
use stead_core::{
    fact::StopMode,
    id::{ActivationId, LeafHash, Name, RunId},
    message::Reply,
    record::Actor as By,
    ruling::{Person, Signed},
    run::{Call, CallPhase, Command, Debt, Life, Phase, State, owes, wake_at},
    sandbox::BoxLimits,
    time::Timestamp,
};
use stead_policy::Principal;
use stead_ports::{
    BoxFuture,
    agent::Agent,
    journal::{AppendError, RunState},
};
use tokio::sync::oneshot;

use crate::{
    Engine,
    ear::Ear,
    flights::{Done, Flights, Key},
    hearing::Hearing,
    history::Book,
    messages::Messages,
    payload::Sealer,
    switches::{Whose, mode},
    types::EngineError,
    usage::Untold,
};

/// A wait shorter than this is spent in memory.
pub(crate) const SOON: i64 = 5_000_000;

/// Where an actor sends its answer: the run's children under way, or why not.
pub(crate) type ReplyTo = oneshot::Sender<Result<Vec<RunId>, EngineError>>;

/// What an actor is told.
pub(crate) enum Msg {
    /// Look at what is owed: after a start, or because a time has come.
    Wake,
    /// There is something in the inbox.
    Inbox,
    /// The session's foreground may be free.
    Admit,
    /// Someone asks for something and waits for the answer.
    Ask(Ask, By, ReplyTo),
    /// Finish what has been sent, begin nothing, and leave.
    Drain,
}

/// See [`Msg::Ask`].
#[derive(Clone)]
pub(crate) enum Ask {
    Pause,
    Resume,
    Stop(StopMode),
    /// Stop, if all runs of its tenant were stopped since it began.
    Heed,
    /// The person on whose behalf it works did something about it.
    Renew(Name),
    /// Other limits for its boxes.
    Limit(Box<BoxLimits>),
    Approve {
        effect: u32,
        approved: bool,
        by: Person,
        note: Option<String>,
        signed: Option<Box<Signed>>,
    },
}

/// How an actor gets its state.
pub(crate) enum Boot {
    /// From the journal.
    Load,
    /// It has just been made.
    New(Box<Born>),
}

/// A run as it was just made durable.
pub(crate) struct Born {
    pub(crate) state: Box<State>,
    pub(crate) prev: LeafHash,
    pub(crate) activation: ActivationId,
    pub(crate) agent: Arc<Agent>,
    /// Why `agent` only stands in for the one that cannot be loaded now.
    pub(crate) unloadable: Option<EngineError>,
    pub(crate) row: RunState,
    /// Records since its last snapshot.
    pub(crate) tail: u64,
}

/// See the module.
pub(crate) struct Actor {
    pub(crate) engine: Engine,
    pub(crate) run: RunId,
    pub(crate) state: Box<State>,
    pub(crate) prev: LeafHash,
    pub(crate) activation: ActivationId,
    pub(crate) agent: Arc<Agent>,
    /// See [`Born::unloadable`]; such a run only holds.
    pub(crate) unloadable: Option<EngineError>,
    pub(crate) ear: Ear,
    pub(crate) flights: Flights,
    /// Children whose start is known to be durable.
    pub(crate) started: Vec<u32>,
    /// Children that have said that they are stopping, and how hard.
    pub(crate) stopped: Vec<(u32, StopMode)>,
    /// The conversation as models read it.
    pub(crate) messages: Messages,
    /// The reply just received, to spare reading it back.
    pub(crate) fresh_reply: Option<Reply>,
    /// The conversation as provenance hears it, once it has been listened to.
    pub(crate) hearing: Option<Hearing>,
    /// Who the run is to policies, once they have been asked.
    pub(crate) principal: OnceLock<Arc<Principal>>,
    /// The counters of its tenant, once they were looked up.
    pub(crate) book: Option<Arc<Book>>,
    /// Whether something untrusted has been read, for connections that are under way.
    pub(crate) tainted: Arc<AtomicBool>,
    pub(crate) sealer: Sealer,
    /// The row as last written.
    pub(crate) row: RunState,
    /// Records since the last snapshot.
    pub(crate) tail: u64,
    pub(crate) untold: Untold,
    /// Whose it is to switches, once they were looked at.
    pub(crate) whose: OnceLock<Arc<Whose>>,
    /// Until when the person lets it work on their behalf, in microseconds since 1970: what is on its way out looks there last.
    pub(crate) until: Arc<AtomicI64>,
    /// The last switch by which the run was told to stop.
    pub(crate) heeded: u64,
    /// Agents whose budgets pay for the run, once it was asked.
    pub(crate) payers: Option<Vec<Name>>,
    pub(crate) draining: bool,
    /// Callers to be answered once no child is being started.
    pub(crate) acks: Vec<ReplyTo>,
    timer: Option<(Timestamp, BoxFuture<'static, ()>)>,
}

impl Actor {
    pub(crate) fn new(engine: Engine, run: RunId, born: Born, ear: Ear) -> Self {
        let Born { state, prev, activation, agent, unloadable, row, tail } = born;
        // At rest every run is treated as if the engine were about to end: what is asked is recorded, nothing begins.
        let draining = engine.0.options.at_rest;
        let until = state.behalf.delegated.map_or(i64::MAX, |delegated| delegated.until.0);
        Self {
            engine,
            run,
            state,
            prev,
            activation,
            agent,
            unloadable,
            ear,
            flights: Flights::default(),
            started: Vec::new(),
            stopped: Vec::new(),
            messages: Messages::default(),
            fresh_reply: None,
            hearing: None,
            principal: OnceLock::new(),
            book: None,
            tainted: Arc::default(),
            sealer: Sealer::default(),
            row,
            tail,
            untold: Untold::default(),
            whose: OnceLock::new(),
            until: Arc::new(AtomicI64::new(until)),
            heeded: 0,
            payers: None,
            draining,
            acks: Vec::new(),
            timer: None,
        }
    }

    /// Lives until there is nothing to do. An error means that the store is gone or another owner has the run: what was
    /// under way is dropped, and whoever loads the run next settles it from the journal.
    pub(crate) async fn work(&mut self) -> Result<(), EngineError> {
        let outcome = self.work_on().await;
        if outcome.is_err() {
            self.flights.retain(|_| false);
            self.release_tools().await;
        }
        outcome
    }

    async fn work_on(&mut self) -> Result<(), EngineError> {
        loop {
            while let Some(msg) = self.ear.heard.pop_front() {
                self.hear(msg).await?;
            }
            self.turn().await?;
            if !self.may_leave() {
                continue;
            }
            self.release_tools().await;
            match self.engine.0.leave(self.run, &mut self.ear.mailbox) {
                Ok(()) => {
                    self.left();
                    return Ok(());
                }
                Err(msg) => self.hear(msg).await?,
            }
        }
    }

    /// Pays what is owed, then takes one thing that comes.
    async fn turn(&mut self) -> Result<(), EngineError> {
        self.pay().await?;
        self.acknowledge();
        if self.may_leave() {
            return Ok(());
        }
        self.set_timer();
        enum Came {
            Done(Key, Done),
            Msg(Option<Msg>),
            Time,
        }
        let came = {
            let Self { flights, ear, timer, .. } = self;
            poll_fn(|cx| {
                use std::task::Poll;
                if let Poll::Ready((key, done)) = flights.poll_next(cx) {
                    return Poll::Ready(Came::Done(key, done));
                }
                if let Poll::Ready(msg) = ear.mailbox.poll_recv(cx) {
                    return Poll::Ready(Came::Msg(msg));
                }
                match timer {
                    Some((_, t)) => t.as_mut().poll(cx).map(|()| Came::Time),
                    None => Poll::Pending,
                }
            })
            .await
        };
        match came {
            Came::Done(key, done) => self.done(key, done).await,
            Came::Msg(Some(msg)) => self.hear(msg).await,
            Came::Msg(None) => Err(EngineError::Draining),
            Came::Time => {
                self.timer = None;
                self.commit(Command::Tick, By::Runtime).await
            }
        }
    }

    async fn hear(&mut self, msg: Msg) -> Result<(), EngineError> {
        match msg {
            Msg::Wake => self.commit(Command::Tick, By::Runtime).await,
            Msg::Inbox => self.take_inbox().await,
            Msg::Admit => self.admit().await,
            Msg::Drain => {
                self.draining = true;
                Ok(())
            }
            Msg::Ask(ask, by, reply) => self.asked(ask, by, reply).await,
        }
    }

    async fn asked(&mut self, ask: Ask, by: By, reply: ReplyTo) -> Result<(), EngineError> {
        if let Some(error) = self.refuses(&ask) {
            let _ = reply.send(Err(error.clone()));
            return Ok(());
        }
        let dispatched = self.flights.sent_effects();
        let mut heeds = 0;
        let command = match ask.clone() {
            Ask::Pause => Command::Pause,
            Ask::Resume => Command::Resume,
            Ask::Renew(by) => Command::Renew { by },
            Ask::Stop(mode) => Command::Stop { mode, dispatched },
            Ask::Heed => {
                let Some(row) = self.stopped_by() else {
                    let _ = reply.send(Ok(Vec::new()));
                    return Ok(());
                };
                heeds = row.n;
                Command::Stop { mode: mode(&row), dispatched }
            }
            Ask::Limit(limits) => Command::LimitBoxes(*limits),
            Ask::Approve { effect, approved, by, note, signed } => {
                Command::Approve { effect, approved, by, note, signed }
            }
        };
        let closing = matches!(command, Command::Stop { .. } | Command::Pause);
        match self.try_commit(command, by).await {
            Ok(()) if closing => {
                self.heeded = self.heeded.max(heeds);
                self.acks.push(reply);
            }
            Ok(()) if matches!(ask, Ask::Limit(_)) => {
                self.limit_boxes().await;
                drop(reply.send(Ok(Vec::new())));
            }
            Ok(()) => drop(reply.send(Ok(self.children_under_way()))),
            Err(error @ EngineError::Conflict { .. }) => drop(reply.send(Err(error))),
            // Nothing was written, so nothing has changed: the run goes on, and whoever asked may ask again.
            Err(EngineError::Append(AppendError::Unavailable(cause))) => drop(reply.send(Err(ask.unrecorded(cause)))),
            Err(error) => {
                let _ = reply.send(Err(error.clone()));
                return Err(error);
            }
        }
        Ok(())
    }

    /// A stop or a pause is acknowledged when no child can appear any more that was not named in the answer.
    fn acknowledge(&mut self) {
        if self.acks.is_empty() || self.flights.any(|k| matches!(k, Key::StartChild(_))) {
            return;
        }
        let children = self.children_under_way();
        for reply in self.acks.drain(..) {
            let _ = reply.send(Ok(children.clone()));
        }
    }

    pub(crate) fn children_under_way(&self) -> Vec<RunId> {
        self.state
            .calls
            .iter()
            .filter_map(|c| match c.phase {
                CallPhase::Child { child, .. } => Some(child),
                _ => None,
            })
            .collect()
    }

    /// Whether nothing is under way and nothing will happen soon.
    fn may_leave(&self) -> bool {
        if self.state.life.ended() || self.state.life == Life::Queued {
            return self.acks.is_empty();
        }
        let idle = self.flights.is_empty() && self.acks.is_empty();
        idle && (self.holds() || (!self.state.working() && !self.wakes_soon() && !self.owes_a_child()))
    }

    /// Whether a child must still be started or told to stop; a wait for one that runs, or is stopping, needs no memory. A
    /// parent that kept its place meanwhile could keep it from its own child.
    fn owes_a_child(&self) -> bool {
        owes(&self.state, self.activation, self.engine.0.ports.clock.now()).any(|debt| match debt {
            Debt::StartChild { effect, .. } => !self.started.contains(&effect),
            Debt::StopChild { effect, mode, .. } => !self.stopped.contains(&(effect, mode)),
            _ => false,
        })
    }

    /// Whether nothing may begin any more.
    pub(crate) fn holds(&self) -> bool {
        self.draining || self.unloadable.is_some() || self.engine.0.is_draining() || self.is_off()
    }

    fn wakes_soon(&self) -> bool {
        is_soon(&self.state, self.engine.0.ports.clock.now())
    }

    /// One timer for the earliest wait; one set too early only looks again.
    fn set_timer(&mut self) {
        // What is due begins nothing while this process only finishes: the next one looks at it.
        if self.holds() {
            return self.timer = None;
        }
        let Some(at) = wake_at(&self.state, self.engine.0.ports.clock.now()) else { return self.timer = None };
        if self.timer.as_ref().is_none_or(|(t, _)| at < *t) {
            self.timer = Some((at, self.engine.0.ports.clock.sleep_until(at)));
        }
    }

    /// The run has left memory; what waits for a time is woken by the engine.
    fn left(&self) {
        if !self.state.life.ended()
            && let Some(at) = wake_at(&self.state, self.engine.0.ports.clock.now())
        {
            self.engine.0.wakes.at(at);
        }
    }

    /// Closes what the tools hold open for this run.
    async fn release_tools(&mut self) {
        // Tools that do not let go must not keep the run in memory.
        const PATIENCE: Duration = Duration::from_secs(10);
        let agent = self.agent.clone();
        let releases = agent.tools.iter().filter_map(|tool| match &tool.behind {
            stead_ports::agent::Behind::Tool(t) => Some(t.release(self.run)),
            stead_ports::agent::Behind::Agent(..) => None,
        });
        let all = AssertUnwindSafe(futures_util::future::join_all(releases)).catch_unwind();
        let _ = tokio::time::timeout(PATIENCE, all).await;
    }

    /// Tells the tools what limits the run's boxes have now.
    async fn limit_boxes(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(10);
        let (agent, limits) = (self.agent.clone(), self.state.box_limits.clone());
        let boxed = agent.tools.iter().filter(|tool| tool.rules.place.is_some_and(|p| p.boxed));
        let told = boxed.filter_map(|tool| match &tool.behind {
            stead_ports::agent::Behind::Tool(t) => Some(t.limit(self.run, limits.clone())),
            stead_ports::agent::Behind::Agent(..) => None,
        });
        let all = AssertUnwindSafe(futures_util::future::join_all(told)).catch_unwind();
        let _ = tokio::time::timeout(PATIENCE, all).await;
    }

    /// Whether the model call of this attempt is still what the run waits for.
    pub(crate) fn awaits_model(&self, turn: u32, attempt: u32) -> bool {
        self.state.turn == turn && matches!(self.state.phase, Phase::Model { attempt: a, .. } if a == attempt)
    }
}

/// Whether a state's next wake, or a question that it has to ask, is so near that it stays in memory.
pub(crate) fn is_soon(state: &State, now: Timestamp) -> bool {
    let near = |at: Timestamp| at.0.saturating_sub(now.0) < SOON;
    let asks = |c: &Call| matches!(c.phase, CallPhase::Reconcile { at, .. } if near(at));
    wake_at(state, now).is_some_and(near) || (state.life == Life::Live && !state.paused && state.calls.iter().any(asks))
}
