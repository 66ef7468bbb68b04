//! A tool call: decided, intended, dispatched, settled by its effect class.

use crate::{
    budget::Amounts,
    code::{self, Code},
    effect::{Ended, OnUnknown, Outcome, Reconciled, Recovery},
    fact::{
        AfterUnknown, AskReason, CallHead, EffectDecided, EffectIntended, EffectNotSent, EffectOutcome,
        EffectReconciled, EffectUnknown, Fact, Held, Verdict,
    },
    label::SealedLabel,
    record::{Payload, Source},
    ruling::Rewritten,
    run::{
        apply::Env,
        decide::{Draft, Refusal},
        gate::{Rewrite, Ruling},
        life::{restore, stop},
        state::{Call, CallPhase, KeyMark, Phase, State, UnknownMark},
        step::{approval, child, delegation, funds, model, patience, plan},
        transcript::{Entry, EntryKind},
    },
    sandbox::Action,
    time::{Span, Timestamp},
};

/// First pause before a tool is tried again, and the longest.
const RETRY_FIRST: Span = Span::from_millis(200);
const RETRY_MAX: Span = Span::from_secs(60);

// ---------------------------------------------------------------------------------------------- decision

/// Decides a call: the limits on calls, what the gate says, the key rule, then what the manifest says.
pub(in crate::run) fn decide_call(draft: &mut Draft<'_>, i: usize) {
    // Whoever only keeps the run for a while, and cannot tell what policies say, leaves it to who can.
    if draft.hold && draft.gate.epoch().is_none() {
        return;
    }
    if let Err(reached) = funds::call(draft, i) {
        return funds::reached(draft, reached);
    }
    if let Some(ruling) = delegation::outside(draft, i) {
        return refuse(draft, i, ruling);
    }
    let call = &draft.state.calls[i];
    let effect = call.head.effect;
    let mut ruling = draft.gate.call(&draft.state, i, draft.now, &[]);
    if ruling.verdict == Verdict::Deny {
        return refuse(draft, i, ruling);
    }
    let mut head = draft.state.calls[i].head.clone();
    if let Some(rewrite) = &ruling.rewritten {
        (head.args, head.key) = (rewrite.args, rewrite.key.clone());
    }
    if let Some(key) = &head.key
        && (draft.state.keys.iter().any(|k| k.tool == head.tool && k.key == *key && k.args != head.args)
            || draft.state.calls[..i].iter().any(|c| !c.ended() && reuses_key(&c.head, &head)))
    {
        let text = format!(
            "{}: not done: `{key}` was already used as the key of {} with other arguments.",
            code::KEY_REUSED,
            head.tool
        );
        return deny(draft, effect, code::KEY_REUSED, Payload::inline(text, Source::Runtime));
    }
    let equal_unknown = head.class.needs_intent()
        && draft
            .state
            .unknown
            .iter()
            .any(|u| u.tool == head.tool && (u.args == head.args || (u.key.is_some() && u.key == head.key)));
    let reason = if equal_unknown {
        Some(AskReason::EqualUnknown)
    } else if restore::must_ask(&draft.state, &draft.state.calls[i], draft.now) {
        Some(AskReason::Restored)
    } else if head.rules.ask {
        Some(AskReason::Manifest)
    } else {
        (ruling.verdict == Verdict::Ask).then_some(AskReason::Policy)
    };
    if reason.is_some() {
        ruling = patience::fit(&draft.state, ruling);
        if ruling.verdict == Verdict::Deny {
            return refuse(draft, i, ruling);
        }
    }
    let asked = ruling.asked.take();
    let verdict = if reason.is_some() { Verdict::Ask } else { Verdict::Allow };
    let ttl = ruling.ttl;
    let rewritten = ruling.rewritten.take().map(|Rewrite { arguments, args, key }| {
        let arguments = draft.payload(Payload::inline(arguments, Source::Model));
        Box::new(Rewritten { arguments, args, key })
    });
    let plan = ruling.plan.take();
    let why = approval::digest(&ruling);
    draft.read(Some(effect), &mut ruling);
    let ruled = draft.ruled(&mut ruling);
    let (code, payload) = (None, None);
    draft.emit(Fact::EffectDecided(EffectDecided { effect, verdict, code, payload, ruled, rewritten, plan }));
    if let Some(reason) = reason {
        approval::ask(draft, effect, reason, asked, ttl, why);
    }
}

/// Whether both use one business key with different arguments. The calls before one in its reply count although their
/// intents, which mark the key as used, may still be to come.
fn reuses_key(a: &CallHead, b: &CallHead) -> bool {
    a.tool == b.tool && a.key.is_some() && a.key == b.key && a.args != b.args
}

/// Denies a call; the model is told why.
pub(in crate::run) fn deny(draft: &mut Draft<'_>, effect: u32, code: Code, told: Payload) {
    let payload = Some(draft.payload(told));
    draft.emit(Fact::EffectDecided(EffectDecided {
        effect,
        verdict: Verdict::Deny,
        code: Some(code),
        payload,
        ruled: None,
        rewritten: None,
        plan: None,
    }));
}

/// Denies a call because policies do; the model is told why.
pub(in crate::run) fn refuse(draft: &mut Draft<'_>, i: usize, mut ruling: Ruling) {
    let call = &draft.state.calls[i];
    let effect = call.head.effect;
    let unsure = match stays_unknown(call) {
        true => " This was tried before, and whether it happened then is unknown. Do not repeat it.",
        false => "",
    };
    let approved = approval::overruled(&call.given, &ruling);
    draft.read(Some(effect), &mut ruling);
    let payload = Some(draft.notice(format!("{}: {approved}{}{unsure}", ruling.code, ruling.told)));
    let (code, ruled) = (Some(ruling.code), draft.ruled(&mut ruling));
    let verdict = Verdict::Deny;
    draft.emit(Fact::EffectDecided(EffectDecided {
        effect,
        verdict,
        code,
        payload,
        ruled,
        rewritten: None,
        plan: None,
    }));
}

pub(in crate::run) fn apply_decided(state: &mut State, env: Env<'_>, f: &EffectDecided) {
    if f.verdict == Verdict::Deny {
        let told = f.payload.map_or_else(|| Payload::inline("Denied.", Source::Runtime), |p| env.payload(p));
        let unknown = state.call(f.effect).is_some_and(stays_unknown);
        let ended = if unknown { Ended::Unknown } else { Ended::Denied };
        return end_call(state, f.effect, ended, told, true);
    }
    if f.verdict == Verdict::Allow {
        plan::mark(state, f.effect, f.plan.as_ref());
    }
    // A call counts once, however often it is decided.
    if state.call(f.effect).is_none_or(|c| c.phase == CallPhase::Undecided) {
        state.budget.tool_calls += 1;
        state.book(Amounts { tool_calls: 1, ..Amounts::default() });
    }
    let Some(call) = state.call_mut(f.effect) else { return };
    if let Some(rewritten) = f.rewritten.as_deref() {
        call.head.args = rewritten.args;
        call.head.key = rewritten.key.clone();
        call.arguments = Some(env.payload(rewritten.arguments));
    }
    call.unweighed = false;
    if f.verdict == Verdict::Allow {
        call.ruled = Some(f.ruled.as_ref().map_or(0, |ruled| ruled.epoch));
        approval::let_go(call, env.at);
    }
}

/// Whether a call that is denied only now may have been done: by an attempt before, or in the life that was lost when its run was
/// restored. Nobody may say then that it was not.
fn stays_unknown(call: &Call) -> bool {
    call.maybe.is_some() && (call.phase != CallPhase::Undecided || call.lost)
}

// ------------------------------------------------------------------------------------------------ intent

/// Lets an open call go: a pure one needs no fact, a child is started, any other gets its intent.
pub(in crate::run) fn open_call(draft: &mut Draft<'_>, i: usize) {
    let call = &draft.state.calls[i];
    if draft.state.waits_for_workspace(call) {
        return;
    }
    if outlived_key(call, draft.now) {
        surface(draft, i, None, None);
        return;
    }
    if !approval::still_allowed(draft, i) {
        return;
    }
    let call = &draft.state.calls[i];
    if call.head.rules.child.is_some() {
        return child::start(draft, i);
    }
    if call.head.class.needs_intent() {
        approval::use_up(draft, i);
        let call = &draft.state.calls[i];
        let intended = EffectIntended {
            effect: call.head.effect,
            activation: draft.activation,
            attempt: call.attempt.saturating_add(1),
        };
        draft.emit(Fact::EffectIntended(intended));
    }
}

pub(in crate::run) fn apply_intended(state: &mut State, env: Env<'_>, f: &EffectIntended) {
    if let Some(call) = state.call_mut(f.effect) {
        // In journals of before a yes of one person was enough, and no decision followed it.
        if matches!(call.phase, CallPhase::Asking { .. }) && !call.given.is_empty() {
            approval::let_go(call, env.at);
        }
        call.phase = CallPhase::Intended { activation: f.activation, at: env.at };
        call.attempt = f.attempt;
        call.first_intended = call.first_intended.or(Some(env.at));
        call.approved = false;
        if let Some(key) = call.head.key.clone() {
            let mark = KeyMark { tool: call.head.tool.clone(), key, args: call.head.args };
            if !state.keys.contains(&mark) {
                state.keys.push(mark);
            }
        }
    }
}

// ----------------------------------------------------------------------------------------------- outcome

/// What an attempt came to.
pub(in crate::run) fn outcome(
    draft: &mut Draft<'_>,
    effect: u32,
    attempt: u8,
    outcome: Outcome<Payload>,
    error: bool,
    action: Option<Box<Action>>,
) -> Result<(), Refusal> {
    let Some(i) = position(&draft.state, effect) else {
        return late(draft, effect, attempt, outcome, error, action);
    };
    let call = &draft.state.calls[i];
    let last = call.attempt == attempt;
    let under_way = match call.phase {
        CallPhase::Ended { .. } => false,
        CallPhase::Intended { .. } | CallPhase::Reconcile { .. } | CallPhase::Backoff { unknown: true, .. } => true,
        CallPhase::Open if !call.head.class.needs_intent() => true,
        _ => call.maybe.is_some(),
    };
    if !under_way {
        return late(draft, effect, attempt, outcome, error, action);
    }
    match outcome {
        Outcome::Returned(p) => {
            let action = action.and_then(|a| wrote(&draft.state, a));
            let payload = draft.payload(p);
            draft.emit(Fact::EffectReturned(EffectOutcome { effect, payload, late: false, error, action }));
        }
        // An answer of one attempt says nothing about another that is waited for.
        _ if !last => return Err(Refusal::Stale),
        Outcome::Refused(p) if conclusive(call) => {
            let payload = draft.payload(p);
            let action = unwritten(action);
            draft.emit(Fact::EffectRefused(EffectOutcome { effect, payload, late: false, error: true, action }));
        }
        // This attempt was refused (its token had expired, say), and an earlier one may have happened.
        Outcome::Refused(_) if is_attempt(call) => {
            surface(draft, i, None, unwritten(action));
        }
        Outcome::Refused(_) => return Err(Refusal::Stale),
        Outcome::NotSent(_) | Outcome::Unknown(_) if !is_attempt(&draft.state.calls[i]) => return Err(Refusal::Stale),
        Outcome::NotSent(p) => not_sent(draft, i, p),
        Outcome::Unknown(p) => {
            settle_unknown(draft, i, Some(p), Lost::No, unwritten(action));
        }
    }
    Ok(())
}

/// Whether an answer to the last attempt says everything about the effect: no earlier attempt may have happened.
fn conclusive(call: &Call) -> bool {
    call.maybe.is_none_or(|first| first == call.attempt)
}

fn is_attempt(call: &Call) -> bool {
    matches!(call.phase, CallPhase::Intended { .. } | CallPhase::Open)
}

/// An action that returned has written its workspace if it started at the tree that the run is at. Only the rule that writers follow
/// each other makes that so; what does not follow is not taken.
fn wrote(state: &State, mut action: Box<Action>) -> Option<Box<Action>> {
    action.workspace = action.workspace.filter(|w| w.before == state.tree);
    (*action != Action::default()).then_some(action)
}

/// An action that did not return, or too late, has written nothing.
fn unwritten(action: Option<Box<Action>>) -> Option<Box<Action>> {
    action.map(|a| Box::new(Action { workspace: None, ..*a })).filter(|a| **a != Action::default())
}

/// Settles what an action used, and moves the workspace.
pub(in crate::run) fn settle_action(state: &mut State, action: Option<&Action>) {
    let Some(action) = action else { return };
    if let Some(used) = &action.sandbox {
        funds::used_box(state, used);
    }
    if let Some(change) = &action.workspace {
        state.tree = Some(change.after);
        funds::grew(state, change.bytes);
    }
}

fn position(state: &State, effect: u32) -> Option<usize> {
    state.calls.iter().position(|c| c.head.effect == effect)
}

/// A late answer to an effect that was settled as unknown corrects the ledger, and the model is told.
fn late(
    draft: &mut Draft<'_>,
    effect: u32,
    attempt: u8,
    outcome: Outcome<Payload>,
    error: bool,
    action: Option<Box<Action>>,
) -> Result<(), Refusal> {
    let run = draft.state.run;
    let Some(mark) = draft.state.unknown.iter().find(|u| u.run == run && u.effect == effect) else {
        return Err(Refusal::Stale);
    };
    if draft.state.life.ended() {
        return Err(Refusal::Stale);
    }
    let (payload, returned) = match outcome {
        Outcome::Returned(p) => (p, true),
        Outcome::Refused(p) if mark.attempt == attempt => (p, false),
        _ => return Err(Refusal::Stale),
    };
    let payload = draft.payload(payload);
    let fact = EffectOutcome { effect, payload, late: true, error: error || !returned, action: unwritten(action) };
    draft.emit(if returned { Fact::EffectReturned(fact) } else { Fact::EffectRefused(fact) });
    Ok(())
}

pub(in crate::run) fn apply_returned(state: &mut State, env: Env<'_>, f: &EffectOutcome) {
    apply_outcome(state, env, f, Ended::Returned);
}

pub(in crate::run) fn apply_refused(state: &mut State, env: Env<'_>, f: &EffectOutcome) {
    apply_outcome(state, env, f, Ended::Refused);
}

fn apply_outcome(state: &mut State, env: Env<'_>, f: &EffectOutcome, ended: Ended) {
    settle_action(state, f.action.as_deref());
    let payload = env.payload(f.payload);
    if f.late {
        let run = state.run;
        state.unknown.retain(|u| u.run != run || u.effect != f.effect);
        // In the open turn the answer takes the place of the unknown one; after it, it is a note.
        if let Some(call) = state.call_mut(f.effect) {
            let entry = Entry { kind: entry_kind(call, f.error), payload, label: None };
            call.phase = CallPhase::Ended { ended, entry };
        } else {
            let note = Entry { kind: EntryKind::Note, payload, label: None };
            // Nothing may come between a reply and the results of its calls.
            if state.calls.is_empty() { state.say(note) } else { state.notes.push(note) }
        }
    } else {
        end_call(state, f.effect, ended, payload, f.error);
    }
}

const fn entry_kind(call: &Call, error: bool) -> EntryKind {
    EntryKind::Result { effect: call.head.effect, call: call.index, error }
}

fn not_sent(draft: &mut Draft<'_>, i: usize, told: Payload) {
    let call = &draft.state.calls[i];
    let (effect, tries) = (call.head.effect, call.tries.saturating_add(1));
    let again = draft.state.stop.is_none() && tries < call.head.rules.attempts;
    if !again && call.maybe.is_some() {
        // This attempt was not sent, but an earlier one may have happened.
        surface(draft, i, None, None);
        return;
    }
    let retry_at = again.then(|| draft.now.after(model::backoff(RETRY_FIRST, RETRY_MAX, tries)));
    let payload = draft.payload(told);
    draft.emit(Fact::EffectNotSent(EffectNotSent { effect, retry_at, payload, held: None }));
}

/// What was intended was not sent: it is tried afresh, by the next process, or once operators let it.
pub(in crate::run) fn held(draft: &mut Draft<'_>, effect: u32, why: Held) {
    let payload = draft.notice(match why {
        Held::Draining => "The server was about to end before this was sent.",
        Held::Disabled => "An operator turned off what this needs before it was sent.",
        Held::Ended => "What lets this be done ended before it was sent.",
    });
    let held = Some(why);
    draft.emit(Fact::EffectNotSent(EffectNotSent { effect, retry_at: Some(draft.now), payload, held }));
}

pub(in crate::run) fn apply_not_sent(state: &mut State, env: Env<'_>, f: &EffectNotSent) {
    match f.retry_at {
        Some(until) => wait(state, f.effect, until, false, u8::from(f.held.is_none())),
        None => end_call(state, f.effect, Ended::NotSent, env.payload(f.payload), true),
    }
}

fn wait(state: &mut State, effect: u32, until: Timestamp, unknown: bool, tries: u8) {
    if let Some(call) = state.call_mut(effect) {
        call.phase = CallPhase::Backoff { until, unknown };
        call.tries = call.tries.saturating_add(tries);
    }
}

// ----------------------------------------------------------------------------------------------- unknown

/// Whether an attempt was lost with its activation, or came back without an outcome.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::run) enum Lost {
    /// Lost: it does not count against the attempts, and is repeated at once.
    Yes,
    /// It came back.
    No,
}

/// Settles an attempt of unknown outcome by the rule of its class. Says what follows.
pub(in crate::run) fn settle_unknown(
    draft: &mut Draft<'_>,
    i: usize,
    told: Option<Payload>,
    lost: Lost,
    action: Option<Box<Action>>,
) -> AfterUnknown {
    let call = &draft.state.calls[i];
    let effect = call.head.effect;
    let tries = call.tries.saturating_add(1);
    let tries_left = lost == Lost::Yes || tries < call.head.rules.attempts;
    let pause = if lost == Lost::Yes { Span(0) } else { model::backoff(RETRY_FIRST, RETRY_MAX, tries) };
    let rule = call.head.class.recovery();
    let repeat = match rule {
        Recovery::Repeat => tries_left,
        Recovery::RepeatSameKey => tries_left && key_alive(call, draft.now),
        Recovery::Reconcile | Recovery::Surface => false,
    } && draft.state.stop.is_none();
    let then = if repeat {
        AfterUnknown::Repeat(draft.now.after(pause))
    } else if rule == Recovery::Reconcile && stop::may_reconcile(draft.state.stop, rule) {
        AfterUnknown::Reconcile(draft.now.after(pause))
    } else if rule == Recovery::Repeat {
        // It changed nothing outside, so there is nothing unknown to surface: it simply failed.
        let payload = told.unwrap_or_else(|| Payload::inline("The tool was interrupted.", Source::Runtime));
        let payload = draft.payload(payload);
        draft.emit(Fact::EffectRefused(EffectOutcome { effect, payload, late: false, error: true, action }));
        return AfterUnknown::Tell;
    } else {
        return surface(draft, i, told, action);
    };
    draft.emit(Fact::EffectUnknown(EffectUnknown { effect, then, payload: None, action }));
    then
}

/// Whether the destination still remembers the call's key.
pub(in crate::run) fn key_alive(call: &Call, now: Timestamp) -> bool {
    match (call.head.rules.key_ttl, call.first_intended) {
        (Some(ttl), Some(first)) => now < first.after(ttl),
        _ => true,
    }
}

/// Whether a call that is to go again must not: it may have happened, and its key died meanwhile (a long pause, a long
/// wait, a process that was away).
fn outlived_key(call: &Call, now: Timestamp) -> bool {
    call.maybe.is_some() && call.head.class.recovery() == Recovery::RepeatSameKey && !key_alive(call, now)
}

/// The last word on an unknown outcome: the model is told, or a human decides.
fn surface(draft: &mut Draft<'_>, i: usize, told: Option<Payload>, action: Option<Box<Action>>) -> AfterUnknown {
    let call = &draft.state.calls[i];
    let effect = call.head.effect;
    let then = match call.head.rules.on_unknown {
        OnUnknown::Ask if draft.state.stop.is_none() && patience::full(&draft.state).is_none() => AfterUnknown::Ask,
        _ => AfterUnknown::Tell,
    };
    let payload = match then {
        AfterUnknown::Tell => Some(draft.payload(told.unwrap_or_else(|| {
            let text =
                "the outcome is unknown: this may or may not have happened. Do not repeat it; say so, or find out.";
            Payload::inline(format!("{}: {text}", code::EFFECT_UNKNOWN), Source::Runtime)
        }))),
        _ => None,
    };
    draft.emit(Fact::EffectUnknown(EffectUnknown { effect, then, payload, action }));
    if then == AfterUnknown::Ask {
        approval::ask_with_gates(draft, i, AskReason::OutcomeUnknown);
    }
    then
}

pub(in crate::run) fn apply_unknown(state: &mut State, env: Env<'_>, f: &EffectUnknown) {
    settle_action(state, f.action.as_deref());
    if let Some(call) = state.call_mut(f.effect)
        && call.head.class.recovery() != Recovery::Repeat
    {
        call.maybe = call.maybe.or(Some(call.attempt));
    }
    match f.then {
        // What is repeated or asked about at once was lost with its activation, and does not count as a try.
        AfterUnknown::Repeat(until) => wait(state, f.effect, until, true, u8::from(until > env.at)),
        AfterUnknown::Reconcile(at) => {
            if let Some(call) = state.call_mut(f.effect) {
                let intended = match call.phase {
                    CallPhase::Intended { at, .. } | CallPhase::Reconcile { intended: at, .. } => at,
                    _ => env.at,
                };
                call.phase = CallPhase::Reconcile { at, intended };
                call.tries = call.tries.saturating_add(u8::from(at > env.at));
            }
        }
        // The request for approval that follows says what it waits for.
        AfterUnknown::Ask => {}
        AfterUnknown::Tell => {
            let told = f.payload.map_or_else(|| Payload::inline("Unknown.", Source::Runtime), |p| env.payload(p));
            end_call(state, f.effect, Ended::Unknown, told, true);
        }
    }
}

// --------------------------------------------------------------------------------------------- reconcile

/// What the destination says about an effect of unknown outcome.
pub(in crate::run) fn reconciled(
    draft: &mut Draft<'_>,
    effect: u32,
    asked: Timestamp,
    answer: Reconciled<Payload>,
) -> Result<(), Refusal> {
    let Some(i) = position(&draft.state, effect) else { return Err(Refusal::Stale) };
    let call = &draft.state.calls[i];
    let CallPhase::Reconcile { intended, .. } = call.phase else { return Err(Refusal::Stale) };
    let settled = intended.after(call.head.rules.settle);
    let (tries, attempts) = (call.tries, call.head.rules.attempts);
    match answer {
        Reconciled::Happened(p) => {
            let payload = Some(draft.payload(p));
            draft.emit(Fact::EffectReconciled(EffectReconciled { effect, happened: true, payload, again: None }));
        }
        // "Absent" counts only once a request under way must have arrived.
        Reconciled::Absent if asked < settled => {
            let again = Some(settled);
            draft.emit(Fact::EffectReconciled(EffectReconciled { effect, happened: false, payload: None, again }));
        }
        Reconciled::Absent => {
            let text = if draft.state.stop.is_some() {
                Some("It did not happen; the run was stopped.")
            } else {
                (tries >= attempts).then_some("It did not happen, and was given up after several attempts.")
            };
            let payload = text.map(|t| draft.notice(t));
            draft.emit(Fact::EffectReconciled(EffectReconciled { effect, happened: false, payload, again: None }));
        }
        Reconciled::StillUnknown if tries < attempts => {
            let at = draft.now.after(model::backoff(RETRY_FIRST, RETRY_MAX, tries));
            let then = AfterUnknown::Reconcile(at);
            draft.emit(Fact::EffectUnknown(EffectUnknown { effect, then, payload: None, action: None }));
        }
        Reconciled::StillUnknown => {
            surface(draft, i, None, None);
        }
    }
    Ok(())
}

pub(in crate::run) fn apply_reconciled(state: &mut State, env: Env<'_>, f: &EffectReconciled) {
    match (f.happened, f.payload, f.again) {
        (true, payload, _) => {
            let told = payload.map_or_else(|| Payload::inline("It happened.", Source::Runtime), |p| env.payload(p));
            end_call(state, f.effect, Ended::Returned, told, false);
        }
        (false, _, Some(again)) => {
            if let Some(call) = state.call_mut(f.effect)
                && let CallPhase::Reconcile { intended, .. } = call.phase
            {
                call.phase = CallPhase::Reconcile { at: again, intended };
            }
        }
        (false, Some(told), None) => end_call(state, f.effect, Ended::NotSent, env.payload(told), true),
        (false, None, None) => {
            if let Some(call) = state.call_mut(f.effect) {
                call.phase = CallPhase::Open;
                call.maybe = None;
            }
        }
    }
}

// ----------------------------------------------------------------------------------------------- the end

pub(in crate::run) fn apply_withdrawn(state: &mut State, effect: u32) {
    let text = format!("{}: withdrawn: the run was stopped before this was done.", code::WITHDRAWN);
    end_call(state, effect, Ended::Withdrawn, Payload::inline(text, Source::Runtime), true);
}

/// Ends a call, and the turn with its last one: the results join the conversation in the order of the calls.
pub(in crate::run) fn end_call(state: &mut State, effect: u32, ended: Ended, told: Payload, error: bool) {
    end_with(state, effect, ended, Ending { told, error, label: None });
}

/// What the model is told of a call's end.
pub(in crate::run) struct Ending {
    pub(in crate::run) told: Payload,
    /// Whether that tells of an error.
    pub(in crate::run) error: bool,
    /// Its label, when it was said by another run.
    pub(in crate::run) label: Option<SealedLabel>,
}

pub(in crate::run) fn end_with(state: &mut State, effect: u32, ended: Ended, ending: Ending) {
    let Ending { told, error, label } = ending;
    let sent = !matches!(ended, Ended::NotSent | Ended::Withdrawn | Ended::Denied);
    if !sent || error {
        plan::free(state, effect, sent);
    }
    let run = state.run;
    let Some(call) = state.call_mut(effect) else { return };
    let mark = (ended == Ended::Unknown).then(|| UnknownMark {
        run,
        effect,
        tool: call.head.tool.clone(),
        args: call.head.args,
        key: call.head.key.clone(),
        attempt: if conclusive(call) { call.attempt } else { 0 },
    });
    let entry = Entry { kind: entry_kind(call, error), payload: told, label };
    call.phase = CallPhase::Ended { ended, entry };
    state.unknown.extend(mark);
    if state.calls.iter().all(Call::ended) {
        for call in std::mem::take(&mut state.calls) {
            if let CallPhase::Ended { entry, .. } = call.phase {
                state.say(entry);
            }
        }
        for note in std::mem::take(&mut state.notes) {
            state.say(note);
        }
        state.phase = Phase::Idle;
    }
}
