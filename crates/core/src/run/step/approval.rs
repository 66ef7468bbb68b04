//! A human is asked, and answers, or does not. The run sleeps meanwhile and costs nothing.

use crate::{
    code,
    effect::Ended,
    fact::{ApprovalGiven, ApprovalRequested, AskReason, EffectDecided, EffectRef, Fact, Verdict},
    record::{Payload, Source},
    ruling::{Asked, Person},
    run::{
        apply::Env,
        decide::{Draft, Refusal},
        gate::Ruling,
        state::{Call, CallPhase, State},
        step::tool::{end_call, refuse},
    },
    time::Span,
};

/// Puts a call before a human: before as many, and before those, as gates ask for. The shorter time counts, of the gates'
/// and the manifest's.
pub(in crate::run) fn ask(
    draft: &mut Draft<'_>,
    effect: u32,
    reason: AskReason,
    asked: Option<Asked>,
    ttl: Option<Span>,
) {
    let ttl = [draft.state.config.approval_ttl, ttl].into_iter().flatten().min();
    let expires = ttl.map(|ttl| draft.now.after(ttl));
    let asked = asked.map(Box::new);
    draft.emit(Fact::ApprovalRequested(ApprovalRequested { effect, reason, expires, asked }));
}

pub(in crate::run) fn apply_requested(state: &mut State, env: Env<'_>, f: &ApprovalRequested) {
    if let Some(call) = state.call_mut(f.effect) {
        let asked = f.asked.clone();
        call.phase = CallPhase::Asking { reason: f.reason, expires: f.expires, since: env.at, asked };
        call.given.clear();
    }
}

pub(in crate::run) fn answered(
    draft: &mut Draft<'_>,
    effect: u32,
    approved: bool,
    Person { name: by, roles }: Person,
    note: Option<String>,
) -> Result<(), Refusal> {
    if draft.state.life.ended() {
        return Err(Refusal::Ended);
    }
    let call = draft.state.call(effect);
    let Some((call, CallPhase::Asking { expires, .. })) = call.map(|c| (c, &c.phase)) else {
        return Err(Refusal::Conflict("nobody is asked about this effect, or it has been answered"));
    };
    if expires.is_some_and(|e| e <= draft.now) {
        // The timer writes it down; the answer is not recorded, since it came too late to count.
        draft.emit(Fact::ApprovalExpired(EffectRef { effect }));
        return Ok(());
    }
    if approved && call.given.iter().any(|given| given.name == by) {
        return Err(Refusal::Conflict("you have approved this already; the approvals of others are waited for"));
    }
    let text = match (approved, note) {
        (true, note) => note,
        (false, None) => Some(format!("{}: a human ({by}) denied this action.", code::DENIED)),
        (false, Some(note)) => Some(format!("{}: a human ({by}) denied this action: {note}", code::DENIED)),
    };
    let note = text.map(|t| draft.payload(Payload::inline(t, Source::User)));
    draft.emit(Fact::ApprovalGiven(ApprovalGiven { effect, approved, by, note, roles }));
    Ok(())
}

pub(in crate::run) fn apply_given(state: &mut State, env: Env<'_>, f: &ApprovalGiven) {
    let Some(call) = state.call_mut(f.effect) else { return };
    let CallPhase::Asking { reason, ref asked, .. } = call.phase else { return };
    if f.approved && asked.is_some() {
        // Whether it is enough, policies say.
        call.given.push(Person { name: f.by.clone(), roles: f.roles.clone() });
        return;
    }
    if f.approved {
        return let_go(call);
    }
    let ended = if may_have_been(call, reason) { Ended::Unknown } else { Ended::Denied };
    let told = f.note.map_or_else(
        || Payload::inline(format!("{}: a human denied this action.", code::DENIED), Source::Runtime),
        |n| env.payload(n),
    );
    end_call(state, f.effect, ended, told, true);
}

/// Opens a call. One that a human was asked about has been approved.
pub(in crate::run) fn let_go(call: &mut Call) {
    if let CallPhase::Asking { reason, .. } = call.phase {
        call.approved = true;
        // For an outcome that may have been, "yes" means: it did not happen, do it now. A yes to the action itself says
        // nothing about what was done before.
        if !matches!(reason, AskReason::Manifest | AskReason::Policy) {
            call.maybe = None;
        }
    }
    call.phase = CallPhase::Open;
}

/// Decides a call again that gates have been given yeses for, by the policies of now: it may go, waits for more, or is denied
/// after all.
pub(in crate::run) fn weigh(draft: &mut Draft<'_>, i: usize) {
    let call = &draft.state.calls[i];
    let CallPhase::Asking { reason, asked: Some(was), .. } = &call.phase else { return };
    if call.given.is_empty() {
        return;
    }
    let (effect, reason) = (call.head.effect, *reason);
    let mut ruling = draft.gate.call(&draft.state, i, draft.now, &call.given);
    if ruling.verdict != Verdict::Deny && ruling.rewritten.as_ref().is_some_and(|r| r.args != call.head.args) {
        let told = "the policies have changed since this was approved, and would have something else done. Ask again.";
        return refuse(draft, effect, Ruling { code: code::POLICY_CHANGED, told: told.into(), ..ruling });
    }
    match ruling.verdict {
        Verdict::Deny => refuse(draft, effect, ruling),
        Verdict::Allow => {
            let plan = ruling.plan.take();
            draft.read(Some(effect), &mut ruling);
            let ruled = draft.ruled(&mut ruling);
            draft.emit(Fact::EffectDecided(EffectDecided {
                effect,
                verdict: Verdict::Allow,
                code: None,
                payload: None,
                ruled,
                rewritten: None,
                plan,
            }));
        }
        // Other gates than those that were approved: that is another question.
        Verdict::Ask if ruling.asked.as_ref() != Some(&**was) => {
            draft.read(Some(effect), &mut ruling);
            let ttl = ruling.ttl;
            ask(draft, effect, reason, ruling.asked, ttl);
        }
        Verdict::Ask => {}
    }
}

/// Whether the question is about something that may have happened already: left alone, it stays unknown.
fn may_have_been(call: &Call, reason: AskReason) -> bool {
    reason == AskReason::OutcomeUnknown || call.maybe.is_some()
}

pub(in crate::run) fn apply_expired(state: &mut State, effect: u32) {
    let Some(call) = state.call(effect) else { return };
    let CallPhase::Asking { reason, .. } = call.phase else { return };
    let (ended, code, text) = if may_have_been(call, reason) {
        let text = "whether this happened is unknown, and nobody decided in time. Do not repeat it.";
        (Ended::Unknown, code::EFFECT_UNKNOWN, text)
    } else {
        (Ended::Denied, code::APPROVAL_EXPIRED, "nobody approved this action in time; it was not done.")
    };
    end_call(state, effect, ended, Payload::inline(format!("{code}: {text}"), Source::Runtime), true);
}
