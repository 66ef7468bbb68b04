//! Checks on a folded state: what it owes, and to whom; what it waits for; whether its sums add up.

use stead_core::{
    context::{CLEARED, Seen, view},
    fact::StopMode,
    id::ActivationId,
    run::{CallPhase, Debt, EntryKind, Life, Phase, State, owes, wake_at},
    time::Timestamp,
};

use crate::failure::{Check, violation};

/// An activation that never wrote anything.
const STRANGER: ActivationId = ActivationId(u64::MAX);
/// Later than any wait.
const END_OF_TIME: Timestamp = Timestamp(i64::MAX);

/// Runs all checks of this file.
pub fn all(state: &State) -> Check {
    only_its_activation_dispatches(state)?;
    waits_for_something(state)?;
    reserved_adds_up(state)?;
    ended_owes_nothing(state)
}

/// Intents: an activation is owed `Dispatch` only for intents that name it, and model calls only if it asked for them.
pub fn only_its_activation_dispatches(state: &State) -> Check {
    for debt in owes(state, STRANGER, END_OF_TIME) {
        let wrong = match debt {
            Debt::CallModel { .. } => true,
            Debt::Dispatch { effect } => state.call(effect).is_none_or(|c| c.head.class.needs_intent()),
            _ => false,
        };
        if wrong {
            return violation("only its activation dispatches", format!("a stranger is owed {debt:?}"));
        }
    }
    Ok(())
}

/// A live run is never asleep for good: something is owed, a time will come, a human is asked, it is paused, or it was
/// held back until the next activation.
pub fn waits_for_something(state: &State) -> Check {
    if state.life != Life::Live || state.paused || state.held() || wake_at(state, state.last_at).is_some() {
        return Ok(());
    }
    let asked = state.renewing.is_some() || state.calls.iter().any(|c| matches!(c.phase, CallPhase::Asking { .. }));
    if asked || owes(state, state.activation, state.last_at).next().is_some() {
        return Ok(());
    }
    violation("a live run waits for something", format!("phase {:?}, calls {:?}", state.phase, state.calls))
}

/// What is set aside is what the model call and the children under way have set aside.
pub fn reserved_adds_up(state: &State) -> Check {
    let model = match &state.phase {
        Phase::Model { reserved, .. } => reserved.tokens,
        _ => 0,
    };
    let children: u64 = state
        .calls
        .iter()
        .map(|c| match &c.phase {
            CallPhase::Child { reserved, .. } => reserved.tokens,
            _ => 0,
        })
        .sum();
    if model + children != state.budget.reserved.tokens {
        let detail = format!("{} set aside, {model} + {children} under way", state.budget.reserved.tokens);
        return violation("what is reserved adds up", detail);
    }
    Ok(())
}

/// A run that is over wants nothing more.
pub fn ended_owes_nothing(state: &State) -> Check {
    if !state.life.ended() {
        return Ok(());
    }
    if let Some(debt) = owes(state, state.activation, END_OF_TIME).next() {
        return violation("an ended run owes nothing", format!("{debt:?}"));
    }
    if wake_at(state, state.last_at).is_some() || !state.calls.is_empty() || !state.notes.is_empty() {
        return violation("an ended run owes nothing", "it wakes, or its last turn is open");
    }
    Ok(())
}

/// Stop: once a run is being stopped, no effect becomes owed that was not owed before, and no model call at all.
pub fn gate_stays_closed(before: &State, after: &State) -> Check {
    let Some(stop) = after.stop else { return Ok(()) };
    let dispatches =
        |state: &State, effect: u32| owes(state, after.activation, END_OF_TIME).any(|d| d == Debt::Dispatch { effect });
    for debt in owes(after, after.activation, END_OF_TIME) {
        match debt {
            Debt::Dispatch { effect } if dispatches(before, effect) && stop.mode == StopMode::Cancel => {}
            Debt::Dispatch { .. } | Debt::CallModel { .. } | Debt::Preview { .. } | Debt::StartChild { .. } => {
                return violation("the gate stays closed", format!("{debt:?} is newly owed while stopping"));
            }
            Debt::Recover { .. } | Debt::Reconcile { .. } | Debt::StopChild { .. } => {}
        }
    }
    Ok(())
}

/// Working memory: the count of the view's tokens is the view's.
pub fn view_adds_up(state: &State) -> Check {
    let cleared = CLEARED.len() as u64 / 4 + 4;
    let tokens: u64 = view(state)
        .map(|seen| match seen {
            Seen::Whole(entry) => entry.tokens(),
            Seen::Cleared(_) => cleared,
        })
        .sum();
    if tokens != state.view_tokens {
        return violation("the view adds up", format!("{tokens} tokens in view, {} counted", state.view_tokens));
    }
    Ok(())
}

/// Every call of a turn has exactly one result, in the order of the calls, and nothing comes between a reply and the
/// results of its calls. `turns` has the effects of each reply of this run's own part, which begins at `own`.
pub fn one_result_per_call(state: &State, own: usize, turns: &[Vec<u32>]) -> Check {
    const NAME: &str = "one result per call, in order";
    let mut entries = state.transcript.iter().skip(own).map(|e| e.kind);
    let mut turns = turns.iter();
    while let Some(kind) = entries.next() {
        match kind {
            EntryKind::User | EntryKind::Note | EntryKind::Rejected => {}
            EntryKind::Result { effect, .. } => return violation(NAME, format!("result {effect} follows no reply")),
            EntryKind::Reply => {
                let Some(calls) = turns.next() else { return violation(NAME, "a reply that no fact tells of") };
                for (index, wanted) in calls.iter().enumerate() {
                    match entries.next() {
                        Some(EntryKind::Result { effect, call, .. })
                            if effect == *wanted && usize::from(call) == index => {}
                        other => return violation(NAME, format!("wanted the result of {wanted}, found {other:?}")),
                    }
                }
            }
        }
    }
    match turns.next() {
        Some(calls) => violation(NAME, format!("the reply with the calls {calls:?} is missing")),
        None => Ok(()),
    }
}
