//! One history from its seed: the order of events, and what must hold when they are over.

use std::collections::{BTreeMap, BTreeSet};

use stead_core::{
    grant::Delegated,
    id::{EffectId, LeafHash, RunId, SessionId, TreeId, VersionId},
    record::{Payload, Source},
    ruling::Behalf,
    run::NewRun,
    time::Timestamp,
};

use super::{
    event::{Agenda, Event},
    gate::Policies,
    node::Node,
    restore::Backup,
    store::Store,
};
use crate::{
    check::{self, gate::Rules},
    failure::{Check, Failure, Profile, Summary, digest, violation},
    rng::Rng,
};
use crate::{
    plan::{CALM, Faults, PERSON, Plan, SECOND},
    world::World,
};

/// Events after which a history counts as stuck. The longest honest ones take a few thousand.
const MAX_EVENTS: u64 = 60_000;
/// 2025-01-01, as good a beginning as any.
const EPOCH: i64 = 1_735_689_600_000_000;

/// A history under way.
pub(super) struct Sim {
    pub rng: Rng,
    /// Salts have dice of their own: they must not depend on what is traced or checked.
    pub salts: Rng,
    pub plan: Plan,
    pub now: u64,
    /// How far the wall clock is from true time.
    pub offset: i64,
    pub agenda: Agenda,
    pub store: Store,
    pub world: World,
    pub nodes: Vec<Node>,
    pub current: usize,
    pub activations: u64,
    pub calm: bool,
    pub crashes: u64,
    pub restores: u64,
    /// The last backup.
    pub backup: Option<Backup>,
    /// The policies in force.
    pub policies: Policies,
    /// Runs that were started after a backup, and so are in no journal since it was restored.
    pub lost: BTreeSet<RunId>,
    /// Runs whose stop has been acknowledged.
    pub gates: BTreeSet<RunId>,
    /// Records whose writer was told that they are durable.
    pub acknowledged: Vec<(RunId, u64, LeafHash)>,
    /// The tree at which each attempt was dispatched that uses the workspace.
    pub trees: BTreeMap<(EffectId, u8), Option<TreeId>>,
    lines: Option<Vec<String>>,
    events: u64,
}

/// Lives one history.
///
/// # Errors
/// The check that failed, with the seed and (if `trace`) everything that happened.
pub fn run_history(seed: u64, trace: bool) -> Result<Summary, Box<Failure>> {
    let mut sim = Sim::new(seed, trace);
    match sim.live().and_then(|()| sim.judge()) {
        Ok(()) => Ok(sim.summary()),
        Err(violation) => {
            Err(Box::new(Failure { seed, profile: Profile::Core, violation, trace: sim.lines.unwrap_or_default() }))
        }
    }
}

impl Sim {
    fn new(seed: u64, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let plan = Plan::draw(&mut rng.fork());
        let salts = rng.fork();
        let rules = Rules { seed, strict: plan.strict };
        let mut agenda = Agenda::default();
        for (i, (at, _)) in plan.runs.iter().enumerate() {
            agenda.add(*at, Event::Start(i));
        }
        for (at, what) in &plan.disturbances {
            agenda.add(*at, Event::Disturb(*what));
        }
        agenda.add(CALM, Event::Calm);
        let mut sim = Self {
            rng,
            salts,
            plan,
            now: 0,
            offset: 0,
            agenda,
            store: Store { epoch: 1, ..Store::default() },
            world: World::default(),
            nodes: vec![Node::new(1, 0)],
            current: 0,
            activations: 0,
            calm: false,
            crashes: 0,
            restores: 0,
            backup: None,
            policies: Policies { epoch: 1, rules },
            lost: BTreeSet::new(),
            gates: BTreeSet::new(),
            acknowledged: Vec::new(),
            trees: BTreeMap::new(),
            lines: trace.then(Vec::new),
            events: 0,
        };
        let plan = format!("{:#?}", sim.plan);
        sim.trace(|_| plan);
        sim
    }

    /// What the process's clock on the wall says.
    pub(super) fn wall(&self) -> Timestamp {
        Timestamp(EPOCH + self.now as i64 + self.offset)
    }

    /// The faults of the present: none once it is calm.
    pub(super) fn faults(&self) -> Faults {
        if self.calm {
            return Faults::NONE;
        }
        self.plan.faults.clone()
    }

    /// When a message to or from the store arrives.
    pub(super) fn latency(&mut self) -> u64 {
        self.now + if self.rng.chance(50) { self.rng.below(SECOND / 2) } else { self.rng.below(5_000) }
    }

    pub(super) fn trace(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.lines.is_some() {
            let line = format!("{:>10.4} {}", self.now as f64 / SECOND as f64, line(self));
            self.lines.get_or_insert_default().push(line);
        }
    }

    /// The id of a planned run.
    pub(super) fn run_id(&self, i: usize) -> RunId {
        RunId((u128::from(EPOCH as u64 / 1_000) << 80) | (i as u128 + 1))
    }

    pub(super) fn all_ended(&self) -> bool {
        (0..self.plan.runs.len()).map(|i| self.run_id(i)).all(|run| self.is_there(run))
            && self.store.runs.values().all(|r| r.audit.ended())
    }

    /// Whether a run that was planned has been started, though a store that is lost may have been the one that knew.
    fn is_there(&self, run: RunId) -> bool {
        self.store.runs.contains_key(&run) || self.lost.contains(&run)
    }

    fn live(&mut self) -> Check {
        while let Some((at, event)) = self.agenda.take() {
            self.now = self.now.max(at);
            self.events += 1;
            if self.events > MAX_EVENTS {
                return violation("every run ends", format!("still busy after {MAX_EVENTS} events: {event:?}"));
            }
            self.happen(event)?;
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Check {
        let alive = |sim: &Self, n: usize| sim.nodes[n].alive;
        match event {
            Event::Start(i) => self.client(i),
            Event::Arrive { node, append } => self.arrived(node, &append),
            Event::Ack { node, run, ack, leaf } => self.acked(node, run, ack, leaf),
            Event::ReadTail { node, run } => self.read_tail(node, run),
            Event::Pay { node, run } if alive(self, node) => self.pay(node, run),
            Event::Pay { .. } => Ok(()),
            Event::Transmit { node, run } => {
                self.transmit(node, run);
                Ok(())
            }
            Event::Wake { node, run, target } => self.woken(node, run, target),
            Event::Model { node, run, command, clears } => {
                if alive(self, node) {
                    self.command(node, run, *command, Some(clears))
                } else {
                    Ok(())
                }
            }
            Event::Request { node, request } => {
                self.request(node, &request);
                Ok(())
            }
            Event::Answer { node, id, attempt, outcome } => self.answered(node, id, attempt, *outcome),
            Event::Timeout { node, id, attempt } => self.timed_out(node, id, attempt),
            Event::Ask { node, id, asked } => {
                self.asked(node, id, asked);
                Ok(())
            }
            Event::AskBack { node, id, asked, answer } => {
                if !alive(self, node) {
                    return Ok(());
                }
                let clears = (stead_core::run::Debt::Reconcile { effect: id.n }, 0);
                let command = stead_core::run::Command::Reconciled { effect: id.n, asked, answer: *answer };
                self.command(node, id.run, command, Some(clears))
            }
            Event::Looked { node, id, found } => {
                if !alive(self, node) {
                    return Ok(());
                }
                let clears = (stead_core::run::Debt::Preview { effect: id.n }, 0);
                let command = stead_core::run::Command::Previewed { effect: id.n, found, action: None };
                self.command(node, id.run, command, Some(clears))
            }
            Event::Inbox(run) => {
                if alive(self, self.current) {
                    self.read_inbox(self.current, run)
                } else {
                    Ok(())
                }
            }
            Event::Human { id, force } => self.human(id, force),
            Event::Disturb(what) => self.disturb(what),
            Event::Resume(run) => self.go_on(run),
            Event::Restart => {
                if alive(self, self.current) {
                    Ok(())
                } else {
                    self.new_node()
                }
            }
            Event::Calm => self.calm(),
        }
    }

    /// A client starts its run, and tries again until it exists.
    fn client(&mut self, i: usize) -> Check {
        let run = self.run_id(i);
        if self.is_there(run) {
            return Ok(());
        }
        self.agenda.add(self.now + 2 * SECOND, Event::Start(i));
        if !self.nodes[self.current].alive {
            return Ok(());
        }
        let session = SessionId((u128::from(EPOCH as u64 / 1_000) << 80) | (self.plan.runs[i].1 as u128 + 1));
        let free = self.store.sessions.get(&session).is_none_or(|s| s.active.is_none() && s.queued.is_empty());
        let new = NewRun {
            run,
            tenant: "sim".into(),
            session,
            agent: "agent".into(),
            version: VersionId([7; 32]),
            parent: None,
            hops: 0,
            config: self.plan.config.clone(),
            input: Payload::inline("do it", Source::User),
            admit: free.then(|| self.admission(session)),
            restored: None,
            behalf: self.behalf(),
            label: None,
        };
        self.begin_start(self.current, new)
    }

    /// On whose behalf the clients' runs work.
    fn behalf(&self) -> Behalf {
        let Some(lasts) = self.plan.delegated else { return Behalf::default() };
        let delegated = Some(Delegated { until: self.wall().after(lasts), lasts });
        Behalf { user: Some(PERSON.into()), delegated, ..Behalf::default() }
    }

    /// What must hold when all is over.
    fn judge(&self) -> Check {
        for (i, _) in self.plan.runs.iter().enumerate() {
            if !self.is_there(self.run_id(i)) {
                return violation("every run ends", format!("{} was never started", self.run_id(i)));
            }
        }
        for (run, log) in &self.store.runs {
            let state = log.state();
            if !log.audit.ended() {
                return violation(
                    "every run ends",
                    format!("{run}: {:?} {:?} {:?}", state.life, state.phase, state.calls),
                );
            }
            self.store.load(*run)?;
            let parent = state.parent.and_then(|parent| Some((parent, self.store.runs.get(&parent.run)?)));
            if let Some((parent, above)) = parent {
                above.audit.delegation.hands_down(*run, parent, &log.audit.delegation)?;
            }
        }
        self.nothing_acknowledged_is_lost()?;
        let audit = |id: stead_core::id::EffectId| self.store.runs.get(&id.run).map(|r| &r.audit);
        check::world::never_repeated(&self.world.ledger, audit)?;
        check::world::one_key(&self.world.ledger, audit)?;
        check::world::ledger_is_true(&self.world.ledger, self.store.runs.values().map(|r| &r.audit))
    }

    /// Promise 1.
    fn nothing_acknowledged_is_lost(&self) -> Check {
        for (run, seq, leaf) in &self.acknowledged {
            let kept = self.store.runs.get(run).and_then(|r| r.records.get(*seq as usize));
            if kept.is_none_or(|(_, kept)| kept != leaf) {
                return violation("nothing acknowledged is lost", format!("{run} record {seq}"));
            }
        }
        Ok(())
    }

    fn summary(&self) -> Summary {
        let mut summary = Summary {
            runs: self.store.runs.len() as u64,
            events: self.events,
            crashes: self.crashes,
            restores: self.restores,
            fenced: self.store.fenced,
            requests: self.world.arrived,
            ..Summary::default()
        };
        for log in self.store.runs.values() {
            summary.records += log.records.len() as u64;
            for (bytes, leaf) in &log.records {
                summary.digest = digest(digest(summary.digest, bytes), &leaf.0);
            }
            let unknown = log.audit.calls().filter(|c| c.ended == Some(stead_core::effect::Ended::Unknown));
            summary.unknown += unknown.count() as u64;
        }
        summary
    }
}
