//! Stop: by a person, or by a limit. From the moment `CancelRequested` is durable nothing new is dispatched; what was
//! never dispatched is withdrawn, what is under way may finish (cancel) or is abandoned (kill); then the run ends.

use crate::{
    budget::{Blocked, Limit},
    code,
    effect::Recovery,
    fact::{
        AfterUnknown, AskReason, CancelRequested, EffectRef, EffectUnknown, Fact, ModelFailed, RunFailed, StopMode,
    },
    run::{
        decide::{Draft, Refusal},
        state::{CallPhase, Life, Phase, State, Stop},
    },
    time::Timestamp,
};

/// The limit of time that has been reached, if any.
pub(in crate::run) fn time_limit(state: &State, now: Timestamp) -> Option<Limit> {
    let limits = &state.budget.limits;
    let asked = |limit| state.asking.as_ref().is_some_and(|a| a.raise.limit == limit);
    if limits.deadline.is_some_and(|d| now >= state.started_at.after(d)) && !asked(Limit::Deadline) {
        Some(Limit::Deadline)
    } else if limits.active.is_some_and(|a| state.budget.active >= a) && !asked(Limit::Active) {
        Some(Limit::Active)
    } else {
        None
    }
}

/// Stops because of a limit, of the run or of a budget above it. Effects under way may finish: which of them have left the engine is not known here.
pub(in crate::run) fn by_limit(draft: &mut Draft<'_>, limit: Limit, blocked: Option<Blocked>) {
    by_itself(draft, Some((limit, blocked)));
}

/// Stops because the person on whose behalf the run works does not let it go on.
pub(in crate::run) fn undelegated(draft: &mut Draft<'_>) {
    by_itself(draft, None);
}

fn by_itself(draft: &mut Draft<'_>, limit: Option<(Limit, Option<Blocked>)>) {
    let under_way: Vec<u32> = draft
        .state
        .calls
        .iter()
        .filter(|c| matches!(c.phase, CallPhase::Intended { .. }))
        .map(|c| c.head.effect)
        // An intent of this very decision is not durable yet, so nobody has acted on it.
        .filter(|e| !draft.facts.iter().any(|f| matches!(f, Fact::EffectIntended(i) if i.effect == *e)))
        .collect();
    // It cannot be refused: the run is live and not yet being stopped.
    let _ = stop_for(draft, StopMode::Cancel, limit, &under_way);
}

pub(in crate::run) fn stop(draft: &mut Draft<'_>, mode: StopMode, dispatched: &[u32]) -> Result<(), Refusal> {
    stop_for(draft, mode, None, dispatched)
}

fn stop_for(
    draft: &mut Draft<'_>,
    mode: StopMode,
    limit: Option<(Limit, Option<Blocked>)>,
    dispatched: &[u32],
) -> Result<(), Refusal> {
    if draft.state.life.ended() {
        return Err(Refusal::Ended);
    }
    // A second stop matters only if it is harder; but a person's closes the gate also for what a limit, which does not
    // know what has left the engine, had to take for under way.
    match draft.state.stop {
        Some(Stop { mode: StopMode::Cancel, .. }) if mode == StopMode::Kill => {}
        Some(_) => {
            withdraw_undispatched(draft, dispatched);
            return Ok(());
        }
        None => {}
    }
    let before = || Some((draft.state.stop?.limit?, draft.state.blocked.as_deref().cloned()));
    let (limit, blocked) = limit.or_else(before).unzip();
    let blocked = blocked.flatten().map(Box::new);
    draft.emit(Fact::CancelRequested(CancelRequested { mode, limit, blocked }));
    if draft.state.life == Life::Queued {
        draft.emit(Fact::RunCancelled);
        return Ok(());
    }
    if let Phase::Model { attempt, reserved, .. } = draft.state.phase {
        let turn = draft.state.turn;
        draft.emit(Fact::ModelFailed(ModelFailed {
            turn,
            attempt,
            code: code::STOPPED,
            spent: reserved,
            estimated: true,
            next: None,
            detail: None,
        }));
    }
    for i in 0..draft.state.calls.len() {
        stop_call(draft, i, mode, dispatched);
    }
    Ok(())
}

/// Closes what was intended and has not left the engine.
pub(in crate::run) fn withdraw_undispatched(draft: &mut Draft<'_>, dispatched: &[u32]) {
    for i in 0..draft.state.calls.len() {
        if let Some(CallPhase::Intended { .. }) = draft.state.calls.get(i).map(|c| &c.phase) {
            stop_call(draft, i, StopMode::Cancel, dispatched);
        }
    }
}

/// Closes one call. May close the turn, after which there are no calls; hence the look by index.
fn stop_call(draft: &mut Draft<'_>, i: usize, mode: StopMode, dispatched: &[u32]) {
    let Some(call) = draft.state.calls.get(i) else { return };
    let effect = call.head.effect;
    let withdraw = Fact::EffectWithdrawn(EffectRef { effect });
    // Only an effect that was never dispatched, in no attempt, can be withdrawn.
    let maybe = call.maybe.is_some();
    match &call.phase {
        CallPhase::Ended { .. } | CallPhase::Child { .. } => {}
        CallPhase::Asking { reason: AskReason::OutcomeUnknown, .. } | CallPhase::Backoff { unknown: true, .. } => {
            give_up(draft, effect);
        }
        CallPhase::Previewing(look) if look.waiting.reason == AskReason::OutcomeUnknown => give_up(draft, effect),
        CallPhase::Undecided
        | CallPhase::Previewing(_)
        | CallPhase::Asking { .. }
        | CallPhase::Open
        | CallPhase::Backoff { .. } => {
            if maybe {
                give_up(draft, effect)
            } else {
                draft.emit(withdraw)
            }
        }
        CallPhase::Intended { activation, .. } if *activation == draft.activation && !dispatched.contains(&effect) => {
            if maybe {
                give_up(draft, effect)
            } else {
                draft.emit(withdraw)
            }
        }
        CallPhase::Intended { .. } | CallPhase::Reconcile { .. } => {
            if mode == StopMode::Kill {
                give_up(draft, effect);
            }
        }
    }
}

fn give_up(draft: &mut Draft<'_>, effect: u32) {
    let text = "the run was stopped while this was under way; whether it happened is unknown.";
    let payload = Some(draft.notice(format!("{}: {text}", code::EFFECT_UNKNOWN)));
    draft.emit(Fact::EffectUnknown(EffectUnknown { effect, then: AfterUnknown::Tell, payload, action: None }));
}

/// Ends a stopping run once nothing is under way.
pub(in crate::run) fn finish(draft: &mut Draft<'_>) {
    if draft.state.calls.iter().any(|c| !c.ended()) {
        return;
    }
    let Some(stop) = draft.state.stop else { return };
    match stop.limit {
        Some(limit) => {
            let code = match limit {
                Limit::Unpriced => code::UNPRICED,
                Limit::Turns => code::TURNS,
                _ => code::BUDGET,
            };
            let text = match draft.state.blocked.as_deref() {
                Some(blocked) => format!("{} ({})", limit_text(limit), blocked.text(limit)),
                None => limit_text(limit).to_owned(),
            };
            let payload = Some(draft.notice(text));
            draft.emit(Fact::RunFailed(RunFailed { code, payload }));
        }
        None => draft.emit(Fact::RunCancelled),
    }
}

const fn limit_text(limit: Limit) -> &'static str {
    match limit {
        Limit::Tokens => "the next model call could cross the run's limit of tokens (budget.tokens)",
        Limit::Usd => "the next model call could cross the run's limit of money (budget.usd)",
        Limit::Unpriced => {
            "budget.usd is set, and the price of the model is not known: give model.price, or drop the limit"
        }
        Limit::ToolCalls => "the model asked for more tool calls than budget.tool_calls allows",
        Limit::Active => "the run has worked as long as budget.active allows",
        Limit::Deadline => "the run's time is over (budget.deadline)",
        Limit::Children => "the model asked for more child runs than budget.children allows",
        Limit::Cpu => "the run's sandboxes have used the processor time of budget.cpu",
        Limit::Traffic => "the run's sandboxes have exchanged the bytes of budget.traffic with hosts",
        Limit::Disk => "the session's workspace has grown by the bytes of budget.disk",
        Limit::Turns => "the model took as many turns as max_turns allows",
    }
}

pub(in crate::run) fn apply_requested(state: &mut State, f: &CancelRequested) {
    state.stop = Some(Stop { mode: f.mode, limit: f.limit });
    state.blocked.clone_from(&f.blocked);
    state.asking = None;
    state.renewing = None;
    state.paused = false;
    if matches!(state.phase, Phase::ModelWait(_)) {
        state.phase = Phase::Idle;
    }
}

/// Whether an unknown outcome may still be asked about while stopping.
pub(in crate::run) const fn may_reconcile(stop: Option<Stop>, rule: Recovery) -> bool {
    match stop {
        None => true,
        Some(stop) => matches!((stop.mode, rule), (StopMode::Cancel, Recovery::Reconcile)),
    }
}
