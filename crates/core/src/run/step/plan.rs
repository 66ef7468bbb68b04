//! The plan of a run: drawn by a model from the task alone, in turns of their own before all others, and then frozen. What it
//! says is for provenance to read; here it is a text that is wanted, drawn, or done without.

use crate::{
    budget::Usage,
    fact::{Fact, ModelReplied, PlanDrawn, PlanRejected},
    record::Payload,
    ruling::PlanMark,
    run::{
        apply::Env,
        decide::{Draft, Refusal},
        state::{Planning, State},
        step::model::in_flight,
    },
};

/// A planner's reply: the plan, or what is wrong with it.
pub(in crate::run) fn planned(
    draft: &mut Draft<'_>,
    turn: u32,
    attempt: u32,
    reply: Payload,
    usage: Usage,
    plan: Result<Payload, Payload>,
) -> Result<(), Refusal> {
    let model = in_flight(&draft.state, turn, attempt)?;
    let Planning::Wanted { tries, .. } = draft.state.planning else { return Err(Refusal::Stale) };
    let spent = usage.spend(draft.state.config.models.get(usize::from(model)).and_then(|m| m.price));
    let payload = draft.payload(reply);
    draft.emit(Fact::ModelReplied(ModelReplied { turn, attempt, payload, usage, spent, calls: Vec::new() }));
    match plan {
        Ok(text) => {
            let payload = draft.payload(text);
            draft.emit(Fact::PlanDrawn(PlanDrawn { turn, payload }));
        }
        Err(why) => {
            let why = draft.payload(why);
            let allowed = draft.state.config.plan.unwrap_or(0);
            let again = tries.checked_add(1).filter(|n| *n <= allowed);
            draft.emit(Fact::PlanRejected(PlanRejected { turn, plan: payload, payload: why, again }));
        }
    }
    Ok(())
}

pub(in crate::run) fn apply_drawn(state: &mut State, env: Env<'_>, f: &PlanDrawn) {
    state.planning = Planning::Drawn(env.payload(f.payload));
}

pub(in crate::run) fn apply_rejected(state: &mut State, env: Env<'_>, f: &PlanRejected) {
    state.planning = match f.again {
        Some(tries) => Planning::Wanted { tries, last: Some((env.payload(f.plan), env.payload(f.payload))) },
        None => Planning::Without,
    };
}

/// Notes what a call that is let go is to the plan. One that is let go again is to it what was said last.
pub(in crate::run) fn mark(state: &mut State, effect: u32, mark: Option<&PlanMark>) {
    let before = state.plan_marks.iter().position(|(marked, _)| *marked == effect);
    match (before, mark) {
        (Some(i), Some(mark)) => state.plan_marks[i].1 = mark.clone(),
        (Some(i), None) => drop(state.plan_marks.remove(i)),
        (None, Some(mark)) => state.plan_marks.push((effect, mark.clone())),
        (None, None) => {}
    }
}

/// A call was never sent, or came to nothing that could be read: its slot, or the name that waits for it, is free again.
pub(in crate::run) fn free(state: &mut State, effect: u32, sent: bool) {
    state.plan_marks.retain(|(marked, mark)| *marked != effect || (sent && matches!(mark, PlanMark::Used { .. })));
}
