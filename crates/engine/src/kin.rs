//! What relatives of a run have sent without authority: the run that has started it, those that it has started, and earlier ones of its
//! session. An untrusted value that one of them wrote somewhere counts as little when another reads it there.
//!
//! Their journals say it, and are heard as their own; nothing is kept for it. It is looked up only where a tool's results may count for
//! something, for elsewhere there is nothing to lower.

use std::collections::BTreeSet;

use stead_core::{
    id::{EffectId, RunId},
    run::{Entry, EntryKind, Life, State},
};
use stead_ports::{
    agent::{Agent, Behind, Provenance},
    journal::{RunFilter, Status},
};
use stead_provenance::{declare::Tool, ledger::Ledger};

use crate::{
    Engine,
    hearing::{Hearing, opened},
    listen::hear_own,
    load::load,
    messages::Messages,
    types::EngineError,
};

/// Relatives that are heard; of a run that has more, no result counts for anything.
const MOST: usize = 256;

/// Hears the relatives of a run as far as that was not done: all of those before it when nothing was heard yet, and the children whose
/// answers have come since.
pub(crate) async fn join(
    engine: &Engine,
    hearing: &mut Hearing,
    (agent, provenance): (&Agent, &Provenance),
    state: &State,
) -> Result<(), EngineError> {
    if !provenance.tools.values().any(|tool| tool.trust.vouches()) {
        return Ok(());
    }
    let mut found = Found { known: BTreeSet::from([state.run]), open: Vec::new(), full: false };
    if hearing.len() == 0 {
        state.parent.into_iter().for_each(|parent| found.find(parent.run));
        if state.earlier > 0 {
            earlier(engine, agent, state, &mut found).await?;
        }
    }
    found.children(agent, state, hearing.len());
    while let Some(run) = found.open.pop() {
        relative(engine, hearing.ledger(), run, &mut found).await?;
    }
    if found.full {
        hearing.ledger().distrust();
    }
    Ok(())
}

/// Relatives that are known, and those that have not been heard.
struct Found {
    known: BTreeSet<RunId>,
    open: Vec<RunId>,
    full: bool,
}

impl Found {
    fn find(&mut self, run: RunId) {
        if self.known.contains(&run) {
            return;
        }
        if self.known.len() > MOST {
            self.full = true;
            return;
        }
        self.known.insert(run);
        self.open.push(run);
    }

    /// Finds the children whose answers have come into a run's conversation after its first so many entries.
    fn children(&mut self, agent: &Agent, state: &State, heard: usize) {
        let own = (state.earlier as usize).max(heard);
        for entry in state.transcript.iter().skip(own) {
            if let EntryKind::Result { effect, .. } = entry.kind
                && is_of_child(agent, entry)
            {
                self.find(EffectId { run: state.run, n: effect }.child().0);
            }
        }
    }
}

/// Whether a result can be the answer of a child that has read what nobody vouches for. What a failure says has no label.
fn is_of_child(agent: &Agent, entry: &Entry) -> bool {
    agent.tools.iter().any(|tool| matches!(tool.behind, Behind::Agent(..)))
        && entry.label.as_ref().map(opened).unwrap_or_default().is_tainted()
}

/// Earlier runs of the session that did not complete, for their last turn is not in its conversation; and what earlier runs have started,
/// if they started any that read something.
async fn earlier(engine: &Engine, agent: &Agent, state: &State, found: &mut Found) -> Result<(), EngineError> {
    let mut words = state.transcript.iter().take(state.earlier as usize);
    let children = words.any(|entry| matches!(entry.kind, EntryKind::Result { .. }) && is_of_child(agent, entry));
    let filter = RunFilter {
        tenant: state.tenant.clone(),
        session: Some(state.session),
        before: Some(state.run),
        status: if children { Vec::new() } else { vec![Status::Failed, Status::Cancelled] },
        limit: MOST as u32 + 1,
        ..RunFilter::default()
    };
    let rows = engine.journal().runs(&filter).await?;
    found.full |= rows.len() > MOST;
    rows.iter().for_each(|row| found.find(row.id));
    Ok(())
}

/// Hears what a relative has sent, and finds its own relatives.
async fn relative(engine: &Engine, ledger: &mut Ledger, run: RunId, found: &mut Found) -> Result<(), EngineError> {
    let state = match load(engine.journal(), run).await {
        Ok(Some(loaded)) => loaded.state,
        // It was never started.
        Ok(None) => return Ok(()),
        Err(EngineError::Store(e)) => return Err(EngineError::Store(e)),
        // What it has sent nobody can tell.
        Err(_) => {
            ledger.distrust();
            return Ok(());
        }
    };
    state.parent.into_iter().for_each(|parent| found.find(parent.run));
    if state.life == Life::Queued {
        return Ok(());
    }
    let Ok(agent) = engine.0.ports.agents.load(&state.tenant, state.version).await else {
        ledger.distrust();
        return Ok(());
    };
    found.children(&agent, &state, 0);
    let bare = bare(&agent);
    let provenance = agent.provenance.as_ref().unwrap_or(&bare);
    let (mut hearing, mut messages) = (Hearing::new(&agent), Messages::default());
    messages.refresh(engine.journal(), &state, None).await?;
    hear_own(engine.journal(), &mut hearing, &messages, (&agent, provenance), &state).await?;
    ledger.echo(hearing.ledger());
    Ok(())
}

/// An agent of which nothing is declared: what it sends is followed all the same.
fn bare(agent: &Agent) -> Provenance {
    let tools = agent.tools.iter().map(|tool| {
        let name = tool.def.name.as_str();
        (name.to_owned(), Tool::named(name).input(tool.def.schema.clone()))
    });
    Provenance { tools: tools.collect(), ..Provenance::default() }
}
