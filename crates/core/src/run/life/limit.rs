//! Other limits for the boxes of a run: an operator's word, durable, so that it holds for the boxes after a crash too.

use crate::{
    fact::Fact,
    run::{
        decide::{Draft, Refusal},
        state::State,
    },
    sandbox::BoxLimits,
};

pub(in crate::run) fn limit(draft: &mut Draft<'_>, limits: BoxLimits) -> Result<(), Refusal> {
    if draft.state.life.ended() {
        return Err(Refusal::Ended);
    }
    if draft.state.box_limits.changed(limits) != draft.state.box_limits {
        draft.emit(Fact::SandboxLimited(limits));
    }
    Ok(())
}

pub(in crate::run) fn apply_limited(state: &mut State, limits: &BoxLimits) {
    state.box_limits = state.box_limits.changed(*limits);
}
