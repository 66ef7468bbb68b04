//! On whose behalf a run works, and how far: what the agents above it granted is looked up whenever a call is decided and again before
//! it begins; and when the time of the person is over, they are asked before anything more begins. Nobody else can say yes for them.

use crate::{
    code,
    fact::{ApprovalGiven, ApprovalRequested, AskReason, DelegationRenewed, EffectRef, Fact},
    grant::Use,
    record::{Payload, Source},
    ruling::{Asked, GateAsks, Person},
    run::{
        apply::Env,
        decide::{Draft, Refusal},
        gate::Ruling,
        life::stop,
        state::{Call, CallPhase, Phase, Renewing, State},
    },
};

/// What the question is called where gates are.
const QUESTION: &str = "delegation";

/// Why call `i` may not be made although everything else lets it, when a grant above the run does not.
pub(in crate::run) fn outside(draft: &Draft<'_>, i: usize) -> Option<Ruling> {
    let (state, head) = (&draft.state, &draft.state.calls[i].head);
    let starts = head.rules.child.as_ref().map(|_| Use::Agent);
    let denied = [Some(Use::Tool(&head.tool)), starts].into_iter().flatten();
    let denied = denied.filter_map(|wanted| state.behalf.allows(wanted, draft.now).err()).next()?;
    let told = format!("not done: {denied}. Do what can be done without it, and say what is missing.");
    Some(Ruling { code: code::GRANT, ..Ruling::deny(draft.gate.epoch().unwrap_or(0), Vec::new(), told) })
}

/// Whether something would begin on behalf of somebody whose time is over.
pub(in crate::run) fn must_ask(draft: &Draft<'_>) -> bool {
    let state = &draft.state;
    let begins = |c: &Call| match c.phase {
        CallPhase::Undecided | CallPhase::Open | CallPhase::Previewing(_) => true,
        CallPhase::Asking { .. } => !c.given.is_empty(),
        _ => false,
    };
    state.behalf.is_over(draft.now)
        && match state.phase {
            Phase::Idle => !draft.hold,
            Phase::Tools => state.calls.iter().any(begins),
            Phase::Model { .. } | Phase::ModelWait(_) => false,
        }
}

/// Asks the person whether the run may go on.
pub(in crate::run) fn ask(draft: &mut Draft<'_>) {
    let s = &draft.state;
    let Some(person) = &s.behalf.user else { return };
    let expires = s.config.approval_ttl.map(|ttl| draft.now.after(ttl));
    let approvers = vec![format!("user:{}", person.name).as_str().into()];
    let gate = GateAsks { policy: QUESTION.into(), approvers, quorum: 1, ..GateAsks::default() };
    let asked = Some(Box::new(Asked { gates: vec![gate], quorum: 1 }));
    let (effect, reason) = (s.next_effect, AskReason::Delegation);
    draft.emit(Fact::ApprovalRequested(ApprovalRequested {
        effect,
        reason,
        expires,
        asked,
        raise: None,
        signing: None,
    }));
}

pub(in crate::run) fn apply_asked(state: &mut State, env: Env<'_>, f: &ApprovalRequested) {
    state.next_effect = state.next_effect.max(f.effect.saturating_add(1));
    state.renewing = Some(Renewing { effect: f.effect, expires: f.expires, since: env.at });
}

/// Somebody answers the question. A no of anybody who may answer stops the run; a yes counts from the person alone.
pub(in crate::run) fn answered(
    draft: &mut Draft<'_>,
    approved: bool,
    Person { name: by, roles }: Person,
    note: Option<String>,
) -> Result<(), Refusal> {
    let Some(Renewing { effect, expires, .. }) = draft.state.renewing else { return Err(Refusal::Stale) };
    if expires.is_some_and(|e| e <= draft.now) {
        expire(draft);
        return Ok(());
    }
    if approved {
        may_renew(&draft.state, &by)?;
    }
    let text = match (approved, note) {
        (false, None) => Some(format!("{}: a human ({by}) did not let the run go on.", code::DENIED)),
        (_, note) => note,
    };
    let note = text.map(|t| draft.payload(Payload::inline(t, Source::User)));
    let (name, later, signed) = (by.clone(), None, None);
    draft.emit(Fact::ApprovalGiven(ApprovalGiven { effect, approved, by: name, note, roles, later, signed }));
    match approved {
        true => emit(draft, by, Some(effect)),
        false => stop::undelegated(draft),
    }
    Ok(())
}

/// The person did something about the run, so that it may go on for as long again. Said only now and then: a record for each request
/// would tell nobody anything.
pub(in crate::run) fn renew(draft: &mut Draft<'_>, by: crate::id::Name) -> Result<(), Refusal> {
    if draft.state.life.ended() || draft.state.stop.is_some() {
        return Err(Refusal::Ended);
    }
    may_renew(&draft.state, &by)?;
    let asked = draft.state.renewing.map(|r| r.effect);
    let Some(delegated) = draft.state.behalf.delegated else { return Ok(()) };
    let gained = draft.now.after(delegated.lasts).since(delegated.until);
    if asked.is_some() || gained.0 > delegated.lasts.0 / 16 {
        emit(draft, by, asked);
    }
    Ok(())
}

fn may_renew(state: &State, by: &str) -> Result<(), Refusal> {
    match &state.behalf.user {
        Some(person) if *person.name == *by => Ok(()),
        Some(_) => Err(Refusal::Conflict("only the person on whose behalf the run works can let it go on")),
        None => Err(Refusal::Conflict("the run works on nobody's behalf")),
    }
}

fn emit(draft: &mut Draft<'_>, by: crate::id::Name, effect: Option<u32>) {
    let Some(delegated) = draft.state.behalf.delegated else { return };
    let until = draft.now.after(delegated.lasts);
    draft.emit(Fact::DelegationRenewed(DelegationRenewed { by, until, effect }));
}

pub(in crate::run) fn apply_renewed(state: &mut State, f: &DelegationRenewed) {
    state.renewing = None;
    if let Some(delegated) = &mut state.behalf.delegated {
        delegated.until = delegated.until.max(f.until);
    }
}

/// Nobody answered in time: that is no yes.
pub(in crate::run) fn expire(draft: &mut Draft<'_>) {
    if let Some(renewing) = draft.state.renewing
        && renewing.expires.is_some_and(|e| e <= draft.now)
    {
        draft.emit(Fact::ApprovalExpired(EffectRef { effect: renewing.effect }));
        stop::undelegated(draft);
    }
}
