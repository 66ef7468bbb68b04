//! Whoever uses an engine: clients that start runs until they exist, approvers, operators. What they were told counts.

use std::{sync::Arc, time::Duration};

use stead_core::{
    budget::Limits,
    fact::{AskReason, Fact, StopMode},
    grant::Delegated,
    id::{Name, RunId, SessionId},
    record::{Actor, Record},
    ruling::Behalf,
    run::GENESIS,
};
use stead_engine::{Engine, EngineError, StartRun};
use stead_ports::journal::{ApprovalFilter, Status};

use super::{agents::ROOT, cosmos::Cosmos};
use crate::{
    failure::{Check, violation},
    plan::{Disturbance, PERSON, SECOND},
};

pub(super) const TENANT: &str = "sim";

/// Lets everyone loose on an engine; they end with its runtime.
pub(super) fn come(cosmos: &Arc<Cosmos>, engine: &Engine) {
    for i in 0..cosmos.plan.runs.len() {
        tokio::spawn(client(cosmos.clone(), engine.clone(), i));
    }
    tokio::spawn(approver(cosmos.clone(), engine.clone()));
    for (at, what) in cosmos.plan.disturbances.clone() {
        if at >= cosmos.true_time() {
            tokio::spawn(operator(cosmos.clone(), engine.clone(), at, what));
        }
    }
    tokio::spawn(resumer(cosmos.clone(), engine.clone()));
    if cosmos.plan.delegated.is_some() {
        tokio::spawn(person(cosmos.clone(), engine.clone(), cosmos.comes()));
    }
}

/// On whose behalf a client's run works from now on.
fn behalf(cosmos: &Cosmos) -> Behalf {
    let Some(lasts) = cosmos.plan.delegated else { return Behalf::default() };
    let delegated = Some(Delegated { until: cosmos.wall().after(lasts), lasts });
    Behalf { user: Some(PERSON.into()), delegated, ..Behalf::default() }
}

/// The person on whose behalf runs work comes by now and then: whatever they do about a run lets it go on for as long again. And their
/// groups change: what runs on their behalf begins no more, until they may have runs again.
async fn person(cosmos: Arc<Cosmos>, engine: Engine, visit: u64) {
    let (tenant, person): (Name, Name) = (TENANT.into(), PERSON.into());
    // Whom another process has taken over from is told nothing any more.
    while cosmos.last_visit() == visit {
        let (change, back) = cosmos.roll(|rng| (rng.chance(200), rng.chance(500)));
        let (without, calm) = (cosmos.is_without_right(), cosmos.calm());
        if without && (back || calm) {
            cosmos.may_have_runs(true);
            let result = engine.may_have_runs(&person, Some(&tenant), Some(u64::MAX)).await;
            cosmos.trace(|| format!("-- {PERSON} may have runs again: {result:?}"));
        } else if !without && change && !calm {
            let noted = engine.delegates(&tenant, &person).await;
            let result = engine.may_have_runs(&person, None, None).await;
            cosmos.trace(|| format!("-- {PERSON} may have no runs any more: {noted:?} {result:?}"));
            if noted.is_ok() && result.is_ok() && cosmos.is_without_right() {
                cosmos.may_have_runs(false);
            }
        }
        let pause = cosmos.roll(|rng| rng.range(5 * SECOND, 60 * SECOND));
        tokio::time::sleep(Duration::from_micros(pause)).await;
        let one = cosmos.roll(|rng| rng.below(cosmos.plan.runs.len() as u64) as usize);
        let Some(run) = run_of(&cosmos, one) else { continue };
        let result = engine.renew_if_theirs(run, &person).await;
        cosmos.trace(|| format!("-- {PERSON} comes by at {run}: {result:?}"));
    }
}

async fn until(cosmos: &Cosmos, at: u64) {
    tokio::time::sleep(Duration::from_micros(at.saturating_sub(cosmos.true_time()))).await;
}

/// The client's own name for its run.
fn key(i: usize) -> Name {
    format!("run{i}").into()
}

/// The run that client `i` asked for, if it exists.
pub(super) fn run_of(cosmos: &Cosmos, i: usize) -> Option<RunId> {
    cosmos.mem.lock().keys.get(&(TENANT.into(), key(i))).map(|(run, _)| *run)
}

async fn client(cosmos: Arc<Cosmos>, engine: Engine, i: usize) {
    let (at, session) = cosmos.plan.runs[i];
    until(&cosmos, at).await;
    let tenant: Name = TENANT.into();
    let mut known = None;
    while known.is_none() {
        let journal = engine.journal();
        let id = SessionId(1 + session as u128);
        let name = format!("session{session}").into();
        if let Ok(session) = journal.open_session(&tenant, &"agent".into(), &name, id, cosmos.wall()).await {
            let start = StartRun {
                tenant: tenant.clone(),
                version: ROOT,
                session: Some(session.id),
                input: "do it".into(),
                files: Vec::new(),
                limits: Limits::default(),
                idempotency: Some((key(i), [i as u8; 32])),
                actor: Actor::User("client".into()),
                behalf: behalf(&cosmos),
                label: None,
                parent: None,
            };
            match engine.start(start).await {
                Ok(started) => known = Some(started.run),
                Err(error) => cosmos.trace(|| format!("client {i}: {error}")),
            }
        }
        if known.is_none() {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }
    if known != run_of(&cosmos, i) {
        let detail = format!("client {i} was told {known:?}, the journal has {:?}", run_of(&cosmos, i));
        cosmos.broken(crate::failure::Violation { check: "nothing acknowledged is lost", detail });
    }
}

async fn approver(cosmos: Arc<Cosmos>, engine: Engine) {
    loop {
        let pause = cosmos.roll(|rng| rng.range(SECOND, 8 * SECOND));
        tokio::time::sleep(Duration::from_micros(pause)).await;
        let filter = ApprovalFilter { tenant: TENANT.into(), limit: 100, ..ApprovalFilter::default() };
        let Ok(asked) = engine.approvals(&filter).await else { continue };
        for question in asked.items {
            let (never, approved) =
                cosmos.roll(|rng| (rng.chance(cosmos.plan.human_never), !rng.chance(cosmos.plan.human_denies)));
            if never && !cosmos.calm() {
                continue;
            }
            // Now and then somebody else says yes in the person's place, who may not.
            let theirs =
                question.reason == AskReason::Delegation && (cosmos.calm() || cosmos.roll(|rng| rng.chance(800)));
            let name = if theirs { PERSON } else { "ada" };
            if engine.approve(question.effect, approved, name.into(), None, None).await.is_ok() {
                let heard = |f: &Fact| {
                    matches!(f, Fact::ApprovalGiven(g) if g.effect == question.effect.n)
                        || matches!(f, Fact::ApprovalExpired(e) if e.effect == question.effect.n)
                };
                told(&cosmos, question.effect.run, "an approval", heard);
            }
        }
    }
}

/// What somebody was told has happened must be in the journal.
fn told(cosmos: &Cosmos, run: RunId, what: &str, like: impl Fn(&Fact) -> bool) {
    if let Err(broken) = in_journal(cosmos, run, what, like) {
        cosmos.broken(broken);
    }
}

fn in_journal(cosmos: &Cosmos, run: RunId, what: &str, like: impl Fn(&Fact) -> bool) -> Check {
    let mem = cosmos.mem.lock();
    let records = mem.runs.get(&run).map_or(&[][..], |r| &r.records);
    let mut leaf = GENESIS;
    for (bytes, _) in records {
        let Ok((record, next)) = Record::decode(bytes, leaf) else { break };
        leaf = next;
        if record.facts.iter().any(&like) {
            return Ok(());
        }
    }
    violation("nothing acknowledged is lost", format!("{what} of {run} was acknowledged and is not in the journal"))
}

async fn operator(cosmos: Arc<Cosmos>, engine: Engine, at: u64, what: Disturbance) {
    until(&cosmos, at).await;
    let by = || Actor::User("operator".into());
    let result = match what {
        Disturbance::Jump(by) => {
            cosmos.trace(|| format!("-- the clock jumps by {by}"));
            cosmos.jump(by);
            return;
        }
        Disturbance::Pause(i) => match run_of(&cosmos, i) {
            Some(run) => engine.pause(run, by()).await.map(|()| told(&cosmos, run, "a pause", |f| *f == Fact::Paused)),
            None => return,
        },
        Disturbance::Resume(i) => match run_of(&cosmos, i) {
            Some(run) => engine.resume(run, by()).await,
            None => return,
        },
        Disturbance::Cancel(i) => stop(&cosmos, &engine, i, StopMode::Cancel).await,
        Disturbance::Kill(i) => stop(&cosmos, &engine, i, StopMode::Kill).await,
        // The journal of these histories is one that no backup is taken of: that is the machine's profile.
        // The engine's histories have the default policy alone.
        Disturbance::Apply | Disturbance::Backup | Disturbance::Restore => return,
        Disturbance::Crash | Disturbance::Drain | Disturbance::Takeover | Disturbance::Evict => return,
    };
    cosmos.trace(|| format!("-- {what:?}: {result:?}"));
}

async fn stop(cosmos: &Cosmos, engine: &Engine, i: usize, mode: StopMode) -> Result<(), EngineError> {
    let Some(run) = run_of(cosmos, i) else { return Ok(()) };
    engine.stop(run, mode, Actor::User("operator".into())).await?;
    cosmos.close(run);
    told(cosmos, run, "a stop", |f| matches!(f, Fact::CancelRequested(_)));
    Ok(())
}

/// Once it is calm, paused runs are resumed.
async fn resumer(cosmos: Arc<Cosmos>, engine: Engine) {
    until(&cosmos, crate::plan::CALM).await;
    loop {
        let paused: Vec<RunId> = {
            let mem = cosmos.mem.lock();
            let paused = |run: RunId| mem.runs[&run].audit.state.as_ref().is_some_and(|s| s.paused);
            mem.runs.keys().copied().filter(|run| paused(*run)).collect()
        };
        for run in paused {
            let result = engine.resume(run, Actor::User("operator".into())).await;
            cosmos.trace(|| format!("-- resume {run}: {result:?}"));
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
}

/// The status of every run, for the words of a failure.
pub(super) fn standing(cosmos: &Cosmos) -> Vec<(RunId, Status)> {
    cosmos.mem.lock().runs.values().map(|r| (r.row.id, r.row.state.status)).collect()
}
