//! The fold. Infallible: a fact is something that happened, whatever the state looks like.

use super::{
    life,
    state::{Carry, State},
    step,
};
use crate::{
    budget::Amounts,
    fact::{Fact, PayloadIx},
    id::ActivationId,
    record::{Body, Payload, Record},
    time::Timestamp,
};

/// What surrounds a fact in its record.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a> {
    /// The record's time.
    pub at: Timestamp,
    /// The activation that wrote it.
    pub activation: ActivationId,
    /// The record's texts.
    pub payloads: &'a [Payload],
}

impl Env<'_> {
    /// The payload at `ix`, by handle. One that is missing folds like an erased one.
    pub(super) fn payload(&self, ix: PayloadIx) -> Payload {
        let unknown = Payload::new(Body::Erased { commitment: [0; 32] }, None);
        self.payloads.get(usize::from(ix)).cloned().map_or(unknown, Payload::bare)
    }
}

/// Folds what a record's header says: time, and working time if one activation has been at it since the last record.
pub(super) fn begin(state: &mut State, at: Timestamp, activation: ActivationId) {
    if state.activation == activation && state.working() {
        let worked = at.since(state.last_at);
        state.budget.active.0 = state.budget.active.0.saturating_add(worked.0);
        state.book(Amounts { active: worked, ..Amounts::default() });
    }
    state.last_at = state.last_at.max(at);
    state.activation = activation;
}

/// Folds one fact.
pub fn apply(state: &mut State, env: Env<'_>, fact: &Fact) {
    match fact {
        // The state is made from the first fact; see `fold`.
        Fact::RunStarted(f) => life::start::apply_started(state, env, f),
        Fact::RunAdmitted(f) => life::start::apply_admitted(state, f),
        Fact::ContextCompacted(f) => step::model::apply_compacted(state, f),
        Fact::ModelRequested(f) => step::model::apply_requested(state, env, f),
        Fact::ModelReplied(f) => step::model::apply_replied(state, env, f),
        Fact::ModelFailed(f) => step::model::apply_failed(state, f),
        // What follows from it is a fact of its own: the next model is asked, or the run fails.
        Fact::ModelDenied(_) | Fact::HistoryRead(_) => {}
        Fact::PlanDrawn(f) => step::plan::apply_drawn(state, env, f),
        Fact::PlanRejected(f) => step::plan::apply_rejected(state, env, f),
        Fact::EffectDecided(f) => step::tool::apply_decided(state, env, f),
        Fact::EffectIntended(f) => step::tool::apply_intended(state, env, f),
        Fact::EffectReturned(f) => step::tool::apply_returned(state, env, f),
        Fact::EffectRefused(f) => step::tool::apply_refused(state, env, f),
        Fact::EffectNotSent(f) => step::tool::apply_not_sent(state, env, f),
        Fact::EffectUnknown(f) => step::tool::apply_unknown(state, env, f),
        Fact::EffectReconciled(f) => step::tool::apply_reconciled(state, env, f),
        Fact::EffectWithdrawn(f) => step::tool::apply_withdrawn(state, f.effect),
        Fact::ApprovalRequested(f) => step::approval::apply_requested(state, env, f),
        Fact::ApprovalGiven(f) => step::approval::apply_given(state, env, f),
        Fact::ApprovalsUsed(f) => step::approval::apply_used(state, f),
        Fact::PreviewDecided(f) => step::preview::apply_decided(state, env, f),
        Fact::Previewed(f) => step::preview::apply_seen(state, env, f),
        Fact::ApprovalReminded(f) => step::patience::apply_reminded(state, env, f),
        Fact::ApprovalEscalated(f) => step::patience::apply_escalated(state, f),
        Fact::DelegationRenewed(f) => step::delegation::apply_renewed(state, f),
        Fact::ApprovalExpired(f) => step::approval::apply_expired(state, f.effect),
        Fact::ChildStarted(f) => step::child::apply_started(state, f),
        Fact::ChildFinished(f) => step::child::apply_finished(state, env, f),
        Fact::TimerFired(f) => step::timer::apply_fired(state, f),
        Fact::Restored(f) => life::restore::apply_restored(state, env, f),
        Fact::SandboxLimited(f) => life::limit::apply_limited(state, f),
        Fact::AnswerRejected(f) => step::answer::apply_rejected(state, env, f),
        Fact::BudgetMoved(f) => step::funds::apply_moved(state, f),
        Fact::Paused => state.paused = true,
        Fact::Resumed => life::pause::apply_resumed(state),
        Fact::CancelRequested(f) => life::stop::apply_requested(state, f),
        Fact::RunCompleted(_) => life::end::apply_completed(state),
        Fact::RunFailed(f) => life::end::apply_failed(state, f.code),
        Fact::RunCancelled => life::end::apply_cancelled(state),
    }
}

/// Folds the records of a run from its first; `carry` is what its base hands over (asked for when the run was
/// admitted onto one). `None` when there is no record, or the first is not a start.
pub fn fold<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    mut carry: impl FnMut(crate::id::RunId) -> Carry,
) -> Option<State> {
    let mut state: Option<State> = None;
    for record in records {
        match &mut state {
            Some(state) => state.apply_record(record, &mut carry),
            None => {
                let mut first = life::start::from_first(record)?;
                first.apply_record(record, &mut carry);
                state = Some(first);
            }
        }
    }
    state
}

impl State {
    /// Folds the next record.
    pub fn apply_record(&mut self, record: &Record, mut carry: impl FnMut(crate::id::RunId) -> Carry) {
        begin(self, record.header.at, record.header.activation);
        let env = Env { at: record.header.at, activation: record.header.activation, payloads: &record.payloads };
        for fact in &record.facts {
            apply(self, env, fact);
            if let Fact::RunAdmitted(admitted) = fact
                && let Some(base) = admitted.base
            {
                life::start::inherit(self, carry(base));
            }
        }
        self.next_seq = record.header.seq + 1;
    }
}
