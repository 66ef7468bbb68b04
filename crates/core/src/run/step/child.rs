//! A child run: an agent used as a tool. Its budget is cut from its parent's and settled when it ends.

use crate::{
    budget::{Amounts, Limit, Limits, MicroUsd, Spend},
    effect::Ended,
    fact::{ChildFinished, ChildStarted, Fact},
    label::SealedLabel,
    record::Payload,
    run::{
        apply::Env,
        decide::{Draft, Refusal},
        state::{CallPhase, State},
        step::{
            approval,
            funds::{self, Reached},
            model::release,
            tool::{Ending, end_with},
        },
    },
    sandbox::BoxTotals,
    time::Span,
};

/// Sets budget aside for a child and owes its start.
pub(in crate::run) fn start(draft: &mut Draft<'_>, i: usize) {
    if draft.state.left().children == Some(0) {
        return funds::reached(draft, Reached::own(Limit::Children, 1));
    }
    if let Err(reached) = funds::afford(draft, Amounts { children: 1, ..Amounts::default() }) {
        return funds::reached(draft, reached);
    }
    let call = &draft.state.calls[i];
    let effect = call.head.effect;
    let limits = share(&draft.state, i).tighten(call.head.rules.child.as_ref().unwrap_or(&Limits::default()));
    let reserved = Spend { tokens: limits.tokens.unwrap_or(0), usd: Some(limits.usd.unwrap_or_default()) };
    let (child, _) = draft.state.effect_id(effect).child();
    let grant = draft.state.calls[i].head.rules.grant.as_ref().map(|rule| Box::new(rule.at(draft.now)));
    approval::use_up(draft, i);
    draft.emit(Fact::ChildStarted(ChildStarted { effect, child, limits, reserved, grant }));
}

/// What is left of the run's limits for the child that a call starts: shared evenly with the siblings that are still to start, and
/// without what the other calls of the turn need for themselves.
fn share(state: &State, i: usize) -> Limits {
    let others = || state.calls.iter().enumerate().filter(|(n, c)| *n != i && !c.ended()).map(|(_, c)| c);
    let children = || others().filter(|c| c.head.rules.child.is_some());
    let to_start = children().filter(|c| !matches!(c.phase, CallPhase::Child { .. })).count() as u64;
    let undecided = others().filter(|c| c.phase == CallPhase::Undecided).count();
    let n = to_start + 1;
    // What calls beside the children use is known only afterwards.
    let parts = n + u64::from(others().any(|c| c.head.rules.child.is_none()));
    let left = state.left();
    let small = |left: Option<u32>, taken: usize| {
        left.map(|l| l.saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX)) / u32::try_from(n).unwrap_or(u32::MAX))
    };
    Limits {
        tokens: left.tokens.map(|t| t / n),
        usd: left.usd.map(|u| MicroUsd(u.0 / n)),
        tool_calls: small(left.tool_calls, undecided),
        active: left.active.map(|a| Span(a.0 / parts)),
        deadline: None,
        children: small(left.children, to_start as usize + 1),
        cpu: left.cpu.map(|c| Span(c.0 / parts)),
        traffic: left.traffic.map(|t| t / parts),
        disk: left.disk.map(|d| d / parts),
    }
}

pub(in crate::run) fn apply_started(state: &mut State, f: &ChildStarted) {
    state.budget.children += 1;
    state.book(Amounts { children: 1, ..Amounts::default() });
    state.budget.reserved = state.budget.reserved.plus(f.reserved);
    if let Some(call) = state.call_mut(f.effect) {
        let (limits, grant) = (f.limits.clone(), f.grant.clone());
        call.phase = CallPhase::Child { child: f.child, reserved: f.reserved, limits, grant };
    }
}

pub(in crate::run) fn finished(
    draft: &mut Draft<'_>,
    effect: u32,
    ended: Ended,
    content: Payload,
    (spent, boxes, used): (Spend, BoxTotals, Amounts),
    label: Option<SealedLabel>,
) -> Result<(), Refusal> {
    if !matches!(draft.state.call(effect).map(|c| &c.phase), Some(CallPhase::Child { .. })) {
        return Err(Refusal::Stale);
    }
    let payload = draft.payload(content);
    let boxes = (!boxes.is_empty()).then_some(boxes);
    let used = (!used.is_zero()).then_some(used);
    draft.emit(Fact::ChildFinished(ChildFinished { effect, ended, payload, spent, boxes, label, used }));
    Ok(())
}

pub(in crate::run) fn apply_finished(state: &mut State, env: Env<'_>, f: &ChildFinished) {
    if let Some(CallPhase::Child { reserved, .. }) = state.call(f.effect).map(|c| &c.phase) {
        let reserved = *reserved;
        release(state, reserved);
    }
    state.budget.spent = state.budget.spent.plus(f.spent);
    state.budget.boxes.join(f.boxes.unwrap_or_default());
    state.budget.count(f.used.unwrap_or_default());
    let entry = Ending { told: env.payload(f.payload), error: f.ended != Ended::Returned, label: f.label.clone() };
    end_with(state, f.effect, f.ended, entry);
}
