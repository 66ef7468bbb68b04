//! One history of the engine from its seed: processes that begin and end, until every run has ended.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use stead_core::effect::Ended;
use stead_engine::{DefaultPolicy, Engine, Options, Ports, Rates, Unsigned};
use tokio::runtime::{Builder, Runtime};

use super::{
    agents::{ACCOUNT, SimAgents},
    clock::SimClock,
    cosmos::Cosmos,
    journal::SimJournal,
    people::{self, run_of, standing},
    switches::SimSwitches,
};
use crate::{
    check,
    failure::{Check, Failure, Profile, Summary, digest, violation},
    plan::{CALM, Disturbance, SECOND},
    rng::Rng,
};

/// True time after which a history counts as stuck.
const TOO_LONG: u64 = CALM + 1_800 * SECOND;
/// A lease's life, the margin with it: a process that is cut off longer than this has closed its gate.
const LEASE: u64 = 20 * SECOND;

/// How a process ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// Everything in memory is gone at once.
    Crash,
    /// It is asked to end.
    Drain,
    /// It is cut off from the store; another takes over while it lives on.
    Takeover,
    /// All runs have ended.
    Done,
}

/// Lives one history.
///
/// # Errors
/// The check that failed, with the seed and (if `trace`) everything that happened.
pub fn run_history(seed: u64, trace: bool) -> Result<Summary, Box<Failure>> {
    let cosmos = Cosmos::new(seed, trace);
    cosmos.mem.lock().audits = true;
    let mut summary = Summary::default();
    match live(&cosmos, &mut summary).and_then(|()| judge(&cosmos)) {
        Ok(()) => {
            sum_up(&cosmos, &mut summary);
            Ok(summary)
        }
        Err(violation) => {
            let trace = cosmos.take_lines();
            Err(Box::new(Failure { seed, profile: Profile::Engine, violation, trace }))
        }
    }
}

fn live(cosmos: &Arc<Cosmos>, summary: &mut Summary) -> Check {
    let mut endings: Vec<(u64, Ending)> =
        cosmos.plan.disturbances.iter().filter_map(|(at, d)| ending(*at, *d)).collect();
    endings.sort_by_key(|(at, _)| *at);
    let mut endings = endings.into_iter();
    loop {
        let (at, ending) = endings.next().unwrap_or((u64::MAX, Ending::Done));
        let runtime = runtime();
        let done = runtime.block_on(process(cosmos, at, ending));
        // Dropping the runtime is the crash: nothing in it gets to say goodbye.
        drop(runtime);
        summary.events += 1;
        if let Some(violation) = cosmos.violation() {
            return Err(violation);
        }
        if done? {
            return Ok(());
        }
        summary.crashes += 1;
    }
}

fn ending(at: u64, what: Disturbance) -> Option<(u64, Ending)> {
    match what {
        Disturbance::Crash => Some((at, Ending::Crash)),
        Disturbance::Drain => Some((at, Ending::Drain)),
        Disturbance::Takeover => Some((at, Ending::Takeover)),
        _ => None,
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime without I/O can be built")
}

fn options(cosmos: &Cosmos) -> Options {
    cosmos.roll(|rng| Options {
        holder: "sim".into(),
        max_active: *rng.pick(&[1, 2, 3, 1_000]),
        max_model_calls: *rng.pick(&[1, 1_000]),
        max_tool_calls: *rng.pick(&[1, 2, 1_000]),
        snapshot_every: *rng.pick(&[2, 5, 512]),
        providers: BTreeMap::from([(ACCOUNT.to_owned(), rates(rng))]),
        ..Options::default()
    })
}

/// Limits of the one provider that all models are behind; some so tight that calls are given back.
fn rates(rng: &mut Rng) -> Rates {
    Rates {
        concurrent: *rng.pick(&[None, None, Some(1), Some(2)]),
        requests_per_second: *rng.pick(&[None, None, Some(2)]),
        requests_per_minute: None,
        tokens_per_minute: *rng.pick(&[None, None, None, Some(5_000)]),
    }
}

async fn open(cosmos: &Arc<Cosmos>) -> (Engine, Arc<SimJournal>) {
    loop {
        let journal = Arc::new(SimJournal::of(cosmos.clone()));
        let ports = Ports {
            people: Arc::new(stead_ports::people::Everybody),
            journal: journal.clone(),
            agents: Arc::new(SimAgents::new(cosmos)),
            clock: Arc::new(SimClock(cosmos.clone())),
            policies: Arc::new(DefaultPolicy::default()),
            switches: Arc::new(SimSwitches(cosmos.clone())),
            directories: Arc::new(Unsigned),
        };
        match Engine::open(ports, options(cosmos)).await {
            Ok(engine) => return (engine, journal),
            Err(error) => cosmos.trace(|| format!("the engine does not open: {error}")),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// One process from its start to its end; whether it was the last.
async fn process(cosmos: &Arc<Cosmos>, end: u64, ending: Ending) -> Result<bool, crate::failure::Violation> {
    cosmos.process_begins();
    cosmos.trace(|| "-- a process begins".into());
    let (mut engine, journal) = open(cosmos).await;
    people::come(cosmos, &engine);
    // Half of the crashes come with an append and not at a time: that is where it hurts.
    let fuse = matches!(ending, Ending::Crash).then(|| cosmos.roll(|rng| rng.chance(500).then(|| rng.range(1, 50))));
    cosmos.dies_with_append(fuse.flatten());
    let mut done = watch(cosmos, end).await?;
    cosmos.dies_with_append(None);
    if !done {
        cosmos.trace(|| format!("-- {ending:?}"));
        match ending {
            Ending::Crash | Ending::Done => {}
            Ending::Drain => engine.drain(Duration::from_secs(2)).await,
            Ending::Takeover => {
                journal.cut_off();
                tokio::time::sleep(Duration::from_micros(LEASE)).await;
                cosmos.trace(|| "-- another process takes over".into());
                let (second, _) = open(cosmos).await;
                engine = second;
                people::come(cosmos, &engine);
                let more = cosmos.roll(|rng| rng.below(20 * SECOND));
                done = watch(cosmos, cosmos.true_time() + more).await?;
            }
        }
    }
    let _ = &engine;
    cosmos.process_ends();
    Ok(done)
}

/// Waits until `end`, or until everything has ended. With nobody left to start, that is the end of the history.
async fn watch(cosmos: &Cosmos, end: u64) -> Result<bool, crate::failure::Violation> {
    loop {
        let now = cosmos.true_time();
        if cosmos.violation().is_some() {
            return Ok(true);
        }
        if all_ended(cosmos) {
            // Late answers may still come, and must do no harm.
            tokio::time::sleep(Duration::from_secs(40)).await;
            return Ok(true);
        }
        if now >= end || cosmos.is_dying() {
            return Ok(false);
        }
        if now > TOO_LONG {
            return violation("every run ends", format!("{:?}", standing(cosmos)));
        }
        let pause = (end - now).min(SECOND / 2);
        tokio::select! {
            biased;
            () = cosmos.alarm.notified() => {}
            () = tokio::time::sleep(Duration::from_micros(pause)) => {}
        }
    }
}

fn all_ended(cosmos: &Cosmos) -> bool {
    (0..cosmos.plan.runs.len()).all(|i| run_of(cosmos, i).is_some()) && cosmos.mem.lock().all_ended()
}

/// What must hold when all is over.
fn judge(cosmos: &Cosmos) -> Check {
    let mem = cosmos.mem.lock();
    let audit = |id: stead_core::id::EffectId| mem.runs.get(&id.run).map(|r| &r.audit);
    cosmos.with_world(|world| {
        check::world::never_repeated(&world.ledger, audit)?;
        check::world::one_key(&world.ledger, audit)?;
        check::world::ledger_is_true(&world.ledger, mem.runs.values().map(|r| &r.audit))
    })?;
    for run in mem.runs.values() {
        if !run.audit.ended() || !run.row.state.status.ended() {
            return violation("every run ends", format!("{}: {:?}", run.row.id, run.row.state));
        }
        let parent = run.audit.state.as_ref().and_then(|state| state.parent);
        if let Some((parent, above)) = parent.and_then(|parent| Some((parent, mem.runs.get(&parent.run)?))) {
            above.audit.delegation.hands_down(run.row.id, parent, &run.audit.delegation)?;
        }
    }
    for session in mem.sessions.values() {
        if session.active.is_some() {
            return violation("a session is free when its runs have ended", format!("{session:?}"));
        }
    }
    Ok(())
}

fn sum_up(cosmos: &Cosmos, summary: &mut Summary) {
    let mem = cosmos.mem.lock();
    summary.runs = mem.runs.len() as u64;
    summary.fenced = mem.fenced;
    summary.requests = cosmos.with_world(|w| w.arrived);
    for run in mem.runs.values() {
        summary.records += run.records.len() as u64;
        for (bytes, leaf) in &run.records {
            summary.digest = digest(digest(summary.digest, bytes), &leaf.0);
        }
        summary.unknown += run.audit.calls().filter(|c| c.ended == Some(Ended::Unknown)).count() as u64;
    }
}
