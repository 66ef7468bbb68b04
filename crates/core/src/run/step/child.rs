//! A child run: an agent used as a tool. Its budget is cut from its parent's and settled when it ends.

use crate::{
    budget::{Amounts, Limit, Limits, Spend},
    effect::Ended,
    fact::{ChildFinished, ChildStarted, Fact},
    label::SealedLabel,
    record::Payload,
    run::{
        apply::Env,
        decide::{Draft, Refusal},
        state::{CallPhase, State},
        step::{
            funds,
            model::release,
            tool::{Ending, end_with},
        },
    },
    sandbox::BoxTotals,
};

/// Sets budget aside for a child and owes its start.
pub(in crate::run) fn start(draft: &mut Draft<'_>, i: usize) {
    let budget = &draft.state.budget;
    if budget.limits.children.is_some_and(|l| budget.children >= l) {
        return funds::reached(draft, Limit::Children, None);
    }
    if let Err((limit, blocked)) = funds::afford(draft, Amounts { children: 1, ..Amounts::default() }) {
        return funds::reached(draft, limit, Some(blocked));
    }
    let budget = &draft.state.budget;
    let call = &draft.state.calls[i];
    let effect = call.head.effect;
    // What is left is shared evenly with the siblings that are still to start.
    let siblings = draft.state.calls.iter().filter(|c| {
        c.head.rules.child.is_some()
            && matches!(c.phase, CallPhase::Undecided | CallPhase::Open | CallPhase::Asking { .. })
    });
    let share = budget.remaining().divided(siblings.count().max(1) as u64);
    let limits = share.tighten(call.head.rules.child.as_ref().unwrap_or(&Limits::default()));
    let reserved = Spend { tokens: limits.tokens.unwrap_or(0), usd: Some(limits.usd.unwrap_or_default()) };
    let (child, _) = draft.state.effect_id(effect).child();
    draft.emit(Fact::ChildStarted(ChildStarted { effect, child, limits, reserved }));
}

pub(in crate::run) fn apply_started(state: &mut State, f: &ChildStarted) {
    state.budget.children += 1;
    state.book(Amounts { children: 1, ..Amounts::default() });
    state.budget.reserved = state.budget.reserved.plus(f.reserved);
    if let Some(call) = state.call_mut(f.effect) {
        call.phase = CallPhase::Child { child: f.child, reserved: f.reserved, limits: f.limits.clone() };
    }
}

pub(in crate::run) fn finished(
    draft: &mut Draft<'_>,
    effect: u32,
    ended: Ended,
    content: Payload,
    (spent, boxes): (Spend, BoxTotals),
    label: Option<SealedLabel>,
) -> Result<(), Refusal> {
    if !matches!(draft.state.call(effect).map(|c| &c.phase), Some(CallPhase::Child { .. })) {
        return Err(Refusal::Stale);
    }
    let payload = draft.payload(content);
    let boxes = (!boxes.is_empty()).then_some(boxes);
    draft.emit(Fact::ChildFinished(ChildFinished { effect, ended, payload, spent, boxes, label }));
    Ok(())
}

pub(in crate::run) fn apply_finished(state: &mut State, env: Env<'_>, f: &ChildFinished) {
    if let Some(CallPhase::Child { reserved, .. }) = state.call(f.effect).map(|c| &c.phase) {
        let reserved = *reserved;
        release(state, reserved);
    }
    state.budget.spent = state.budget.spent.plus(f.spent);
    state.budget.boxes.join(f.boxes.unwrap_or_default());
    let entry = Ending { told: env.payload(f.payload), error: f.ended != Ended::Returned, label: f.label.clone() };
    end_with(state, f.effect, f.ended, entry);
}
