//! A human is asked, and answers, or does not. The run sleeps meanwhile and costs nothing.

use crate::{
    code,
    effect::Ended,
    fact::{ApprovalGiven, ApprovalRequested, AskReason, EffectRef, Fact},
    id::Name,
    record::{Payload, Source},
    run::{
        apply::Env,
        decide::{Draft, Refusal},
        state::{Call, CallPhase, State},
        step::{funds, tool::end_call},
    },
};

/// Puts a call before a human.
pub(in crate::run) fn ask(draft: &mut Draft, effect: u32, reason: AskReason) {
    let expires = draft.state.config.approval_ttl.map(|ttl| draft.now.after(ttl));
    draft.emit(Fact::ApprovalRequested(ApprovalRequested { effect, reason, expires, raise: None }));
}

pub(in crate::run) fn apply_requested(state: &mut State, env: Env<'_>, f: &ApprovalRequested) {
    if let Some(raise) = &f.raise {
        funds::apply_asked(state, env, f.effect, raise, f.expires);
    } else if let Some(call) = state.call_mut(f.effect) {
        call.phase = CallPhase::Asking { reason: f.reason, expires: f.expires, since: env.at };
    }
}

pub(in crate::run) fn answered(
    draft: &mut Draft,
    effect: u32,
    approved: bool,
    by: Name,
    note: Option<String>,
) -> Result<(), Refusal> {
    if draft.state.life.ended() {
        return Err(Refusal::Ended);
    }
    if draft.state.asking.as_ref().is_some_and(|a| a.effect == effect) {
        return funds::answered(draft, approved, by, note);
    }
    let Some(CallPhase::Asking { expires, .. }) = draft.state.call(effect).map(|c| &c.phase) else {
        return Err(Refusal::Conflict("nobody is asked about this effect, or it has been answered"));
    };
    if expires.is_some_and(|e| e <= draft.now) {
        // The timer writes it down; the answer is not recorded, since it came too late to count.
        draft.emit(Fact::ApprovalExpired(EffectRef { effect }));
        return Ok(());
    }
    let text = match (approved, note) {
        (true, note) => note,
        (false, None) => Some(format!("{}: a human ({by}) denied this action.", code::DENIED)),
        (false, Some(note)) => Some(format!("{}: a human ({by}) denied this action: {note}", code::DENIED)),
    };
    let note = text.map(|t| draft.payload(Payload::inline(t, Source::User)));
    draft.emit(Fact::ApprovalGiven(ApprovalGiven { effect, approved, by, note }));
    Ok(())
}

pub(in crate::run) fn apply_given(state: &mut State, env: Env<'_>, f: &ApprovalGiven) {
    if let Some(asking) = state.asking.take_if(|a| a.effect == f.effect) {
        if f.approved {
            state.budget.limits.raise(asking.raise.limit, asking.raise.by);
        }
        return;
    }
    let Some(call) = state.call_mut(f.effect) else { return };
    let CallPhase::Asking { reason, .. } = call.phase else { return };
    if f.approved {
        call.approved = true;
        // For an outcome that may have been, "yes" means: it did not happen, do it now. A yes to the action itself says
        // nothing about what was done before.
        if reason != AskReason::Manifest {
            call.maybe = None;
        }
        call.phase = CallPhase::Open;
        return;
    }
    let ended = if may_have_been(call, reason) { Ended::Unknown } else { Ended::Denied };
    let told = f.note.map_or_else(
        || Payload::inline(format!("{}: a human denied this action.", code::DENIED), Source::Runtime),
        |n| env.payload(n),
    );
    end_call(state, f.effect, ended, told, true);
}

/// Whether the question is about something that may have happened already: left alone, it stays unknown.
fn may_have_been(call: &Call, reason: AskReason) -> bool {
    reason == AskReason::OutcomeUnknown || call.maybe.is_some()
}

pub(in crate::run) fn apply_expired(state: &mut State, effect: u32) {
    state.asking.take_if(|a| a.effect == effect);
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
