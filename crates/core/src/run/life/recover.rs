//! After a load: settle what another activation had under way. Nobody is there any more to report it.

use crate::{
    code,
    fact::{AfterUnknown, Fact, ModelFailed, NextAttempt},
    run::{
        decide::Draft,
        state::{CallPhase, Phase},
        step::tool::{Lost, settle_unknown},
    },
};

pub(in crate::run) fn recover(draft: &mut Draft<'_>) {
    if draft.state.life.ended() {
        return;
    }
    if let Phase::Model { attempt, model, reserved, activation } = draft.state.phase
        && activation != draft.activation
    {
        // A lost attempt settles at its full reservation, marked estimated. It does not count against the model's
        // attempts: the model did nothing wrong.
        let next = draft.state.stop.is_none().then_some(NextAttempt { model, tried: draft.state.tried, at: draft.now });
        let turn = draft.state.turn;
        draft.emit(Fact::ModelFailed(ModelFailed {
            turn,
            attempt,
            code: code::MODEL_LOST,
            spent: reserved,
            estimated: true,
            next,
            detail: None,
        }));
        super::super::step::timer::fire_model(draft);
    }
    for i in 0..draft.state.calls.len() {
        // The look is by get: the last call to end closes the turn, after which there are no calls.
        if let Some(CallPhase::Intended { activation, .. }) = draft.state.calls.get(i).map(|c| &c.phase)
            && *activation != draft.activation
        {
            let then = settle_unknown(draft, i, None, Lost::Yes, None);
            if matches!(then, AfterUnknown::Repeat(_)) {
                super::super::step::timer::fire_call(draft, i);
            }
        }
    }
}
