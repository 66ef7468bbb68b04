//! The last fact of a run.

use crate::{
    code::Code,
    run::state::{Life, Phase, State},
};

fn end(state: &mut State, life: Life) {
    state.life = life;
    state.phase = Phase::Idle;
    state.paused = false;
}

pub(in crate::run) fn apply_completed(state: &mut State) {
    end(state, Life::Completed);
}

pub(in crate::run) fn apply_failed(state: &mut State, code: Code) {
    end(state, Life::Failed(code));
}

pub(in crate::run) fn apply_cancelled(state: &mut State) {
    end(state, Life::Cancelled);
}
