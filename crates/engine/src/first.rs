//! The first record of a run: decided, and made durable together with the run's row and its claim on the session.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use stead_core::{
    id::{Name, RunId, SessionId},
    record::{Actor as By, Payload, Source},
    run::{Admit, Decision, GENESIS, Inputs, NewRun},
};
use stead_policy::Policies;
use stead_ports::{
    agent::Agent,
    journal::{self, AppendError, IndexChange, RunState, SessionChange},
};
use tokio::sync::watch;

use crate::{
    Engine,
    actor::Born,
    approvals,
    durable::{OnTrouble, durable},
    enter::fresh_activation,
    gate::{self, RunGate},
    history::{Book, Heard, Names},
    parent::child_end,
    payload::Sealer,
    prepare::cut,
    record::Outgoing,
    types::{EngineError, StartRun, Started},
    view,
};

/// A run that is to be made.
pub(crate) struct Seed {
    pub(crate) start: StartRun,
    pub(crate) run: RunId,
    pub(crate) session: SessionId,
    pub(crate) agent: Arc<Agent>,
    /// What it takes over when it goes to the foreground at once, and the records that is.
    pub(crate) admit: Option<(Admit, u64)>,
}

/// Decides the first record and makes it durable. Gives the run as it was born, when there is work to do now.
pub(crate) async fn write(engine: &Engine, seed: Seed) -> Result<(Started, Option<Born>), EngineError> {
    let Seed { mut start, run, session, agent, admit } = seed;
    let (admit, tail) = admit.unzip();
    let (queued, is_child) = (admit.is_none(), start.parent.is_some());
    let title = title(&start.input);
    let source = if is_child { Source::Agent } else { Source::User };
    let mut sealer = Sealer::default();
    let input = std::mem::take(&mut start.input);
    let mut input = sealer.seal(&**engine.journal(), &start.tenant, input, source, usize::MAX);
    sealer.attach(&**engine.journal(), &start.tenant, &mut input, std::mem::take(&mut start.files));
    let policies = gate::policies(&*engine.0.ports.policies, &start.tenant, &agent).await;
    let book = engine.0.books.of(&start.tenant);
    book.load(engine).await?;
    let names = policies.as_ref().map(|policies| book.names(engine, policies)).unwrap_or_default();
    if !names.is_empty() {
        book.known(&names).await;
    }
    let decision = loop {
        let gated = (&*agent, policies.clone());
        match decide(engine, &start, (run, session), gated, (&book, &names), admit.clone(), input.clone()) {
            Ok(decision) => break decision,
            // It hangs on calls of others whose appends are under way.
            Err(mut settled) => {
                let _ = settled.changed().await;
            }
        }
    };
    let outgoing = Outgoing::new(engine, decision, start.actor.clone());
    let row = view::run_state(&outgoing.state, outgoing.at);
    let user = match start.actor {
        By::User(name) => Some(name),
        _ => None,
    };
    let create = journal::NewRun {
        tenant: start.tenant,
        session,
        agent: agent.name.clone(),
        version: agent.version,
        parent: start.parent.map(|child| child.parent.run),
        user,
        idempotency: start.idempotency,
        title,
    };
    let index = index(&outgoing, create, row.clone(), queued);
    let append = outgoing.append(GENESIS, sealer.blobs, Some(Box::new(index)));
    let prev = append.leaf;
    match durable(engine, append, OnTrouble::Tell, None).await {
        Ok(()) => {}
        Err(EngineError::Append(refused)) => return refusal(engine, run, refused, is_child).await,
        Err(other) => return Err(other),
    }
    let Outgoing { record, state, .. } = outgoing;
    engine.0.counters.record(&record.facts, None, &state, Name::default);
    let ended = state.life.ended();
    if ended {
        engine.0.waiters.wake(run, &Ok(row.status));
    }
    let started = Started { run, session, queued, existing: false };
    let (activation, tail) = (state.activation, 1 + tail.unwrap_or(0));
    let born = (!ended && !queued).then_some(Born { state, prev, activation, agent, unloadable: None, row, tail });
    Ok((started, born))
}

fn decide(
    engine: &Engine,
    start: &StartRun,
    (run, session): (RunId, SessionId),
    (agent, policies): (&Agent, Option<Arc<Policies>>),
    (book, names): (&Book, &Names),
    admit: Option<Admit>,
    input: Payload,
) -> Result<Decision, watch::Receiver<()>> {
    let mut config = agent.config.clone();
    config.limits = config.limits.tighten(&start.limits);
    let (parent, hops, restored) = start.parent.map_or((None, 0, None), |c| (Some(c.parent), c.hops, c.restored));
    let new = NewRun {
        run,
        tenant: start.tenant.clone(),
        session,
        agent: agent.name.clone(),
        version: agent.version,
        parent,
        hops,
        config,
        input,
        admit,
        restored,
        behalf: start.behalf.clone(),
        label: start.label.clone(),
    };
    let principal = gate::principal_of(&new, agent);
    let inside = (!names.is_empty()).then(|| book.lock());
    let journal = &**engine.journal();
    let heard = inside.as_deref().map(|inside| {
        let split = AtomicBool::new(false);
        Heard { book, inside, names, journal, before: None, split }
    });
    let heard = heard.as_ref();
    let gate = RunGate { policies, principal: &principal, agent, reply: None, hearing: None, heard };
    let inputs = Inputs { now: engine.0.ports.clock.now(), activation: fresh_activation(engine), gate: &gate };
    let holds = engine.0.options.at_rest || engine.0.is_draining();
    let decision = if holds { new.decide_holding(inputs) } else { new.decide(inputs) };
    match heard {
        Some(heard) if heard.split.load(Relaxed) => Err(book.settled()),
        _ => Ok(decision),
    }
}

/// What stands in the indexes once the run exists.
fn index(outgoing: &Outgoing, create: journal::NewRun, row: RunState, queued: bool) -> IndexChange {
    let Outgoing { record, state, .. } = outgoing;
    let session = match (queued, state.life.ended()) {
        (true, _) => None,
        // A run can end with its first record, when its limits allow not even one call.
        (false, true) => Some(SessionChange::Release { head: true, spent: state.budget.spent }),
        (false, false) => Some(SessionChange::Claim),
    };
    let mut index = IndexChange {
        create: Some(create),
        run: Some(row),
        session,
        send: child_end(record, state, None, None).into_iter().collect(),
        ..IndexChange::default()
    };
    approvals::follow(None, state, &mut index);
    index
}

/// What a refusal of the first record means: often, that the run is there already.
async fn refusal(
    engine: &Engine,
    run: RunId,
    refused: AppendError,
    is_child: bool,
) -> Result<(Started, Option<Born>), EngineError> {
    let existing = match refused {
        AppendError::Exists { run, same: true } => run,
        AppendError::Exists { run, same: false } => return Err(EngineError::KeyReused { run }),
        // A child that was started before a crash.
        AppendError::Conflict { next } if next > 0 && is_child => run,
        other => return Err(other.into()),
    };
    engine.existing(existing).await.map(|started| (started, None))
}

/// A short title of an input, for lists.
fn title(input: &str) -> String {
    let mut out = String::new();
    for word in input.split_whitespace() {
        if out.len() > 120 {
            break;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    cut(out, 120)
}
