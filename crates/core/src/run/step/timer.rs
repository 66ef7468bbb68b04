//! Waits that are over: a retry is due, nobody approved, a limit of time is reached.

use crate::{
    fact::{EffectRef, Fact, TimerFired},
    run::{
        decide::Draft,
        life::stop,
        state::{CallPhase, Life, Phase, State},
        step::{delegation, funds, model, patience},
    },
};

pub(in crate::run) fn tick(draft: &mut Draft<'_>) {
    if draft.state.life != Life::Live {
        return;
    }
    expire(draft);
    if draft.state.stop.is_some() {
        return;
    }
    patience::tell(draft);
    if let Some(limit) = stop::time_limit(&draft.state, draft.now) {
        return funds::reached(draft, funds::Reached::time(limit));
    }
    if draft.state.paused {
        return;
    }
    if let Phase::ModelWait(next) = draft.state.phase
        && next.at <= draft.now
    {
        fire_model(draft);
    }
    for i in 0..draft.state.calls.len() {
        if let CallPhase::Backoff { until, .. } = draft.state.calls[i].phase
            && until <= draft.now
        {
            fire_call(draft, i);
        }
    }
    note_working_time(draft);
}

/// Working time is counted from the last record of the same activation. An activation that has written nothing yet
/// notes that it is at work, or a wake for the limit of working time would come to nothing, again and again.
fn note_working_time(draft: &mut Draft<'_>) {
    if draft.fresh && draft.facts.is_empty() && draft.state.working() && draft.state.budget.limits.active.is_some() {
        draft.emit(Fact::TimerFired(TimerFired { effect: None }));
    }
}

/// Approvals whose time is over. Runs on while the run is paused.
fn expire(draft: &mut Draft<'_>) {
    let over: Vec<u32> = draft
        .state
        .calls
        .iter()
        .filter(|c| matches!(c.phase, CallPhase::Asking { expires: Some(e), .. } if e <= draft.now))
        .map(|c| c.head.effect)
        .collect();
    for effect in over {
        draft.emit(Fact::ApprovalExpired(EffectRef { effect }));
    }
    if let Some(asking) = draft.state.asking.clone()
        && asking.expires.is_some_and(|e| e <= draft.now)
    {
        draft.emit(Fact::ApprovalExpired(EffectRef { effect: asking.effect }));
        stop::by_limit(draft, asking.raise.limit, asking.raise.blocked);
    }
    delegation::expire(draft);
}

/// The model's wait is over: its next attempt.
pub(in crate::run) fn fire_model(draft: &mut Draft<'_>) {
    let Phase::ModelWait(next) = draft.state.phase else { return };
    if draft.hold || !draft.state.may_dispatch() || draft.state.asks() {
        return;
    }
    if draft.state.behalf.is_over(draft.now) {
        return delegation::ask(draft);
    }
    let (turn, attempt) = (draft.state.turn, draft.state.attempt + 1);
    model::request_attempt(draft, turn, attempt, next.model);
}

/// A call's wait is over: it may go again.
pub(in crate::run) fn fire_call(draft: &mut Draft<'_>, i: usize) {
    if !draft.state.may_dispatch() {
        return;
    }
    if let Some(call) = draft.state.calls.get(i) {
        let effect = Some(call.head.effect);
        draft.emit(Fact::TimerFired(TimerFired { effect }));
    }
}

pub(in crate::run) fn apply_fired(state: &mut State, f: &TimerFired) {
    if let Some(call) = f.effect.and_then(|e| state.call_mut(e))
        && matches!(call.phase, CallPhase::Backoff { .. })
    {
        call.phase = CallPhase::Open;
    }
}
