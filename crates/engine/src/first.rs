//! The first record of a run: decided, and made durable together with the run's row and its claim on the session.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use stead_core::{
    budget::{Offer, moves},
    config::{MAX_ASKS, MAX_OPEN_ASKS},
    fact::Fact,
    id::{Name, RunId, SessionId},
    record::{Actor as By, Payload, Source},
    run::{Admit, Decision, GENESIS, Inputs, NewRun, Terms},
};
use stead_policy::Policies;
use stead_ports::{
    agent::Agent,
    journal::{self, AppendError, IndexChange, RunState, SessionChange},
};
use tokio::sync::watch;

use stead_provenance::trust::{Label, Origin, Trust};

use crate::{
    Engine,
    actor::Born,
    approvals,
    durable::{OnTrouble, durable},
    enter::fresh_activation,
    gate::{self, RunGate},
    hearing::{Hearing, opened},
    history::{Book, Heard, Names},
    parent::child_end,
    payload::Sealer,
    prepare::cut,
    record::Outgoing,
    sessions,
    types::{EngineError, StartRun, Started},
    uppers, view,
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
    let tenant = start.tenant.clone();
    let payers = match engine.0.uppers.any(&tenant) {
        true => uppers::payers(engine.journal(), &agent.name, start.parent.map(|c| c.parent.run)).await?,
        false => Vec::new(),
    };
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
    let user = match &start.actor {
        By::User(name) => Some(name.clone()),
        _ => None,
    };
    let create = journal::NewRun {
        tenant: tenant.clone(),
        session,
        agent: agent.name.clone(),
        version: agent.version,
        parent: start.parent.map(|child| child.parent.run),
        user,
        idempotency: start.idempotency.clone(),
        title,
    };
    // As in `Actor::commit_with`: what budgets above have left may be known too late.
    let mut fresh = false;
    let (outgoing, row, prev) = loop {
        let offer = engine.offer(&tenant, &payers, fresh).await?;
        let metered = offer.is_some();
        let gated = (&*agent, policies.clone());
        let counted = (&*book, &*names);
        let decided = decide(engine, &start, (run, session), gated, counted, (admit.clone(), input.clone()), offer);
        let decision = match decided {
            Ok(decision) => decision,
            // It hangs on calls of others whose appends are under way.
            Err(mut settled) => {
                let _ = settled.changed().await;
                continue;
            }
        };
        if metered && !fresh && decision.facts.iter().any(Fact::is_blocked) {
            fresh = true;
            continue;
        }
        let outgoing = Outgoing::new(engine, decision, start.actor.clone());
        let row = view::run_state(&outgoing.state, outgoing.at);
        let index = index(&outgoing, create.clone(), row.clone(), queued);
        let moved = index.budgets.clone();
        let append = outgoing.append(GENESIS, sealer.blobs.clone(), Some(Box::new(index)));
        let prev = append.leaf;
        match durable(engine, append, OnTrouble::Tell, None).await {
            Ok(()) => {
                engine.0.uppers.moved(&tenant, &moved);
                break (outgoing, row, prev);
            }
            Err(EngineError::Append(AppendError::OverBudget { .. })) => fresh = true,
            Err(EngineError::Append(refused)) => return refusal(engine, run, refused, is_child).await,
            Err(other) => return Err(other),
        }
    };
    let Outgoing { record, state, .. } = outgoing;
    engine.0.counters.record(&record.facts, None, &state, Name::default);
    engine.0.bell.ring(&record.facts, record.header.at, None, &state);
    let ended = state.life.ended();
    if ended {
        engine.0.waiters.wake(run, &Ok(row.status));
    }
    let started = Started { run, session, queued, existing: false };
    let (activation, tail) = (state.activation, 1 + tail.unwrap_or(0));
    let born = (!ended && !queued).then_some(Born { state, prev, activation, agent, unloadable: None, row, tail });
    Ok((started, born))
}

/// The smaller of what a manifest says and what the operator does; nothing where that is what holds anyway.
fn bound(manifest: Option<u32>, operator: u32, usual: u32) -> Option<u32> {
    let most = manifest.map_or(operator, |most| most.min(operator));
    (most != usual).then_some(most)
}

fn decide(
    engine: &Engine,
    start: &StartRun,
    (run, session): (RunId, SessionId),
    (agent, policies): (&Agent, Option<Arc<Policies>>),
    (book, names): (&Book, &Names),
    (admit, input): (Option<Admit>, Payload),
    offer: Option<Offer>,
) -> Result<Decision, watch::Receiver<()>> {
    let mut config = agent.config.clone();
    config.limits = config.limits.tighten(&start.limits);
    let options = &engine.0.options;
    config.max_open_asks = bound(config.max_open_asks, options.max_open_asks, MAX_OPEN_ASKS);
    config.max_asks = bound(config.max_asks, options.max_asks, MAX_ASKS);
    // A plan is as good as the task it is drawn from: of other people's words none is drawn, whoever hands them on. A child
    // whose parent cannot say whose words its input is has none either.
    if !task_of(start).is_trusted() {
        config.plan = None;
    }
    // The session's conversation has to be heard before policies are asked about a model that is to read it.
    let unheard = agent.provenance.is_some() && admit.as_ref().is_some_and(|admit| admit.base.is_some());
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
    let hearing = agent.provenance.as_ref().map(|_| Hearing::new(agent));
    let inside = (!names.is_empty()).then(|| book.lock());
    let journal = &**engine.journal();
    let heard = inside.as_deref().map(|inside| {
        let split = AtomicBool::new(false);
        Heard { book, inside, names, journal, before: None, split }
    });
    let heard = heard.as_ref();
    let (hearing, off) = (hearing.as_ref(), engine.0.board.any());
    let gate = RunGate { policies, principal: &principal, agent, reply: None, hearing, heard, off, answers: None };
    let inputs = Inputs { now: engine.0.ports.clock.now(), activation: fresh_activation(engine), gate: &gate };
    let hold = engine.0.options.at_rest || engine.0.is_draining() || unheard;
    let decision = new.decide_under(inputs, Terms { hold, offer });
    match heard {
        Some(heard) if heard.split.load(Relaxed) => Err(book.settled()),
        _ => Ok(decision),
    }
}

/// Whose words a run's task is.
fn task_of(start: &StartRun) -> Label {
    match &start.label {
        Some(sealed) => opened(sealed),
        None if start.parent.is_some() => Label::default(),
        None => Label::new(Trust::Trusted, Origin::User),
    }
}

/// What stands in the indexes once the run exists.
fn index(outgoing: &Outgoing, create: journal::NewRun, row: RunState, queued: bool) -> IndexChange {
    let Outgoing { record, state, .. } = outgoing;
    let session = match (queued, state.life.ended()) {
        (true, _) => None,
        // A run can end with its first record, when its limits allow not even one call.
        (false, true) => Some(sessions::release(&state.budget)),
        (false, false) => Some(SessionChange::Claim),
    };
    let mut index = IndexChange {
        create: Some(create),
        run: Some(row),
        session,
        send: child_end(record, state, None, None).into_iter().collect(),
        budgets: moves(None, &record.facts),
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
