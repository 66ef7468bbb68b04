//! The only loop of the machine: after any change, what follows by itself.

use super::{
    decide::Draft,
    life,
    state::{CallPhase, Life, Phase},
    step,
};

/// Emits every fact that follows from the state without anything new from outside. Stops when the run waits, or has
/// ended; each round emits at least one fact, and each fact leads nearer to one of these.
pub(super) fn advance(draft: &mut Draft<'_>) {
    loop {
        let before = draft.facts.len();
        round(draft);
        if draft.facts.len() == before {
            return;
        }
    }
}

fn round(draft: &mut Draft<'_>) {
    if draft.state.life != Life::Live {
        return;
    }
    if draft.state.stop.is_some() {
        return life::stop::finish(draft);
    }
    if draft.state.paused {
        return;
    }
    if let Some(limit) = life::stop::time_limit(&draft.state, draft.now) {
        return step::funds::reached(draft, step::funds::Reached::time(limit));
    }
    if draft.state.asks() {
        return;
    }
    if step::delegation::must_ask(draft) {
        return step::delegation::ask(draft);
    }
    match &draft.state.phase {
        Phase::Idle if draft.hold => {}
        Phase::Idle => step::model::request(draft),
        // Left by `Tick` only: a wait ends when its time has come, not when something else happens.
        Phase::ModelWait(_) | Phase::Model { .. } => {}
        Phase::Tools => {
            for i in 0..draft.state.calls.len() {
                match draft.state.calls[i].phase {
                    CallPhase::Undecided => step::tool::decide_call(draft, i),
                    CallPhase::Asking { .. } => step::approval::weigh(draft, i),
                    CallPhase::Previewing(_) => step::preview::still_allowed(draft, i),
                    CallPhase::Open if !draft.hold => step::tool::open_call(draft, i),
                    _ => {}
                }
                // A decision can stop the run, ask about a limit, or close the turn.
                if draft.state.phase != Phase::Tools || draft.state.stop.is_some() || draft.state.asks() {
                    return;
                }
            }
        }
    }
}
