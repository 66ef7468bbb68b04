//! What the world still owes a state. Recovery is `fold`, then this: there is no list of work under way to lose.

use super::{
    state::{Call, CallPhase, Life, Phase, State},
    step::patience,
};
use crate::{
    budget::{Limit, Limits},
    effect::Recovery,
    fact::StopMode,
    id::{ActivationId, RunId},
    time::{Span, Timestamp},
};

/// Something the engine has to pay. Paying is idempotent within an activation: the engine remembers what it has begun,
/// and abandons what is no longer owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Debt {
    /// Make this model attempt.
    CallModel {
        /// The turn.
        turn: u32,
        /// The attempt.
        attempt: u32,
        /// Index of the model in the chain.
        model: u8,
    },
    /// Make an attempt at this effect.
    Dispatch {
        /// The effect.
        effect: u32,
    },
    /// Work of another activation is lost: send `Command::Recover`. One for each thing lost.
    Recover {
        /// The effect; `None` for the model call.
        effect: Option<u32>,
        /// What the rules say about it.
        rule: Recovery,
    },
    /// Look at what this effect would do.
    Preview {
        /// The effect.
        effect: u32,
    },
    /// Ask the destination whether this effect happened.
    Reconcile {
        /// The effect.
        effect: u32,
    },
    /// Start this child, if it does not exist yet.
    StartChild {
        /// The effect.
        effect: u32,
        /// The child.
        child: RunId,
        /// Its limits.
        limits: Limits,
    },
    /// Tell this child to stop.
    StopChild {
        /// The effect.
        effect: u32,
        /// The child.
        child: RunId,
        /// How hard.
        mode: StopMode,
    },
}

/// What is owed to a run that this activation has loaded, at this time.
pub fn owes(state: &State, activation: ActivationId, now: Timestamp) -> impl Iterator<Item = Debt> + '_ {
    let live = state.life == Life::Live;
    let model = match state.phase {
        Phase::Model { attempt, model, activation: by, .. } if live => Some(if by == activation {
            Debt::CallModel { turn: state.turn, attempt, model }
        } else {
            Debt::Recover { effect: None, rule: Recovery::Repeat }
        }),
        _ => None,
    };
    let calls = state.calls.iter().filter(move |_| live).filter_map(move |c| call_debt(state, c, activation, now));
    model.into_iter().chain(calls)
}

fn call_debt(state: &State, call: &Call, activation: ActivationId, now: Timestamp) -> Option<Debt> {
    let effect = call.head.effect;
    match &call.phase {
        CallPhase::Open if !call.head.class.needs_intent() => {
            let now = state.may_dispatch() && state.renewing.is_none() && !state.waits_for_workspace(call);
            now.then_some(Debt::Dispatch { effect })
        }
        CallPhase::Previewing(_) => {
            (state.may_dispatch() && state.renewing.is_none()).then_some(Debt::Preview { effect })
        }
        CallPhase::Intended { activation: by, .. } if *by == activation => Some(Debt::Dispatch { effect }),
        CallPhase::Intended { .. } => Some(Debt::Recover { effect: Some(effect), rule: call.head.class.recovery() }),
        CallPhase::Reconcile { at, .. } if *at <= now && !state.paused => Some(Debt::Reconcile { effect }),
        CallPhase::Child { child, limits, .. } => Some(match state.stop {
            Some(stop) => Debt::StopChild { effect, child: *child, mode: stop.mode },
            None => Debt::StartChild { effect, child: *child, limits: limits.clone() },
        }),
        _ => None,
    }
}

/// When the run must be looked at again though nothing happens: a retry, an expiry, a limit of time. What is owed
/// already at `now` is no reason to wake.
pub fn wake_at(state: &State, now: Timestamp) -> Option<Timestamp> {
    if state.life != Life::Live {
        return None;
    }
    let deadline = state.calendar_end();
    let asked = state.asking.as_deref();
    let active = (state.working() && state.stop.is_none() && asked.is_none_or(|a| a.raise.limit != Limit::Active))
        .then_some(state.budget.limits.active)
        .flatten()
        .map(|limit| state.last_at.after(Span(limit.0.saturating_sub(state.budget.active.0))));
    // Expiry runs on while a run is paused; retries do not.
    let model = match state.phase {
        Phase::ModelWait(next) if state.may_dispatch() && !state.asks() => Some(next.at),
        _ => None,
    };
    let calls = state.calls.iter().filter_map(move |c| match c.phase {
        CallPhase::Asking { expires, .. } => {
            expires.into_iter().chain(patience::next(c).filter(|_| state.stop.is_none())).min()
        }
        CallPhase::Backoff { until, .. } if state.may_dispatch() => Some(until),
        CallPhase::Reconcile { at, .. } if !state.paused && at > now => Some(at),
        _ => None,
    });
    // What was let go and has not left yet must not leave once less is allowed.
    let leaves = |c: &Call| matches!(c.phase, CallPhase::Open | CallPhase::Intended { .. } | CallPhase::Previewing(_));
    let under_way = || matches!(state.phase, Phase::Model { .. }) || state.calls.iter().any(leaves);
    let narrows = state.behalf.narrows_at(now).filter(|_| !state.asks() && under_way());
    let renewed = state.renewing.and_then(|r| r.expires);
    calls
        .chain(asked.and_then(|a| a.expires))
        .chain(renewed)
        .chain(narrows)
        .chain(model)
        .chain(active)
        .chain(deadline)
        .min()
}

impl State {
    /// When the run's calendar time is over, unless it is being stopped already.
    fn calendar_end(&self) -> Option<Timestamp> {
        let asked = self.asking.as_ref().is_some_and(|a| a.raise.limit == Limit::Deadline);
        self.budget.limits.deadline.filter(|_| self.stop.is_none() && !asked).map(|d| self.started_at.after(d))
    }
}
