//! Open questions to humans: how the index of them follows a run, and the list that people read. What an answer does is
//! the machine's.

use std::collections::{HashMap, hash_map::Entry};

use stead_core::{
    id::RunId,
    run::{CallPhase, Life, State},
};
use stead_ports::journal::{ApprovalFilter, ApprovalRow, IndexChange, Question};

use crate::{
    Engine,
    load::load,
    types::{ApprovalPage, ApprovalView, EngineError},
    view,
};

/// Runs looked at in one go when an index is filled.
const PAGE: u32 = 1_000;

/// What a run asks now.
pub(crate) fn open(state: &State) -> impl Iterator<Item = Question> {
    let calls = if state.life == Life::Live { &state.calls[..] } else { &[] };
    let calls = calls.iter().filter_map(|call| match call.phase {
        CallPhase::Asking { since, .. } => {
            let steps = u32::try_from(call.escalated.len()).unwrap_or(u32::MAX);
            let round = call.reminders.saturating_add(steps);
            Some(Question { effect: call.head.effect, asked: since, round })
        }
        _ => None,
    });
    let limit = state.asking.as_ref().filter(|_| state.life == Life::Live);
    let renewal = state.renewing.filter(|_| state.life == Life::Live);
    let whole = limit.map(|a| Question { effect: a.effect, asked: a.since, round: 0 });
    calls.chain(whole).chain(renewal.map(|r| Question { effect: r.effect, asked: r.since, round: 0 }))
}

/// Enters into an append's changes what is asked after it and was not before, and the other way round. It compares
/// states, not facts: whatever opens or closes a question, now or in a later release, the index follows.
pub(crate) fn follow(before: Option<&State>, after: &State, index: &mut IndexChange) {
    let was = || before.into_iter().flat_map(open);
    index.asked.extend(open(after).filter(|question| !was().any(|q| q == *question)));
    index.closed.extend(was().map(|q| q.effect).filter(|effect| !open(after).any(|q| q.effect == *effect)));
}

impl Engine {
    /// Questions that wait for a human, the one asked last first. A page may hold fewer than asked for, or none, and go
    /// on: what was answered meanwhile is not in it, nor what a run asks that cannot be read.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn approvals(&self, filter: &ApprovalFilter) -> Result<ApprovalPage, EngineError> {
        // One more than wanted tells whether there is a next page.
        let wanted = ApprovalFilter { limit: filter.limit.saturating_add(1), ..filter.clone() };
        let mut rows = self.journal().approvals(&wanted).await?;
        let more = rows.len() > filter.limit as usize;
        rows.truncate(filter.limit as usize);
        let next = rows.last().filter(|_| more).copied();
        Ok(ApprovalPage { items: self.asked(&rows).await?, next })
    }

    /// The questions of rows, in their order. The index finds them; what they are is read from the runs, so that texts
    /// are kept in one place only.
    async fn asked(&self, rows: &[ApprovalRow]) -> Result<Vec<ApprovalView>, EngineError> {
        let mut of_run: HashMap<RunId, Vec<ApprovalView>> = HashMap::new();
        let mut items = Vec::with_capacity(rows.len());
        for ApprovalRow { effect, .. } in rows {
            let asks = match of_run.entry(effect.run) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(match load(self.journal(), effect.run).await {
                    Ok(Some(loaded)) => view::approvals(self.journal(), &loaded.state).await?,
                    // One that cannot be read does not hide the others.
                    Ok(None) | Err(EngineError::Quarantined { .. }) => Vec::new(),
                    Err(other) => return Err(other),
                }),
            };
            items.extend(asks.iter().find(|a| a.effect == *effect).cloned());
        }
        Ok(items)
    }
}

/// Tells the journal once what runs ask that a release without this index left. Before any run is taken up, so that the
/// index then follows each from where it stands; cut off in the middle, it is done again from the beginning.
pub(crate) async fn fill(engine: &Engine) -> Result<(), EngineError> {
    let journal = engine.journal();
    let mut page = journal.unlisted(None, PAGE).await?;
    let mut runs = 0;
    while let Some(last) = page.last().copied() {
        let mut asked = Vec::new();
        for run in &page {
            match load(journal, *run).await {
                Ok(Some(loaded)) => asked.extend(open(&loaded.state).map(|question| (*run, question))),
                Ok(None) => {}
                Err(error @ EngineError::Quarantined { .. }) => {
                    tracing::warn!(%run, %error, "what it asks is not listed");
                }
                Err(other) => return Err(other),
            }
        }
        runs += page.len();
        page = journal.unlisted(Some(last), PAGE).await?;
        journal.fill_approvals(engine.0.lease.lease, &asked, page.is_empty()).await?;
    }
    if runs > 0 {
        tracing::info!(runs, "what runs of an earlier release ask was entered");
    }
    Ok(())
}
