//! The end of the conversation: an answer that fits ends the run, one that does not is repaired in turns of their own, each
//! of which counts as any turn does, and of which there are as many as the run was started with.
//!
//! Whether an answer fits comes in from outside: a schema is text, and text is sealed here.

use crate::{
    code,
    fact::{AnswerRejected, Fact, RunCompleted, RunFailed},
    record::Payload,
    run::{
        apply::Env,
        decide::Draft,
        state::State,
        transcript::{Entry, EntryKind},
    },
};

/// Ends the run with the answer of that turn, unless it does not fit.
pub(in crate::run) fn judge(draft: &mut Draft<'_>, turn: u32, misfit: Option<Payload>) {
    let (Some(allowed), Some(misfit)) = (draft.state.config.repairs, misfit) else {
        return draft.emit(Fact::RunCompleted(RunCompleted { turns: turn }));
    };
    let payload = draft.payload(misfit);
    let repair = draft.state.repairs.checked_add(1).filter(|n| *n <= allowed);
    draft.emit(Fact::AnswerRejected(AnswerRejected { turn, payload, repair }));
    if repair.is_none() {
        draft.emit(Fact::RunFailed(RunFailed { code: code::ANSWER_SCHEMA, payload: Some(payload) }));
    }
}

pub(in crate::run) fn apply_rejected(state: &mut State, env: Env<'_>, f: &AnswerRejected) {
    if let Some(repair) = f.repair {
        state.repairs = repair;
        state.say(Entry { kind: EntryKind::Rejected, payload: env.payload(f.payload), label: None });
    }
}
