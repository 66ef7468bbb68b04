//! Before an activation ends in order, or when operators turn off what is needed: what it had promised in the journal and not sent is
//! nobody's loss. It is done afresh later, and counts as no attempt.

use crate::{
    budget::Spend,
    code,
    fact::{Fact, Held, ModelFailed, NextAttempt},
    run::{
        decide::Draft,
        life::stop,
        state::{CallPhase, Phase},
        step::tool,
    },
};

pub(in crate::run) fn unsent(draft: &mut Draft<'_>, model: bool, effects: &[u32], why: Held) {
    if let Phase::Model { attempt, model: index, activation, .. } = draft.state.phase
        && model
        && activation == draft.activation
    {
        // Nothing was sent, so nothing was spent.
        let next = NextAttempt { model: index, tried: draft.state.tried, at: draft.now };
        draft.emit(Fact::ModelFailed(ModelFailed {
            turn: draft.state.turn,
            attempt,
            code: match why {
                Held::Draining => code::DRAINING,
                Held::Disabled => code::DISABLED,
                Held::Ended => code::DELEGATION,
            },
            spent: Spend::ZERO,
            estimated: false,
            next: draft.state.stop.is_none().then_some(next),
            detail: None,
        }));
    }
    let mine =
        |phase: &CallPhase| matches!(phase, CallPhase::Intended { activation, .. } if *activation == draft.activation);
    let intended = draft.state.calls.iter().filter(|c| mine(&c.phase)).map(|c| c.head.effect);
    let (unsent, sent): (Vec<u32>, Vec<u32>) = intended.partition(|effect| effects.contains(effect));
    if draft.state.stop.is_some() {
        return stop::withdraw_undispatched(draft, &sent);
    }
    for effect in unsent {
        tool::held(draft, effect, why);
    }
}
