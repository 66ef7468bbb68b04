//! What outlives a process: true time, the dice, the destinations with the requests on their way, and what has been
//! noticed so far.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use stead_core::{
    effect::{Outcome, Reconciled},
    id::{EffectId, RunId},
    record::Payload,
    time::Timestamp,
};
use stead_ports::switches::SwitchRow;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::mem::Mem;
use crate::{
    failure::Violation,
    plan::{CALM, Faults, MAX_OFFSET, MAX_TRANSIT, Plan, SECOND},
    rng::Rng,
    world::{Request, World},
};

/// 2025-01-01.
const EPOCH: i64 = 1_735_689_600_000_000;

/// Looks at a clock that stands still, after which the engine counts as busy with nothing.
const SPINNING: u32 = 20_000;

/// See the module.
pub(super) struct Cosmos {
    pub plan: Plan,
    pub mem: Mutex<Mem>,
    /// What was turned off and on, in its order.
    pub switches: Mutex<Vec<SwitchRow>>,
    /// Told when a promise is broken: a busy engine would not let time pass any more.
    pub alarm: Notify,
    inner: Mutex<Inner>,
}

struct Inner {
    rng: Rng,
    /// The engines' dice: ids, salts, activations.
    dice: Rng,
    world: World,
    /// Requests that have left and not arrived; they survive their sender.
    on_the_way: BTreeMap<u64, (u64, Request)>,
    next_request: u64,
    /// True time when the present process began, and its own clock then.
    before: u64,
    since: Option<Instant>,
    offset: i64,
    /// The last time anyone was told, and how often since it moved.
    told: (u64, u32),
    /// Appends until the process dies, when it dies by one.
    fuse: Option<u64>,
    /// Runs whose stop was acknowledged, with everything below them.
    gates: BTreeSet<RunId>,
    /// Whether it was acknowledged that the person may have no runs any more, and nobody has let them have some again since.
    without_right: bool,
    /// Processes that the person has turned to.
    visits: u64,
    violation: Option<Violation>,
    lines: Option<Vec<String>>,
}

impl Cosmos {
    pub(super) fn new(seed: u64, trace: bool) -> Arc<Self> {
        let mut rng = Rng::new(seed ^ 0x0e61_0e00);
        let plan = Plan::draw(&mut rng.fork());
        let dice = rng.fork();
        let lines = trace.then(|| vec![format!("{plan:#?}")]);
        let inner = Inner {
            rng,
            dice,
            world: World::default(),
            on_the_way: BTreeMap::new(),
            next_request: 0,
            before: 0,
            since: None,
            offset: 0,
            told: (0, 0),
            fuse: None,
            gates: BTreeSet::new(),
            without_right: false,
            visits: 0,
            violation: None,
            lines,
        };
        let mem = Mem::with(super::uppers::Uppers::drawn(seed));
        let (mem, switches, inner) = (Mutex::new(mem), Mutex::default(), Mutex::new(inner));
        Arc::new(Self { plan, mem, switches, alarm: Notify::new(), inner })
    }

    /// A process begins; called on its runtime.
    pub(super) fn process_begins(self: &Arc<Self>) {
        self.inner.lock().since = Some(Instant::now());
        let waiting: Vec<u64> = self.inner.lock().on_the_way.keys().copied().collect();
        for n in waiting {
            tokio::spawn(self.clone().arrives(n, None));
        }
    }

    /// The process dies with its `n`th append from now, about when that is written.
    pub(super) fn dies_with_append(&self, n: Option<u64>) {
        self.inner.lock().fuse = n;
    }

    /// An append is about to be written, or has been: perhaps the process dies by it.
    pub(super) fn burns(&self) {
        let mut inner = self.inner.lock();
        if let Some(left) = &mut inner.fuse {
            *left = left.saturating_sub(1);
            if *left == 0 {
                drop(inner);
                self.alarm.notify_one();
            }
        }
    }

    pub(super) fn is_dying(&self) -> bool {
        self.inner.lock().fuse == Some(0)
    }

    /// A process ends; called on its runtime, the last thing before that is dropped.
    pub(super) fn process_ends(&self) {
        let now = self.true_time();
        let mut inner = self.inner.lock();
        (inner.before, inner.since) = (now, None);
    }

    /// Microseconds since the beginning.
    pub(super) fn true_time(&self) -> u64 {
        let inner = self.inner.lock();
        inner.before + inner.since.map_or(0, |s| s.elapsed().as_micros() as u64)
    }

    pub(super) fn wall(&self) -> Timestamp {
        let now = self.true_time();
        let mut inner = self.inner.lock();
        inner.told = if inner.told.0 == now { (now, inner.told.1 + 1) } else { (now, 0) };
        let spins = inner.told.1 == SPINNING;
        let wall = Timestamp(EPOCH + now as i64 + inner.offset);
        drop(inner);
        if spins {
            let detail = format!("the clock was read {SPINNING} times at {now} us");
            self.broken(Violation { check: "nobody is busy with nothing", detail });
            // A task that never waits lets nobody else go on, not even whoever would end this history.
            panic!("busy with nothing");
        }
        wall
    }

    pub(super) fn jump(&self, by: i64) {
        let far = MAX_OFFSET as i64;
        let mut inner = self.inner.lock();
        inner.offset = (inner.offset + by).clamp(-far, far);
    }

    pub(super) fn calm(&self) -> bool {
        self.true_time() >= CALM
    }

    /// The faults of the present.
    pub(super) fn faults(&self) -> Faults {
        if self.calm() { Faults::NONE } else { self.plan.faults.clone() }
    }

    pub(super) fn roll<T>(&self, throw: impl FnOnce(&mut Rng) -> T) -> T {
        throw(&mut self.inner.lock().rng)
    }

    pub(super) fn random(&self) -> [u8; 16] {
        self.inner.lock().dice.bytes16()
    }

    pub(super) fn trace(&self, line: impl FnOnce() -> String) {
        if self.inner.lock().lines.is_some() {
            let line = format!("{:>10.4} {}", self.true_time() as f64 / SECOND as f64, line());
            self.inner.lock().lines.get_or_insert_default().push(line);
        }
    }

    /// Takes note of a broken promise; the first one counts.
    pub(super) fn broken(&self, violation: Violation) {
        self.inner.lock().violation.get_or_insert(violation);
        self.alarm.notify_one();
    }

    pub(super) fn violation(&self) -> Option<Violation> {
        self.inner.lock().violation.clone()
    }

    pub(super) fn take_lines(&self) -> Vec<String> {
        self.inner.lock().lines.take().unwrap_or_default()
    }

    /// A stop was acknowledged: nothing new may start in the run or below it.
    pub(super) fn close(&self, run: RunId) {
        self.inner.lock().gates.insert(run);
    }

    /// The person turns to a process that has just begun; which one of them it is.
    pub(super) fn comes(&self) -> u64 {
        let mut inner = self.inner.lock();
        inner.visits += 1;
        inner.visits
    }

    /// The last of these.
    pub(super) fn last_visit(&self) -> u64 {
        self.inner.lock().visits
    }

    /// It was acknowledged that the person may have no runs any more; or somebody is about to let them have some again.
    pub(super) fn may_have_runs(&self, may: bool) {
        self.inner.lock().without_right = !may;
    }

    /// Notes a breach when an effect starts on behalf of a person who may have no runs.
    pub(super) fn starts_for_the_person(&self, what: &str) {
        if self.plan.delegated.is_some() && self.inner.lock().without_right {
            self.broken(Violation { check: "nothing begins for whom may have no runs", detail: what.to_owned() });
        }
    }

    /// Notes a breach when something starts in a run that was told to stop.
    pub(super) fn starts(&self, run: RunId, what: &str) {
        let mut at = Some(run);
        while let Some(run_or_parent) = at {
            if self.inner.lock().gates.contains(&run_or_parent) {
                self.broken(Violation { check: "no dispatch after a cancel", detail: format!("{run}: {what}") });
            }
            at = self.mem.lock().parent(run_or_parent);
        }
    }

    /// Sends a request; the answer comes back by the channel, unless it gets lost.
    pub(super) fn send(self: &Arc<Self>, request: Request) -> oneshot::Receiver<Outcome<Payload>> {
        let (tx, rx) = oneshot::channel();
        let (now, faults) = (self.true_time(), self.faults());
        let n = {
            let mut inner = self.inner.lock();
            let slow = inner.rng.chance(faults.slow);
            let transit = inner.rng.below(if slow { MAX_TRANSIT } else { 50_000 });
            inner.next_request += 1;
            let n = inner.next_request;
            inner.on_the_way.insert(n, (now + transit, request));
            n
        };
        tokio::spawn(self.clone().arrives(n, Some(tx)));
        rx
    }

    async fn arrives(self: Arc<Self>, n: u64, back: Option<oneshot::Sender<Outcome<Payload>>>) {
        let due = self.inner.lock().on_the_way.get(&n).map(|(at, _)| *at);
        let Some(due) = due else { return };
        tokio::time::sleep(Duration::from_micros(due.saturating_sub(self.true_time()))).await;
        let (now, faults) = (self.true_time(), self.faults());
        let (outcome, lost, delay, id) = {
            let mut inner = self.inner.lock();
            let Some((_, request)) = inner.on_the_way.remove(&n) else { return };
            let Inner { world, rng, .. } = &mut *inner;
            let outcome = world.arrive(&request, now, &faults, rng);
            let lost = rng.chance(faults.answer_lost);
            let delay = if rng.chance(faults.slow) { rng.below(30 * SECOND) } else { rng.below(200_000) };
            (outcome, lost, delay, (request.id, request.attempt))
        };
        self.trace(|| format!("{id:?} arrives: {outcome:?}{}", if lost { ", the answer is lost" } else { "" }));
        if let Some(back) = back {
            if lost {
                // Nobody will ever answer: the sender is left waiting.
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_micros(delay)).await;
            let _ = back.send(outcome);
        }
    }

    pub(super) fn ask(&self, id: EffectId) -> Reconciled<Payload> {
        let faults = self.faults();
        let Inner { world, rng, .. } = &mut *self.inner.lock();
        world.ask(id, &faults, rng)
    }

    /// The destinations' books.
    pub(super) fn with_world<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        look(&self.inner.lock().world)
    }
}
