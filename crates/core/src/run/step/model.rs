//! A model call: budget reserved before, settled after; retries and fallback are facts.

use crate::{
    budget::{AtLimit, Limit, Spend, Usage},
    code::{self, Code},
    context::compact,
    fact::{
        CallHead, ContextCompacted, Fact, ModelDenied, ModelFailed, ModelReplied, ModelRequested, NextAttempt,
        RunFailed, Verdict,
    },
    record::Payload,
    run::{
        apply::Env,
        decide::{CallIn, Draft, ModelFailure, Refusal, Retry},
        life::{restore, stop},
        state::{Call, CallPhase, Phase, State},
        step::{
            answer,
            funds::{self, Reached},
            tool,
        },
        transcript::{Entry, EntryKind},
    },
    time::{Span, Timestamp},
};

/// Most by which a pause is made longer so that runs do not come back together.
const MAX_SPREAD: Span = Span::from_secs(30);

/// Requests the next turn's first attempt.
pub(in crate::run) fn request(draft: &mut Draft<'_>) {
    if draft.state.turn >= draft.state.config.max_turns {
        return stop::by_limit(draft, Limit::Turns, None);
    }
    if let Some((clear_before, tokens)) = compact(&draft.state) {
        draft.emit(Fact::ContextCompacted(ContextCompacted { clear_before, tokens }));
    }
    let turn = draft.state.turn + 1;
    request_attempt(draft, turn, 1, 0);
}

/// Reserves for an attempt and requests it. A model without a known price under a money limit, or that policies deny, is passed
/// over for the next in the chain, and so is one that is too dear when the manifest says `at_limit: fallback`; else a limit that
/// the attempt would cross is reached.
pub(in crate::run) fn request_attempt(draft: &mut Draft<'_>, turn: u32, attempt: u32, model: u8) {
    let config = draft.state.config.clone();
    let mut reached = Reached::own(Limit::Unpriced, 0);
    let mut denied = None;
    for (i, candidate) in config.models.iter().enumerate().skip(usize::from(model)) {
        let input = draft.state.view_tokens + config.overhead_tokens;
        let worst = Usage::worst(input, candidate.max_output_tokens, candidate.price);
        let reserved = worst.spend(candidate.price);
        let crossed = match funds::model(draft, reserved) {
            Ok(()) => {
                let model = u8::try_from(i).expect("a chain has at most 255 models");
                let mut ruling = draft.gate.model(&draft.state, i, draft.now);
                draft.read(None, &mut ruling);
                if ruling.verdict == Verdict::Allow {
                    let ruled = draft.ruled(&mut ruling);
                    let planning = draft.state.planning.tries();
                    let asked = ModelRequested { turn, attempt, model, reserved, ruled, planning };
                    return draft.emit(Fact::ModelRequested(asked));
                }
                let payload = draft.notice(std::mem::take(&mut ruling.told));
                let ruled = draft.ruled(&mut ruling);
                draft.emit(Fact::ModelDenied(ModelDenied { turn, model, payload, ruled }));
                denied = Some((ruling.code, payload));
                continue;
            }
            Err(crossed) => crossed,
        };
        let passes = crossed.limit == Limit::Unpriced
            || (config.at_limit == AtLimit::Fallback && matches!(crossed.limit, Limit::Tokens | Limit::Usd));
        // A limit that is crossed says more than a price that is not known.
        if reached.limit == Limit::Unpriced {
            reached = crossed;
        }
        if !passes {
            break;
        }
    }
    match denied {
        // No limit stood in the way of a model that policies may allow.
        Some((code, payload)) if reached.limit == Limit::Unpriced && reached.above().is_none() => {
            draft.emit(Fact::RunFailed(RunFailed { code, payload: Some(payload) }));
        }
        _ => funds::reached(draft, reached),
    }
}

pub(in crate::run) fn apply_compacted(state: &mut State, f: &ContextCompacted) {
    state.clear_before = f.clear_before;
    state.view_tokens = f.tokens;
}

pub(in crate::run) fn apply_requested(state: &mut State, env: Env<'_>, f: &ModelRequested) {
    if f.turn != state.turn {
        state.turn = f.turn;
        state.tried = 0;
    } else if let Phase::ModelWait(next) = state.phase {
        state.tried = next.tried;
    }
    state.attempt = f.attempt;
    state.budget.reserved = state.budget.reserved.plus(f.reserved);
    state.phase = Phase::Model { attempt: f.attempt, model: f.model, reserved: f.reserved, activation: env.activation };
}

pub(in crate::run) fn replied(
    draft: &mut Draft<'_>,
    turn: u32,
    attempt: u32,
    reply: Payload,
    usage: Usage,
    calls: Vec<CallIn>,
    misfit: Option<Payload>,
) -> Result<(), Refusal> {
    let model = in_flight(&draft.state, turn, attempt)?;
    if draft.state.planning.wanted() {
        return Err(Refusal::Stale);
    }
    let spent = usage.spend(draft.state.config.models.get(usize::from(model)).and_then(|m| m.price));
    let first = draft.state.next_effect;
    let (heads, invalid): (Vec<CallHead>, Vec<_>) = calls
        .into_iter()
        .zip(first..)
        .map(|(c, effect)| (CallHead { effect, ..c.head }, c.invalid.map(|(code, told)| (effect, code, told))))
        .unzip();
    let payload = draft.payload(reply);
    let done = heads.is_empty();
    draft.emit(Fact::ModelReplied(ModelReplied { turn, attempt, payload, usage, spent, calls: heads }));
    if done {
        answer::judge(draft, turn, misfit);
    }
    for (effect, code, told) in invalid.into_iter().flatten() {
        tool::deny(draft, effect, code, told);
    }
    Ok(())
}

/// The model whose attempt this is.
pub(in crate::run) fn in_flight(state: &State, turn: u32, attempt: u32) -> Result<u8, Refusal> {
    match state.phase {
        Phase::Model { attempt: a, model, .. } if !state.life.ended() && a == attempt && state.turn == turn => {
            Ok(model)
        }
        _ => Err(Refusal::Stale),
    }
}

pub(in crate::run) fn apply_replied(state: &mut State, env: Env<'_>, f: &ModelReplied) {
    settle(state, f.spent);
    if state.planning.wanted() {
        // The planner's reply is no part of the conversation.
        return state.phase = Phase::Idle;
    }
    state.say(Entry { kind: EntryKind::Reply, payload: env.payload(f.payload), label: None });
    state.next_effect += f.calls.len() as u32;
    state.phase = if f.calls.is_empty() { Phase::Idle } else { Phase::Tools };
    state.calls = f
        .calls
        .iter()
        .zip(0..)
        .map(|(head, index)| Call {
            head: head.clone(),
            index,
            phase: CallPhase::Undecided,
            attempt: 0,
            tries: 0,
            first_intended: None,
            approved: false,
            maybe: None,
            let_go: None,
            lost: false,
            given: Vec::new(),
            arguments: None,
            ruled: None,
            unweighed: false,
            request: None,
            used: false,
            seen: None,
            reminders: 0,
            reminded: None,
            escalated: Vec::new(),
        })
        .collect();
    // In a run that was restored, the model may have asked for the same before.
    if let Some(mark) = state.restored {
        state.calls.iter_mut().for_each(|call| restore::doubt(call, mark));
    }
}

pub(in crate::run) fn failed(
    draft: &mut Draft<'_>,
    turn: u32,
    attempt: u32,
    failure: ModelFailure,
) -> Result<(), Refusal> {
    let model = in_flight(&draft.state, turn, attempt)?;
    let Phase::Model { reserved, .. } = draft.state.phase else { return Err(Refusal::Stale) };
    let spent = if failure.charged { reserved } else { Spend::ZERO };
    let next = next_attempt(draft, model, failure.retry, failure.spread);
    let detail = draft.payload(failure.detail);
    draft.emit(Fact::ModelFailed(ModelFailed {
        turn,
        attempt,
        code: failure.code,
        spent,
        estimated: failure.charged,
        next,
        detail: Some(detail),
    }));
    match next {
        None => draft
            .emit(Fact::RunFailed(RunFailed { code: exhausted(&draft.state, failure.code), payload: Some(detail) })),
        Some(next) if next.at <= draft.now => super::timer::fire_model(draft),
        Some(_) => {}
    }
    Ok(())
}

/// Gives an attempt back that was not made. Nothing was sent, so nothing was spent and the model has not failed.
pub(in crate::run) fn deferred(
    draft: &mut Draft<'_>,
    turn: u32,
    attempt: u32,
    until: Timestamp,
    why: Payload,
) -> Result<(), Refusal> {
    let model = in_flight(&draft.state, turn, attempt)?;
    let next = NextAttempt { model, tried: draft.state.tried, at: until.max(draft.now) };
    let detail = Some(draft.payload(why));
    draft.emit(Fact::ModelFailed(ModelFailed {
        turn,
        attempt,
        code: code::PROVIDER_LIMIT,
        spent: Spend::ZERO,
        estimated: false,
        next: Some(next),
        detail,
    }));
    if next.at <= draft.now {
        super::timer::fire_model(draft);
    }
    Ok(())
}

/// One model that failed for good says itself why; a chain of several is exhausted.
fn exhausted(state: &State, code: Code) -> Code {
    if state.config.models.len() == 1 { code } else { code::MODEL_EXHAUSTED }
}

/// The same model again after a pause, or the next of the chain at once.
fn next_attempt(draft: &Draft<'_>, model: u8, retry: Retry, spread: u16) -> Option<NextAttempt> {
    let config = &draft.state.config;
    let tried = draft.state.tried.saturating_add(1);
    if let Retry::After(asked) = retry
        && tried < config.model_attempts
    {
        let pause = backoff(config.backoff, config.backoff_max, tried).max(asked.unwrap_or_default());
        let pause = spread_out(pause, spread);
        return Some(NextAttempt { model, tried, at: draft.now.after(pause) });
    }
    let next = model.checked_add(1).filter(|m| usize::from(*m) < config.models.len())?;
    Some(NextAttempt { model: next, tried: 0, at: draft.now })
}

/// A pause, longer by a share of a quarter of it, of 30 s at most. Never shorter: the provider may have asked for it.
fn spread_out(pause: Span, spread: u16) -> Span {
    let room = (pause.0 / 4).min(MAX_SPREAD.0);
    Span(pause.0.saturating_add(room * u64::from(spread) / u64::from(u16::MAX)))
}

/// `first` doubled for each try after the first, at most `max`.
pub(in crate::run) fn backoff(first: Span, max: Span, tries: u8) -> Span {
    let doublings = u32::from(tries.saturating_sub(1)).min(40);
    Span(first.0.saturating_mul(1 << doublings)).min(max)
}

pub(in crate::run) fn apply_failed(state: &mut State, f: &ModelFailed) {
    settle(state, f.spent);
    state.phase = match f.next {
        Some(next) => Phase::ModelWait(next),
        None => Phase::Idle,
    };
}

/// Gives back the reservation of the call under way and books what it cost.
fn settle(state: &mut State, spent: Spend) {
    if let Phase::Model { reserved, .. } = state.phase {
        release(state, reserved);
    }
    state.budget.spent = state.budget.spent.plus(spent);
    state.book(spent.into());
}

/// Takes `reserved` out of what is set aside.
pub(in crate::run) fn release(state: &mut State, reserved: Spend) {
    let b = &mut state.budget;
    b.reserved.tokens = b.reserved.tokens.saturating_sub(reserved.tokens);
    b.reserved.usd = match (b.reserved.usd, reserved.usd) {
        (Some(all), Some(part)) => Some(crate::budget::MicroUsd(all.0.saturating_sub(part.0))),
        // An unpriced call was the only thing set aside, or it makes the sum unknown until it is settled.
        _ => Some(crate::budget::MicroUsd(0)),
    };
}
