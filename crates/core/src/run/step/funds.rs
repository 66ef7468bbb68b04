//! What pays for a step: the run's own limits, then the budgets above it. At a limit the run stops, asks a human, or goes on
//! with a cheaper model, as its manifest says.

use crate::{
    budget::{Amounts, AtLimit, Blocked, BudgetMoved, Limit, Raise, Slice, Spend},
    code,
    fact::{ApprovalGiven, ApprovalRequested, AskReason, EffectRef, Fact},
    record::{Payload, Source},
    ruling::Person,
    run::{
        apply::Env,
        decide::{Draft, Refusal},
        life::stop,
        state::{Asking, State},
        step::patience,
    },
    sandbox::{Access, BoxUse},
    time::{Span, Timestamp},
};

/// A limit that is reached.
#[derive(Clone, Debug)]
pub(in crate::run) struct Reached {
    pub(in crate::run) limit: Limit,
    by: By,
}

/// Whose limit it is.
#[derive(Clone, Debug)]
enum By {
    /// The run's own, of which the next step may use so much.
    Own(u64),
    /// That of a budget above it.
    Above(Blocked),
}

impl Reached {
    /// The run's own limit, of which the next step may use so much.
    pub(in crate::run) const fn own(limit: Limit, need: u64) -> Self {
        Self { limit, by: By::Own(need) }
    }

    /// The run's own limit of time: it passes by itself.
    pub(in crate::run) const fn time(limit: Limit) -> Self {
        Self::own(limit, ANY)
    }

    /// The budget above the run, when it is not the run's own limit.
    pub(in crate::run) fn above(&self) -> Option<&Blocked> {
        match &self.by {
            By::Own(_) => None,
            By::Above(blocked) => Some(blocked),
        }
    }
}

impl From<(Limit, Blocked)> for Reached {
    fn from((limit, blocked): (Limit, Blocked)) -> Self {
        Self { limit, by: By::Above(blocked) }
    }
}

/// What must be there of a kind whose use is known only afterwards.
const ANY: u64 = 1;

/// Sees to it that the run holds of the budgets above it what a step may use.
pub(in crate::run) fn afford(draft: &mut Draft<'_>, need: Amounts) -> Result<(), Reached> {
    let Some(offer) = &mut draft.offer else { return Ok(()) };
    if let Some(moved) = offer.cover(draft.state.slice.as_ref(), need)? {
        draft.emit(Fact::BudgetMoved(Box::new(moved)));
    }
    Ok(())
}

/// Whether a model call may be made for which so much is set aside.
pub(in crate::run) fn model(draft: &mut Draft<'_>, reserved: Spend) -> Result<(), Reached> {
    if let Some(limit) = draft.state.budget.crosses(reserved) {
        return Err(Reached::own(limit, Amounts::from(reserved).of(limit).unwrap_or_default()));
    }
    // Money that nobody knows is paid by no budget of money.
    if reserved.usd.is_none()
        && let Some(offer) = &draft.offer
        && let Some(payer) = offer.payers.iter().find(|payer| payer.left.usd.is_some())
    {
        let left = payer.left.usd.unwrap_or_default().0;
        return Err((Limit::Unpriced, payer.blocks(Limit::Unpriced, left, 0)).into());
    }
    afford(draft, Amounts { active: Span(ANY), ..reserved.into() })
}

/// Whether the call at index `i` may be made.
pub(in crate::run) fn call(draft: &mut Draft<'_>, i: usize) -> Result<(), Reached> {
    let left = draft.state.left();
    if left.tool_calls == Some(0) {
        return Err(Reached::own(Limit::ToolCalls, 1));
    }
    let rules = &draft.state.calls[i].head.rules;
    let boxed = rules.place.is_some_and(|p| p.boxed);
    let writes = rules.place.is_some_and(|p| p.workspace == Access::Write);
    // What was used beyond a limit is a debt that blocks the next who would use more.
    let spent = [
        (Limit::Cpu, boxed && left.cpu == Some(Span(0))),
        (Limit::Traffic, boxed && left.traffic == Some(0)),
        (Limit::Disk, writes && left.disk == Some(0)),
    ];
    if let Some((limit, _)) = spent.into_iter().find(|(_, spent)| *spent) {
        return Err(Reached::own(limit, ANY));
    }
    let if_any = |yes: bool| if yes { ANY } else { 0 };
    let need = Amounts {
        tool_calls: 1,
        active: Span(ANY),
        cpu: Span(if_any(boxed)),
        traffic: if_any(boxed),
        disk: if_any(writes),
        ..Amounts::default()
    };
    afford(draft, need)
}

/// Settles the run's slice and gives the rest of it back.
pub(in crate::run) fn give_back(draft: &mut Draft<'_>) {
    let holds = |s: &&Slice| !s.used.is_zero() || !s.granted.amounts().is_zero();
    if let Some(settled) = draft.state.slice.as_ref().filter(holds).map(|s| s.used) {
        draft.emit(Fact::BudgetMoved(Box::new(BudgetMoved { settled, taken: None })));
    }
}

pub(in crate::run) fn apply_moved(state: &mut State, f: &BudgetMoved) {
    match (&f.taken, &mut state.slice) {
        (Some(taken), slice) => {
            let (levels, granted) = (taken.levels.clone(), taken.granted);
            *slice = Some(Slice { levels, granted, used: Amounts::default() });
        }
        // What it uses while it holds nothing (an answer that comes late) is told to the same budgets.
        (None, Some(slice)) => {
            slice.granted = slice.granted.without(slice.granted.amounts());
            slice.used = Amounts::default();
        }
        (None, None) => {}
    }
}

/// Books what a box used.
pub(in crate::run) fn used_box(state: &mut State, used: &BoxUse) {
    let before = state.budget.boxes;
    state.budget.boxes.add(used);
    let after = state.budget.boxes;
    let cpu = Span(after.cpu.0.saturating_sub(before.cpu.0));
    state.book(Amounts { cpu, traffic: after.traffic.saturating_sub(before.traffic), ..Amounts::default() });
}

/// Books by how much a workspace that now has so many bytes grew; that one shrinks gives nothing back.
pub(in crate::run) fn grew(state: &mut State, bytes: u64) {
    let disk = bytes.saturating_sub(state.tree_bytes);
    state.tree_bytes = bytes;
    state.budget.disk = state.budget.disk.saturating_add(disk);
    state.book(Amounts { disk, ..Amounts::default() });
}

// ------------------------------------------------------------------------------------------- at the limit

/// A limit is reached: the run stops, or asks a human when its manifest says so. A child's limits were cut from its parent's, so nobody
/// is asked to raise them; turns and unknown prices are no amounts that could be raised.
pub(in crate::run) fn reached(draft: &mut Draft<'_>, reached: Reached) {
    let s = &draft.state;
    let may_ask =
        s.config.at_limit == AtLimit::Ask && s.parent.is_none() && s.asking.is_none() && patience::full(s).is_none();
    if !may_ask || matches!(reached.limit, Limit::Unpriced | Limit::Turns) {
        return stop::by_limit(draft, reached.limit, reached.above().cloned());
    }
    let expires = s.config.approval_ttl.map(|ttl| draft.now.after(ttl));
    let effect = s.next_effect;
    let raise = Some(Box::new(question(s, reached, draft.now)));
    draft.emit(Fact::ApprovalRequested(ApprovalRequested {
        effect,
        reason: AskReason::Budget,
        expires,
        asked: None,
        raise,
        signing: None,
    }));
}

fn question(s: &State, Reached { limit, by }: Reached, now: Timestamp) -> Raise {
    let need = match by {
        By::Own(need) => need,
        By::Above(blocked) => {
            return Raise { limit, by: 0, blocked: Some(blocked), most: None, used: None, need: None };
        }
    };
    let most = s.budget.limits.of(limit);
    let used = match limit {
        Limit::Deadline => Some(now.since(s.started_at).0),
        // What children under way may use is set aside for them.
        limit => s.budget.used(limit).max(most.zip(s.left().of(limit)).map(|(most, left)| most.saturating_sub(left))),
    };
    // As much again as the manifest gave.
    let by = s.config.limits.of(limit).or(most).unwrap_or(0);
    Raise { limit, by, blocked: None, most, used, need: Some(need) }
}

pub(in crate::run) fn apply_asked(
    state: &mut State,
    env: Env<'_>,
    effect: u32,
    raise: &Raise,
    expires: Option<Timestamp>,
) {
    state.next_effect = state.next_effect.max(effect.saturating_add(1));
    state.asking = Some(Box::new(Asking { effect, raise: raise.clone(), expires, since: env.at }));
}

/// A human answers the question about a limit: yes raises it for this run, no stops it.
pub(in crate::run) fn answered(
    draft: &mut Draft<'_>,
    approved: bool,
    Person { name: by, roles }: Person,
    note: Option<String>,
) -> Result<(), Refusal> {
    let Some(asking) = draft.state.asking.clone() else { return Err(Refusal::Stale) };
    let effect = asking.effect;
    if asking.expires.is_some_and(|e| e <= draft.now) {
        draft.emit(Fact::ApprovalExpired(EffectRef { effect }));
        stop::by_limit(draft, asking.raise.limit, asking.raise.blocked);
        return Ok(());
    }
    let text = match (approved, note) {
        (false, None) => Some(format!("{}: a human ({by}) did not raise the limit.", code::DENIED)),
        (_, note) => note,
    };
    let note = text.map(|t| draft.payload(Payload::inline(t, Source::User)));
    draft.emit(Fact::ApprovalGiven(ApprovalGiven { effect, approved, by, note, roles, later: None, signed: None }));
    if !approved {
        stop::by_limit(draft, asking.raise.limit, asking.raise.blocked);
    }
    Ok(())
}
