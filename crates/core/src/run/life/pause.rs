//! Pause and resume. While paused, what is under way may finish and humans may answer, but nothing new starts: an
//! approval is recorded, and consumed only by the intent that follows `Resumed`.

use crate::{
    fact::Fact,
    run::{
        decide::{Draft, Refusal},
        state::State,
    },
};

pub(in crate::run) fn pause(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    if draft.state.life.ended() {
        return Err(Refusal::Ended);
    }
    if draft.state.stop.is_some() {
        return Err(Refusal::Conflict("the run is being stopped"));
    }
    if !draft.state.paused {
        draft.emit(Fact::Paused);
    }
    Ok(())
}

pub(in crate::run) fn resume(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    if draft.state.life.ended() {
        return Err(Refusal::Ended);
    }
    if draft.state.paused {
        draft.emit(Fact::Resumed);
    }
    Ok(())
}

/// A pause may have been long, and is what operators do when something is wrong: what had been allowed before it is asked
/// about again.
pub(in crate::run) fn apply_resumed(state: &mut State) {
    state.paused = false;
    state.calls.iter_mut().for_each(|call| call.ruled = None);
}
