//! A human is asked, and answers, or does not. The run sleeps meanwhile and costs nothing.

use sha2::{Digest as _, Sha256};

use crate::{
    code,
    effect::Ended,
    fact::{
        ApprovalGiven, ApprovalRequested, ApprovalsUsed, AskReason, EffectDecided, EffectRef, Fact, Signing, Verdict,
        Waiting,
    },
    id::Name,
    record::{Payload, Source},
    ruling::{Asked, Given, Person, Signed},
    run::{
        apply::Env,
        decide::{Draft, Refusal},
        gate::Ruling,
        state::{Call, CallPhase, Request, State},
        step::{
            delegation, funds, patience, preview,
            tool::{end_call, refuse},
        },
    },
    time::{Span, Timestamp},
};

/// Puts a call before a human: before as many, and before those, as gates ask for. The shorter time counts, of the gates'
/// and the manifest's.
pub(in crate::run) fn ask(
    draft: &mut Draft<'_>,
    effect: u32,
    reason: AskReason,
    asked: Option<Asked>,
    ttl: Option<Span>,
    why: Option<[u8; 32]>,
) {
    let waiting = Waiting { reason, asked: asked.map(Box::new), ttl, why, epoch: draft.gate.epoch() };
    if preview::is_wanted(draft, effect) && preview::begin(draft, effect, waiting.clone()) {
        return;
    }
    put(draft, effect, waiting);
}

/// Asks. The time that there is begins now.
fn put(draft: &mut Draft<'_>, effect: u32, Waiting { reason, asked, ttl, why, epoch }: Waiting) {
    let ttl = [draft.state.config.approval_ttl, ttl].into_iter().flatten().min();
    let expires = ttl.map(|ttl| draft.now.after(ttl));
    let signing = draft.gate.salt().map(|salt| Box::new(Signing { salt, epoch, why }));
    draft.emit(Fact::ApprovalRequested(ApprovalRequested { effect, reason, expires, asked, raise: None, signing }));
}

/// Asks what has waited for a look. Where policies are others by now, they say what is asked.
pub(in crate::run) fn ask_now(draft: &mut Draft<'_>, i: usize, mut waiting: Waiting) {
    let (effect, now) = (draft.state.calls[i].head.effect, draft.gate.epoch());
    if now.is_none() || now == waiting.epoch {
        return put(draft, effect, waiting);
    }
    let mut ruling = again(draft, i);
    match ruling.verdict {
        Verdict::Deny => return refuse(draft, i, ruling),
        Verdict::Allow if waiting.reason == AskReason::Policy => return decided(draft, i, ruling),
        Verdict::Allow | Verdict::Ask => {}
    }
    waiting.why = digest(&ruling);
    draft.read(Some(effect), &mut ruling);
    (waiting.asked, waiting.ttl, waiting.epoch) = (ruling.asked.take().map(Box::new), ruling.ttl, now);
    // People are shown why they are asked now, not why they would have been asked before.
    let plan = ruling.plan.take();
    let ruled = draft.ruled(&mut ruling);
    let (verdict, code, payload, rewritten) = (Verdict::Ask, None, None, None);
    draft.emit(Fact::EffectDecided(EffectDecided { effect, verdict, code, payload, ruled, rewritten, plan }));
    put(draft, effect, waiting);
}

/// What a signature binds of the document that says why.
pub(in crate::run) fn digest(ruling: &Ruling) -> Option<[u8; 32]> {
    ruling.why.as_ref().map(|why| Sha256::digest(why).into())
}

/// The same with the gates that policies have for it now, where they can be asked.
pub(in crate::run) fn ask_with_gates(draft: &mut Draft<'_>, i: usize, reason: AskReason) {
    let effect = draft.state.calls[i].head.effect;
    let mut why = None;
    let mut gates = draft.gate.epoch().map(|_| draft.gate.call(&draft.state, i, draft.now, &[]));
    if let Some(ruling) = &mut gates {
        why = digest(ruling);
        draft.read(Some(effect), ruling);
    }
    let (asked, ttl) = gates.filter(|ruling| ruling.verdict == Verdict::Ask).map(|r| (r.asked, r.ttl)).unzip();
    ask(draft, effect, reason, asked.flatten(), ttl.flatten(), why);
}

pub(in crate::run) fn apply_requested(state: &mut State, env: Env<'_>, f: &ApprovalRequested) {
    state.asks = state.asks.saturating_add(1);
    if f.reason == AskReason::Delegation {
        return delegation::apply_asked(state, env, f);
    }
    if let Some(raise) = &f.raise {
        funds::apply_asked(state, env, f.effect, raise, f.expires);
        return;
    }
    let request = f.signing.as_deref().map(|signing| request(state, env, f, signing));
    if let Some(call) = state.call_mut(f.effect) {
        let asked = f.asked.clone();
        let epoch = f.signing.as_deref().and_then(|signing| signing.epoch);
        let decided = match &call.phase {
            // Where policies are others than before the look, it is decided in this record why people are asked.
            CallPhase::Previewing(look) if look.waiting.epoch == epoch => Some(look.seq),
            _ => None,
        };
        let request = request.map(|request| Request { decided, ..request });
        (call.request, call.used) = (request, false);
        call.phase = CallPhase::Asking { reason: f.reason, expires: f.expires, since: env.at, asked };
        call.given.clear();
        (call.reminders, call.reminded) = (0, None);
        call.escalated.clear();
        call.unweighed = false;
    }
}

/// What signed answers to a question bind: the fact, and the one place in one journal where it stands.
fn request(state: &State, env: Env<'_>, f: &ApprovalRequested, signing: &Signing) -> Request {
    let h = Sha256::new().chain_update(b"stead/approval-request/v1").chain_update(state.run.0.to_be_bytes());
    let h = h.chain_update(state.next_seq.to_be_bytes()).chain_update(env.at.0.to_be_bytes());
    let fact = minicbor::to_vec(f).expect("a buffer takes everything");
    Request {
        hash: h.chain_update(fact).finalize().into(),
        salt: signing.salt,
        epoch: signing.epoch,
        why: signing.why,
        seq: state.next_seq,
        at: env.at,
        expires: f.expires,
        tree: state.tree,
        reason: f.reason,
        asked: f.asked.clone(),
        decided: None,
    }
}

pub(in crate::run) fn answered(
    draft: &mut Draft<'_>,
    effect: u32,
    approved: bool,
    Person { name: by, roles }: Person,
    note: Option<String>,
    signed: Option<Box<Signed>>,
) -> Result<(), Refusal> {
    if draft.state.life.ended() {
        return Err(Refusal::Ended);
    }
    if draft.state.asking.as_ref().is_some_and(|a| a.effect == effect) {
        return funds::answered(draft, approved, Person { name: by, roles }, note);
    }
    if draft.state.renewing.is_some_and(|r| r.effect == effect) {
        return delegation::answered(draft, approved, Person { name: by, roles }, note);
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
    if let Some(signed) = &signed
        && call.given.iter().any(|given| given.signed.as_ref().is_some_and(|s| s.nonce == signed.nonce))
    {
        return Err(Refusal::Conflict("this statement was given already; it counts once"));
    }
    if approved && signed.is_none() && unsigned(draft, effect)? {
        return Ok(());
    }
    let call = draft.state.call(effect).expect("it was there");
    // Who has signed may sign again: what they signed may count no longer, and counts once in any case. And who answered before
    // others were let in may do so again as one of them.
    let said = |given: &Given| given.name == by && given.escalated == call.escalated;
    if approved && signed.is_none() && call.given.iter().any(said) {
        return Err(Refusal::Conflict("you have approved this already; the approvals of others are waited for"));
    }
    let text = match (approved, note) {
        (true, note) => note,
        (false, None) => Some(format!("{}: a human ({by}) denied this action.", code::DENIED)),
        (false, Some(note)) => Some(format!("{}: a human ({by}) denied this action: {note}", code::DENIED)),
    };
    let note = text.map(|t| draft.payload(Payload::inline(t, Source::User)));
    let weighed = !draft.state.paused && draft.gate.epoch().is_some();
    let later = (approved && !weighed).then_some(true);
    draft.emit(Fact::ApprovalGiven(ApprovalGiven { effect, approved, by, note, roles, later, signed }));
    Ok(())
}

/// Refuses an answer without a signature where one is wanted. What was asked before anybody could sign is asked anew: then it
/// says so.
fn unsigned(draft: &mut Draft<'_>, effect: u32) -> Result<bool, Refusal> {
    let Some(i) = draft.state.calls.iter().position(|c| c.head.effect == effect) else { return Ok(false) };
    if !draft.gate.wants_signature(&draft.state, i) {
        return Ok(false);
    }
    if draft.state.calls[i].request.is_none() && draft.gate.salt().is_some() {
        ask_again(draft, i);
        return Ok(true);
    }
    Err(Refusal::Conflict("a yes to this counts only with a signature"))
}

/// Asks the same anew, so that answers can be signed: it was asked where nobody could sign.
fn ask_again(draft: &mut Draft<'_>, i: usize) {
    let call = &draft.state.calls[i];
    if let CallPhase::Asking { reason, expires, since, asked } = &call.phase {
        let (effect, reason, asked) = (call.head.effect, *reason, asked.as_deref().cloned());
        let ttl = expires.map(|until| until.since(*since));
        ask(draft, effect, reason, asked, ttl, None);
    }
}

/// Says that the signed answers of a call were used, in the record that lets it go, once.
pub(in crate::run) fn use_up(draft: &mut Draft<'_>, i: usize) {
    let call = &draft.state.calls[i];
    let nonces: Vec<_> = call.given.iter().filter_map(|given| given.signed.as_ref()).map(|s| s.nonce).collect();
    if !call.used && !nonces.is_empty() {
        let effect = call.head.effect;
        draft.emit(Fact::ApprovalsUsed(ApprovalsUsed { effect, nonces }));
    }
}

pub(in crate::run) fn apply_used(state: &mut State, f: &ApprovalsUsed) {
    if let Some(call) = state.call_mut(f.effect) {
        call.used = true;
    }
}

pub(in crate::run) fn apply_given(state: &mut State, env: Env<'_>, f: &ApprovalGiven) {
    if let Some(asking) = state.asking.take_if(|a| a.effect == f.effect) {
        if f.approved {
            state.budget.limits.raise(asking.raise.limit, asking.raise.by);
        }
        return;
    }
    let Some(call) = state.call_mut(f.effect) else { return };
    let CallPhase::Asking { reason, ref asked, .. } = call.phase else { return };
    if f.approved {
        // Whether it is enough, policies say, whoever asked: a yes opens nothing by itself. Where no gate asks, one is always
        // followed by a decision.
        call.unweighed |= asked.is_none() || f.later == Some(true);
        // One answer of each person over each way: who is asked for both gives two.
        let way = |signed: &Option<Box<Signed>>| signed.as_ref().and_then(|s| s.page).unwrap_or(false);
        call.given.retain(|given| given.name != f.by || way(&given.signed) != way(&f.signed));
        let (name, roles, signed) = (f.by.clone(), f.roles.clone(), f.signed.clone());
        call.given.push(Given { name, roles, signed, escalated: call.escalated.clone() });
        return;
    }
    let ended = if may_have_been(call, reason) { Ended::Unknown } else { Ended::Denied };
    let told = f.note.map_or_else(
        || Payload::inline(format!("{}: a human denied this action.", code::DENIED), Source::Runtime),
        |n| env.payload(n),
    );
    end_call(state, f.effect, ended, told, true);
}

/// Opens a call. One that a human was asked about has been approved.
pub(in crate::run) fn let_go(call: &mut Call, at: Timestamp) {
    call.let_go = call.let_go.or(Some(at));
    if let CallPhase::Asking { reason, .. } = call.phase {
        call.approved = true;
        // For an outcome that may have been, "yes" means: it did not happen, do it now. A yes to the action itself says
        // nothing about what was done before.
        if !matches!(reason, AskReason::Manifest | AskReason::Policy) {
            call.maybe = None;
        }
    }
    call.phase = CallPhase::Open;
    call.unweighed = false;
}

/// Decides a call again that yeses have been given for, whoever asked, by the policies of now: it may go, waits for more, or
/// is denied after all. Where there are no policies now, the yeses are kept until there are.
pub(in crate::run) fn weigh(draft: &mut Draft<'_>, i: usize) {
    if draft.state.calls[i].request.is_none()
        && draft.gate.salt().is_some()
        && draft.gate.wants_signature(&draft.state, i)
    {
        return ask_again(draft, i);
    }
    let call = &draft.state.calls[i];
    if matches!(call.phase, CallPhase::Asking { .. })
        && !call.given.is_empty()
        && let Some(ruling) = delegation::outside(draft, i)
    {
        return refuse(draft, i, ruling);
    }
    let call = &draft.state.calls[i];
    let CallPhase::Asking { reason, asked, .. } = &call.phase else { return };
    if call.given.is_empty() || draft.gate.epoch().is_none() {
        return;
    }
    let (reason, was) = (*reason, asked.as_deref().cloned());
    let mut ruling = again(draft, i);
    match ruling.verdict {
        Verdict::Deny => refuse(draft, i, ruling),
        Verdict::Allow => decided(draft, i, ruling),
        // Other gates than those that were approved: that is another question.
        Verdict::Ask if ruling.asked != was => {
            let (effect, why) = (draft.state.calls[i].head.effect, digest(&ruling));
            draft.read(Some(effect), &mut ruling);
            ask(draft, effect, reason, ruling.asked, ruling.ttl, why);
        }
        Verdict::Ask if draft.state.calls[i].unweighed => decided(draft, i, ruling),
        Verdict::Ask => {}
    }
}

/// Asks about a call that was let go, when that was by other policies than those of now, or before a pause. Says whether it
/// may begin.
pub(in crate::run) fn still_allowed(draft: &mut Draft<'_>, i: usize) -> bool {
    if let Some(ruling) = delegation::outside(draft, i) {
        refuse(draft, i, ruling);
        return false;
    }
    let call = &draft.state.calls[i];
    let now = draft.gate.epoch();
    if now.is_some() && call.ruled == now && !draft.gate.again(&draft.state, i) {
        return true;
    }
    // What people have approved is not lost because policies cannot be had for a moment: it waits for them.
    if now.is_none() && !call.given.is_empty() && (call.head.class.needs_intent() || call.head.rules.child.is_some()) {
        return false;
    }
    let mut ruling = again(draft, i);
    match ruling.verdict {
        Verdict::Deny => refuse(draft, i, ruling),
        Verdict::Allow => {
            decided(draft, i, ruling);
            return true;
        }
        Verdict::Ask => {
            ruling = patience::fit(&draft.state, ruling);
            if ruling.verdict == Verdict::Deny {
                refuse(draft, i, ruling);
                return false;
            }
            let (effect, why) = (draft.state.calls[i].head.effect, digest(&ruling));
            draft.read(Some(effect), &mut ruling);
            ask(draft, effect, AskReason::Policy, ruling.asked, ruling.ttl, why);
        }
    }
    false
}

/// What policies say now of a call that was decided before, with what people have said yes to. What they would now have done
/// in its place is something else, which nobody asked for.
fn again(draft: &Draft<'_>, i: usize) -> Ruling {
    let call = &draft.state.calls[i];
    let ruling = draft.gate.call(&draft.state, i, draft.now, &call.given);
    let same = match &ruling.rewritten {
        Some(rewrite) => rewrite.args == call.head.args,
        None => call.arguments.is_none(),
    };
    if ruling.verdict == Verdict::Deny || same {
        return ruling;
    }
    let told = "the policies have changed since this was allowed, and would have something else done. Ask again.";
    let (verdict, code) = (Verdict::Deny, code::POLICY_CHANGED);
    Ruling { verdict, code, told: told.into(), ..ruling }
}

/// Notes what policies say of a call that was decided before.
fn decided(draft: &mut Draft<'_>, i: usize, mut ruling: Ruling) {
    let (effect, verdict, plan) = (draft.state.calls[i].head.effect, ruling.verdict, ruling.plan.take());
    draft.read(Some(effect), &mut ruling);
    let ruled = draft.ruled(&mut ruling);
    let (code, payload, rewritten) = (None, None, None);
    let head = &draft.state.calls[i].head;
    if verdict == Verdict::Allow && !head.class.needs_intent() && head.rules.child.is_none() {
        // Nothing else follows before it is done.
        use_up(draft, i);
    }
    draft.emit(Fact::EffectDecided(EffectDecided { effect, verdict, code, payload, ruled, rewritten, plan }));
}

/// Names that are told at most, of people and of policies.
const NAMED: usize = 4;

/// The beginning of what is told of a call that people had said yes to and that is denied all the same: a yes is not why it was not done.
/// Nothing when nobody had.
pub(in crate::run) fn overruled(given: &[Given], ruling: &Ruling) -> String {
    if given.is_empty() {
        return String::new();
    }
    // Who answered twice, as one of those who were let in later say, is one person.
    let mut people: Vec<&Name> = Vec::new();
    for one in given {
        if !people.contains(&&one.name) {
            people.push(&one.name);
        }
    }
    let people = listed(people.into_iter().map(|name| (**name).to_owned()).collect());
    // Of another code these are policies that let it be done, or ask.
    let by = if ruling.code == code::POLICY { &ruling.by[..] } else { &[] };
    let policies = listed(by.iter().map(|policy| format!("`{policy}`")).collect());
    match by.len() {
        0 => format!("approved by {people}, and denied after that: "),
        1 => format!("approved by {people}, and denied after that by the policy {policies}: "),
        _ => format!("approved by {people}, and denied after that by the policies {policies}: "),
    }
}

fn listed(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// Whether the question is about something that may have happened already: left alone, it stays unknown.
fn may_have_been(call: &Call, reason: AskReason) -> bool {
    reason == AskReason::OutcomeUnknown || call.maybe.is_some()
}

pub(in crate::run) fn apply_expired(state: &mut State, effect: u32) {
    state.asking.take_if(|a| a.effect == effect);
    state.renewing.take_if(|r| r.effect == effect);
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
