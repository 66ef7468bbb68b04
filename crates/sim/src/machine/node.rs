//! One process: the runs it has loaded, and the way of a command through it. A command is decided on what is durable,
//! its record is sent to the store, and only an acknowledgement makes the new state the state.

use std::collections::{BTreeMap, VecDeque};

use stead_core::{
    fact::{Fact, StopMode},
    id::{ActivationId, LeafHash, RunId},
    record::{Actor, Header, Record, VERSION},
    run::{Admit, Command, Debt, Decision, GENESIS, Inputs, NewRun, State, decide, decide_holding, owes, wake_at},
    time::Timestamp,
};

use super::{
    event::{Ack, Begun, Event},
    history::Sim,
    store::{Append, Refused},
};
use crate::failure::{Check, violation};
use crate::plan::SECOND;

/// What a node is to do for a run.
#[derive(Clone, Debug)]
pub(super) enum Task {
    Start(Box<NewRun>),
    Machine {
        command: Box<Command>,
        clears: Option<Begun>,
    },
    Stop(StopMode),
    /// Become the session's foreground run.
    Promote,
}

#[derive(Debug)]
pub(super) struct Pending {
    task: Task,
    decision: Decision,
    append: Append,
}

/// A run in memory.
#[derive(Debug)]
pub(super) struct Loaded {
    /// `None` until its first record is durable.
    pub state: Option<State>,
    pub activation: ActivationId,
    pub leaf: LeafHash,
    pub begun: Vec<Begun>,
    pub queue: VecDeque<Task>,
    pub pending: Option<Pending>,
    /// The wait that a wake-up is set for.
    pub wake: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub epoch: u64,
    pub alive: bool,
    /// It is about to end: what it learns is recorded, and nothing begins.
    pub draining: bool,
    /// How often its store had been restored.
    pub life: u32,
    pub runs: BTreeMap<RunId, Loaded>,
}

impl Node {
    pub(super) fn new(epoch: u64, life: u32) -> Self {
        Self { epoch, alive: true, draining: false, life, runs: BTreeMap::new() }
    }
}

impl Loaded {
    pub(super) fn new(activation: ActivationId, state: Option<State>, leaf: LeafHash) -> Self {
        Self { state, activation, leaf, begun: Vec::new(), queue: VecDeque::new(), pending: None, wake: None }
    }

    /// The state as decided, durable or not.
    pub(super) fn decided(&self) -> Option<&State> {
        self.pending.as_ref().map(|p| &*p.decision.state).or(self.state.as_ref())
    }

    pub(super) fn has_recover(&self) -> bool {
        self.queue
            .iter()
            .chain(self.pending.as_ref().map(|p| &p.task))
            .any(|t| matches!(t, Task::Machine { command, .. } if matches!(**command, Command::Recover)))
    }

    fn forget(&mut self, task: &Task) {
        if let Task::Machine { clears: Some(clears), .. } = task {
            self.begun.retain(|b| b != clears);
        }
    }
}

impl Sim {
    /// Loads a run into a node, if it is not there: a fresh activation, the fold, and what it finds owed.
    pub(super) fn load(&mut self, n: usize, run: RunId) -> Check {
        if self.nodes[n].runs.contains_key(&run) || self.store.state(run).is_none_or(|s| s.life.ended()) {
            return Ok(());
        }
        let (state, leaf) = self.store.load(run)?;
        self.activations += 1;
        let loaded = Loaded::new(ActivationId(self.activations), Some(state), leaf);
        self.nodes[n].runs.insert(run, loaded);
        self.trace(|_| format!("node {n} loads {run}"));
        self.read_inbox(n, run)?;
        self.look_again(n, run);
        Ok(())
    }

    /// Gives a loaded or stored run something to do.
    pub(super) fn submit(&mut self, n: usize, run: RunId, task: Task) -> Check {
        self.load(n, run)?;
        let Some(loaded) = self.nodes[n].runs.get_mut(&run) else { return Ok(()) };
        loaded.queue.push_back(task);
        self.pump(n, run)
    }

    pub(super) fn command(&mut self, n: usize, run: RunId, command: Command, clears: Option<Begun>) -> Check {
        self.submit(n, run, Task::Machine { command: Box::new(command), clears })
    }

    /// Decides the next task of a run, if no append of it is under way.
    pub(super) fn pump(&mut self, n: usize, run: RunId) -> Check {
        loop {
            let Some(loaded) = self.nodes[n].runs.get_mut(&run) else { return Ok(()) };
            if loaded.pending.is_some() {
                return Ok(());
            }
            let Some(task) = loaded.queue.pop_front() else { break };
            let decision = match self.decide(n, run, &task)? {
                Some(decision) if !decision.facts.is_empty() => decision,
                nothing => {
                    // A stop of a run that is being stopped already is acknowledged too.
                    if nothing.is_some() && matches!(task, Task::Stop(_)) {
                        self.gates.insert(run);
                    }
                    self.trace(|_| format!("node {n} {run}: {} comes to nothing", brief(&task)));
                    self.came_to_nothing(n, run, &task)?;
                    continue;
                }
            };
            self.send(n, run, task, decision);
            return Ok(());
        }
        self.look_again(n, run);
        Ok(())
    }

    fn decide(&mut self, n: usize, run: RunId, task: &Task) -> Result<Option<Decision>, crate::failure::Violation> {
        let now = self.wall();
        let Some(loaded) = self.nodes[n].runs.get(&run) else { return Ok(None) };
        let inputs = Inputs { now, activation: loaded.activation, gate: &self.policies };
        let draining = self.nodes[n].draining;
        if let Task::Start(new) = task {
            let new = (**new).clone();
            return Ok(Some(if draining { new.decide_holding(inputs) } else { new.decide(inputs) }));
        }
        let decide = if draining { decide_holding } else { decide };
        let Some(state) = &loaded.state else { return Ok(None) };
        let command = match task {
            Task::Machine { command, .. } => (**command).clone(),
            Task::Stop(mode) => {
                let dispatched = loaded.begun.iter().filter_map(|(d, _)| match d {
                    Debt::Dispatch { effect } => Some(*effect),
                    _ => None,
                });
                Command::Stop { mode: *mode, dispatched: dispatched.collect() }
            }
            _ => Command::Admit(self.admission(state.session)),
        };
        let decision = decide(state, command.clone(), inputs);
        if self.rng.chance(10) {
            let again = decide(state, command, inputs);
            let same = match (&decision, &again) {
                (Ok(a), Ok(b)) => a.facts == b.facts && a.state == b.state && a.payloads == b.payloads,
                (Err(a), Err(b)) => a == b,
                _ => false,
            };
            if !same {
                return violation("deciding is pure", format!("{decision:?}, then {again:?}"));
            }
        }
        Ok(decision.ok())
    }

    pub(super) fn admission(&self, session: stead_core::id::SessionId) -> Admit {
        let head = self.store.sessions.get(&session).and_then(|s| s.head);
        Admit {
            base: head.map(|h| (h, Box::new(self.store.carry(h)))),
            grant: self.store.grant(session, &self.plan.session_limits),
        }
    }

    /// Encodes a decision and sends it to the store.
    fn send(&mut self, n: usize, run: RunId, task: Task, decision: Decision) {
        let node = &self.nodes[n];
        let loaded = &node.runs[&run];
        let seq = loaded.state.as_ref().map_or(0, |s| s.next_seq);
        let header = Header {
            v: VERSION,
            run,
            seq,
            at: decision.at,
            activation: loaded.activation,
            epoch: node.epoch,
            tenant: "sim".into(),
            actor: Actor::Runtime,
            salt: self.salts.bytes16(),
            subject_key: None,
        };
        let mut payloads = decision.payloads.clone();
        payloads.iter_mut().for_each(|payload| payload.blind = Some(self.salts.bytes16()));
        let record = Record { header, facts: decision.facts.clone(), payloads };
        let encoded = record.encode(loaded.leaf);
        let append = Append {
            run,
            seq,
            epoch: node.epoch,
            bytes: encoded.bytes.clone(),
            leaf: encoded.leaf,
            claims: record.facts.iter().any(|f| matches!(f, Fact::RunAdmitted(_))),
            policies: self.policies,
            expected: decision.state.clone(),
        };
        self.trace(|_| format!("node {n} {run}: {} -> record {seq}: {:?}", brief(&task), record.facts));
        if let Some(loaded) = self.nodes[n].runs.get_mut(&run) {
            loaded.pending = Some(Pending { task, decision, append });
        }
        self.transmit(n, run);
    }

    /// Sends the append under way to the store, which may take it, refuse it, or leave us in the dark.
    pub(super) fn transmit(&mut self, n: usize, run: RunId) {
        let Some(pending) = self.nodes[n].runs.get(&run).and_then(|l| l.pending.as_ref()) else { return };
        let append = pending.append.clone();
        let leaf = append.leaf;
        let arrive = self.latency();
        let faults = self.faults();
        if self.rng.chance(faults.append_refused) {
            self.agenda.add(arrive, Event::Ack { node: n, run, ack: Ack::Unavailable, leaf });
        } else if self.rng.chance(faults.append_unknown) {
            // Written in time, written late, or never.
            let back = arrive + self.rng.below(SECOND);
            if self.rng.chance(700) {
                let at = if self.rng.chance(500) { arrive } else { back + self.rng.below(SECOND) };
                self.agenda.add(at, Event::Arrive { node: None, append: Box::new(append) });
            }
            self.agenda.add(back, Event::Ack { node: n, run, ack: Ack::Unknown, leaf });
        } else {
            self.agenda.add(arrive, Event::Arrive { node: Some(n), append: Box::new(append) });
        }
    }

    pub(super) fn arrived(&mut self, node: Option<usize>, append: &Append) -> Check {
        let ack = match self.store.append(append)? {
            Ok(()) => {
                self.bell(append);
                Ack::Durable
            }
            Err(refused) => Ack::Refused(refused),
        };
        if let Some(node) = node {
            let back = self.latency();
            self.agenda.add(back, Event::Ack { node, run: append.run, ack, leaf: append.leaf });
        }
        Ok(())
    }

    pub(super) fn acked(&mut self, n: usize, run: RunId, ack: Ack, leaf: LeafHash) -> Check {
        let Some(loaded) = self.nodes[n].runs.get_mut(&run) else { return Ok(()) };
        if loaded.pending.as_ref().is_none_or(|p| p.append.leaf != leaf) {
            return Ok(());
        }
        self.trace(|_| format!("node {n} {run}: append is {ack:?}"));
        match ack {
            Ack::Durable => self.adopt(n, run),
            // The same record is sent again: one that was sent before may yet be written, and what has been decided
            // must not be decided differently until that is known.
            Ack::Unavailable => {
                let at = self.now + 100_000 + self.rng.below(SECOND);
                self.agenda.add(at, Event::Transmit { node: n, run });
                Ok(())
            }
            Ack::Unknown | Ack::Refused(Refused::Conflict) => {
                let at = self.latency();
                self.agenda.add(at, Event::ReadTail { node: n, run });
                Ok(())
            }
            Ack::Refused(Refused::Fenced) => {
                self.kill_node(n);
                Ok(())
            }
            Ack::Refused(Refused::SessionBusy | Refused::Tombstone) => {
                let pending = self.nodes[n].runs.get_mut(&run).and_then(|l| l.pending.take());
                self.nodes[n].runs.remove(&run);
                match pending.map(|p| p.task) {
                    Some(Task::Start(new)) if ack == Ack::Refused(Refused::SessionBusy) => {
                        self.begin_start(n, NewRun { admit: None, ..*new })
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    /// After an append of unknown result the tail is read again before anything else.
    pub(super) fn read_tail(&mut self, n: usize, run: RunId) -> Check {
        if !self.nodes[n].alive {
            return Ok(());
        }
        let Some(loaded) = self.nodes[n].runs.get_mut(&run) else { return Ok(()) };
        let Some(pending) = &loaded.pending else { return Ok(()) };
        let stored = self.store.runs.get(&run).and_then(|log| log.records.get(pending.append.seq as usize));
        match stored {
            Some((_, leaf)) if *leaf == pending.append.leaf => self.adopt(n, run),
            None => {
                self.transmit(n, run);
                Ok(())
            }
            // Somebody else has written here: start again from the journal.
            Some(_) => {
                let queue = std::mem::take(&mut loaded.queue);
                self.nodes[n].runs.remove(&run);
                self.load(n, run)?;
                queue.into_iter().try_for_each(|task| self.submit(n, run, task))
            }
        }
    }

    /// The append is durable: its state becomes the state.
    fn adopt(&mut self, n: usize, run: RunId) -> Check {
        let Some(loaded) = self.nodes[n].runs.get_mut(&run) else { return Ok(()) };
        let Some(Pending { task, decision, append }) = loaded.pending.take() else { return Ok(()) };
        loaded.leaf = append.leaf;
        loaded.forget(&task);
        let ended = decision.state.life.ended();
        let session = decision.state.session;
        loaded.state = Some(*decision.state);
        self.acknowledged.push((run, loaded.state.as_ref().map_or(0, |s| s.next_seq - 1), append.leaf));
        if matches!(task, Task::Stop(_)) {
            self.gates.insert(run);
        }
        self.people_see(run, &decision.facts);
        if ended {
            self.nodes[n].runs.remove(&run);
            return self.promote(n, session);
        }
        self.look_again(n, run);
        self.pump(n, run)
    }

    fn came_to_nothing(&mut self, n: usize, run: RunId, task: &Task) -> Check {
        if let Some(loaded) = self.nodes[n].runs.get_mut(&run) {
            loaded.forget(task);
        }
        if let Task::Machine { command, .. } = task
            && let Command::ChildFinished { effect, .. } = **command
            && let Some(rows) = self.store.inbox.get_mut(&run)
        {
            rows.retain(|r| r.effect != effect);
        }
        Ok(())
    }

    /// Sets the next look at a run: its debts soon, its wait when it is over.
    pub(super) fn look_again(&mut self, n: usize, run: RunId) {
        let (now, wall) = (self.now, self.wall());
        let Some(loaded) = self.nodes[n].runs.get_mut(&run) else { return };
        let Some(state) = &loaded.state else { return };
        let activation = loaded.activation;
        if loaded.begun.is_empty() || !owes(state, activation, wall).all(|d| loaded.begun.iter().any(|(b, _)| *b == d))
        {
            let delay = if self.rng.chance(150) { self.rng.below(SECOND) } else { self.rng.below(20_000) };
            self.agenda.add(now + delay, Event::Pay { node: n, run });
        }
        let wake = wake_at(state, wall);
        if wake != loaded.wake {
            loaded.wake = wake;
            if let Some(target) = wake {
                let wait = u64::try_from(target.0.saturating_sub(wall.0)).unwrap_or(0);
                self.agenda.add(now + wait, Event::Wake { node: n, run, target });
            }
        }
    }

    /// The foreground of a session is free: the next queued run takes it.
    pub(super) fn promote(&mut self, n: usize, session: stead_core::id::SessionId) -> Check {
        let next = self.store.sessions.get(&session).filter(|s| s.active.is_none()).and_then(|s| s.queued.front());
        match next.copied() {
            Some(run) => self.submit(n, run, Task::Promote),
            None => Ok(()),
        }
    }

    /// Starts a run; queued if its session is busy.
    pub(super) fn begin_start(&mut self, n: usize, new: NewRun) -> Check {
        let run = new.run;
        if self.store.runs.contains_key(&run) || self.nodes[n].runs.contains_key(&run) {
            return Ok(());
        }
        self.activations += 1;
        let mut loaded = Loaded::new(ActivationId(self.activations), None, GENESIS);
        loaded.queue.push_back(Task::Start(Box::new(new)));
        self.nodes[n].runs.insert(run, loaded);
        self.pump(n, run)
    }
}

fn brief(task: &Task) -> String {
    let mut text = format!("{task:?}");
    text.truncate(text.char_indices().nth(160).map_or(text.len(), |(i, _)| i));
    text
}
