//! What an action would do is looked at before people are asked about it: a call of a tool that changes nothing, decided by policies
//! and paid for like any other. The question waits for it, and is asked whatever comes of it.

use bytes::Bytes;

use crate::{
    budget::Amounts,
    fact::{Fact, Precondition, PreviewDecided, Previewed, Verdict, Waiting},
    record::{Payload, Source},
    ruling::Rewritten,
    run::{
        apply::Env,
        decide::{Draft, Refusal},
        gate::{Rewrite, Ruling},
        state::{CallPhase, Look, Seen, State},
        step::{approval, delegation, funds, tool},
    },
    sandbox::Action,
    time::Span,
};

/// Whether a question about a call has to wait for a look at what it would do.
pub(in crate::run) fn is_wanted(draft: &Draft<'_>, effect: u32) -> bool {
    draft.state.call(effect).is_some_and(|call| call.head.rules.preview.is_some() && call.seen.is_none())
}

/// Decides about the look that a question waits for. Says whether it begins; if not, the question says why.
pub(in crate::run) fn begin(draft: &mut Draft<'_>, effect: u32, waiting: Waiting) -> bool {
    let Some(i) = draft.state.calls.iter().position(|c| c.head.effect == effect) else { return false };
    let Some(tool) = draft.state.calls[i].head.rules.preview.clone() else { return false };
    let mut ruling = draft.gate.preview(&draft.state, i, draft.now);
    let refused = match (ruling.verdict, ruling.rewritten.take()) {
        (Verdict::Allow, Some(call)) => match affordable(draft) {
            Ok(()) => Ok(call),
            Err(why) => Err(why.to_owned()),
        },
        (Verdict::Allow, None) => Err("its arguments cannot be made".to_owned()),
        (Verdict::Deny, _) => Err(ruling.told.clone()),
        (Verdict::Ask, _) => Err("policies let it be looked at only with an approval of its own".to_owned()),
    };
    draft.read(Some(effect), &mut ruling);
    let verdict = if refused.is_ok() { Verdict::Allow } else { Verdict::Deny };
    let ruled = draft.ruled(&mut Ruling { verdict, ..ruling });
    match refused {
        Ok(Rewrite { arguments, args, key }) => {
            let arguments = draft.payload(Payload::inline(arguments, Source::Model));
            let call = Some(Box::new(Rewritten { arguments, args, key }));
            let (payload, question) = (None, Some(Box::new(waiting)));
            draft.emit(Fact::PreviewDecided(PreviewDecided { effect, tool, verdict, payload, ruled, call, question }));
            true
        }
        Err(why) => {
            let payload = Some(draft.notice(Bytes::from(why)));
            let (call, question) = (None, None);
            draft.emit(Fact::PreviewDecided(PreviewDecided { effect, tool, verdict, payload, ruled, call, question }));
            false
        }
    }
}

/// A look is a call: one must be left of those that the run may make.
fn affordable(draft: &mut Draft<'_>) -> Result<(), &'static str> {
    const SPENT: &str = "the run's budget has nothing left for it";
    let left = draft.state.left();
    let spent = left.tool_calls == Some(0) || left.cpu == Some(Span(0)) || left.traffic == Some(0);
    if spent {
        return Err(SPENT);
    }
    funds::afford(draft, Amounts { tool_calls: 1, ..Amounts::default() }).map_err(|_| SPENT)
}

pub(in crate::run) fn apply_decided(state: &mut State, env: Env<'_>, f: &PreviewDecided) {
    let seq = state.next_seq;
    if f.verdict == Verdict::Allow {
        state.budget.tool_calls += 1;
        state.book(Amounts { tool_calls: 1, ..Amounts::default() });
    }
    let Some(call) = state.call_mut(f.effect) else { return };
    match (&f.call, &f.question) {
        (Some(made), Some(waiting)) if f.verdict == Verdict::Allow => {
            let (tool, arguments, args) = (f.tool.clone(), env.payload(made.arguments), made.args);
            let waiting = (**waiting).clone();
            call.phase = CallPhase::Previewing(Box::new(Look { tool, arguments, args, waiting, seq }));
        }
        _ => {
            let text = f.payload.map_or_else(|| Payload::inline("Not looked at.", Source::Runtime), |p| env.payload(p));
            call.seen = Some(Box::new(Seen { text, failed: true, precondition: None, at: env.at }));
        }
    }
}

/// What came of a look.
pub(in crate::run) fn seen(
    draft: &mut Draft<'_>,
    effect: u32,
    found: Result<(Payload, Option<Precondition>), Payload>,
    action: Option<Box<Action>>,
) -> Result<(), Refusal> {
    if draft.state.life.ended() {
        return Err(Refusal::Ended);
    }
    let i = draft.state.calls.iter().position(|c| c.head.effect == effect).ok_or(Refusal::Stale)?;
    if !matches!(draft.state.calls[i].phase, CallPhase::Previewing(_)) {
        return Err(Refusal::Stale);
    }
    let failed = found.is_err();
    let (text, precondition) = found.unwrap_or_else(|why| (why, None));
    end(draft, i, text, failed, precondition, action);
    Ok(())
}

/// A look that may begin no more, because policies or switches are others now, is given up; the question is asked without it.
pub(in crate::run) fn still_allowed(draft: &mut Draft<'_>, i: usize) {
    if let Some(ruling) = delegation::outside(draft, i) {
        return tool::refuse(draft, i, ruling);
    }
    let CallPhase::Previewing(look) = &draft.state.calls[i].phase else { return };
    let args = look.args;
    if draft.gate.epoch().is_none() {
        return;
    }
    let ruling = draft.gate.preview(&draft.state, i, draft.now);
    let why = match (ruling.verdict, &ruling.rewritten) {
        (Verdict::Allow, Some(made)) if made.args == args => return,
        (Verdict::Deny, _) => ruling.told,
        _ => "the policies have changed since it was to be looked at".to_owned(),
    };
    end(draft, i, Payload::inline(why, Source::Runtime), true, None, None);
}

/// A run that comes out of a backup asks about its calls without a look: what there was to see may be another now.
pub(in crate::run) fn not_seen(draft: &mut Draft<'_>, effect: u32, why: &'static str) {
    let payload = draft.notice(why);
    draft.emit(Fact::Previewed(Previewed { effect, payload, failed: true, precondition: None, action: None }));
}

fn end(
    draft: &mut Draft<'_>,
    i: usize,
    text: Payload,
    failed: bool,
    precondition: Option<Precondition>,
    action: Option<Box<Action>>,
) {
    let call = &draft.state.calls[i];
    let CallPhase::Previewing(look) = &call.phase else { return };
    let (effect, waiting) = (call.head.effect, look.waiting.clone());
    let payload = draft.payload(text);
    let action = action.map(|a| Box::new(Action { workspace: None, ..*a })).filter(|a| **a != Action::default());
    draft.emit(Fact::Previewed(Previewed { effect, payload, failed, precondition, action }));
    approval::ask_now(draft, i, waiting);
}

pub(in crate::run) fn apply_seen(state: &mut State, env: Env<'_>, f: &Previewed) {
    tool::settle_action(state, f.action.as_deref());
    if let Some(call) = state.call_mut(f.effect) {
        let text = env.payload(f.payload);
        call.seen = Some(Box::new(Seen { text, failed: f.failed, precondition: f.precondition.clone(), at: env.at }));
    }
}
