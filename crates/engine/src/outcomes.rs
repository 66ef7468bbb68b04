//! How effects ended, as counters tell it: by the facts of a record and the state before it.

use stead_core::{
    effect::Ended,
    fact::{AfterUnknown, AskReason, Fact, Verdict},
    run::{CallPhase, State},
};

/// The words of all outcomes.
pub(crate) const OUTCOMES: [&str; 7] = ["returned", "error", "refused", "not_sent", "unknown", "withdrawn", "denied"];

/// Where in [`OUTCOMES`] the end stands that a fact is of an effect, if it is one. An answer that came late was counted as unknown
/// before.
pub(crate) fn outcome(fact: &Fact, was: Option<&State>) -> Option<usize> {
    let ended = match fact {
        Fact::EffectReturned(f) if !f.late && f.error => return Some(1),
        Fact::EffectReturned(f) if !f.late => Ended::Returned,
        Fact::EffectRefused(f) if !f.late => Ended::Refused,
        Fact::EffectNotSent(f) if f.retry_at.is_none() => Ended::NotSent,
        Fact::EffectUnknown(f) if f.then == AfterUnknown::Tell => Ended::Unknown,
        Fact::EffectReconciled(f) if f.happened => Ended::Returned,
        Fact::EffectReconciled(f) if f.again.is_none() && f.payload.is_some() => Ended::NotSent,
        Fact::EffectWithdrawn(_) => Ended::Withdrawn,
        Fact::EffectDecided(f) if f.verdict == Verdict::Deny => denied(was, f.effect),
        Fact::ApprovalGiven(f) if !f.approved => not_done(was, f.effect),
        Fact::ApprovalExpired(f) => not_done(was, f.effect),
        Fact::ChildFinished(f) => f.ended,
        _ => return None,
    };
    Some(match ended {
        Ended::Returned => 0,
        Ended::Refused => 2,
        Ended::NotSent => 3,
        Ended::Unknown => 4,
        Ended::Withdrawn => 5,
        Ended::Denied => 6,
    })
}

/// So does a denial that comes after an attempt.
fn denied(was: Option<&State>, effect: u32) -> Ended {
    let call = was.and_then(|state| state.call(effect));
    let tried = call.is_some_and(|call| call.phase != CallPhase::Undecided && call.maybe.is_some());
    if tried { Ended::Unknown } else { Ended::Denied }
}

/// A no to what may have happened already leaves it unknown.
fn not_done(was: Option<&State>, effect: u32) -> Ended {
    let call = was.and_then(|state| state.call(effect));
    let may_have_been = call.is_some_and(|call| {
        call.maybe.is_some() || matches!(call.phase, CallPhase::Asking { reason: AskReason::OutcomeUnknown, .. })
    });
    if may_have_been { Ended::Unknown } else { Ended::Denied }
}
