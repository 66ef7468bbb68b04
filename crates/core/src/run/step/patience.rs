//! Patience with people: when they are reminded of a question, when others may answer it too, and how many questions a run may
//! put to them at all. Whether an answer is enough is not decided here.

use crate::{
    code,
    config::{MAX_ASKS, MAX_OPEN_ASKS},
    fact::{ApprovalEscalated, ApprovalReminded, Fact, Verdict},
    ruling::{Asked, Escalated},
    run::{
        apply::Env,
        decide::Draft,
        gate::Ruling,
        state::{Call, CallPhase, State},
    },
    time::Timestamp,
};

/// Most reminders of one question: who has not answered by then does not read them.
pub const MAX_REMINDERS: u32 = 16;

/// What is due of the questions that are open. Like their expiry it runs on while the run is paused; what was missed while nobody
/// looked is made up for once.
pub(in crate::run) fn tell(draft: &mut Draft<'_>) {
    let mut due = Vec::new();
    for call in &draft.state.calls {
        let effect = call.head.effect;
        for (at, step) in steps(call) {
            if at <= draft.now {
                let Escalated { policy, to } = step;
                due.push(Fact::ApprovalEscalated(ApprovalEscalated { effect, policy, to }));
            }
        }
        if reminder(call).is_some_and(|at| at <= draft.now) {
            due.push(Fact::ApprovalReminded(ApprovalReminded { effect, reminder: call.reminders + 1 }));
        }
    }
    for fact in due {
        draft.emit(fact);
    }
}

/// When something of that is due next for a call.
pub(in crate::run) fn next(call: &Call) -> Option<Timestamp> {
    steps(call).map(|(at, _)| at).chain(reminder(call)).min()
}

/// What the gates ask for of a call that waits for people, and since when.
fn open(call: &Call) -> Option<(&Asked, Timestamp)> {
    match &call.phase {
        CallPhase::Asking { asked: Some(asked), since, .. } => Some((asked, *since)),
        _ => None,
    }
}

/// The steps of escalation that are still to be taken, each with its time. A gate that asks about several things that a call does
/// stands there several times, and takes each step once.
fn steps(call: &Call) -> impl Iterator<Item = (Timestamp, Escalated)> {
    let mut steps: Vec<(Timestamp, Escalated)> = Vec::new();
    if let Some((asked, since)) = open(call) {
        for gate in &asked.gates {
            for step in &gate.escalate {
                let one = Escalated { policy: gate.policy.clone(), to: step.to.clone() };
                if !call.escalated.contains(&one) && !steps.iter().any(|(_, known)| *known == one) {
                    steps.push((since.after(step.after), one));
                }
            }
        }
    }
    steps.into_iter()
}

/// When people are to be reminded: of several gates the most impatient counts.
fn reminder(call: &Call) -> Option<Timestamp> {
    let (asked, since) = open(call)?;
    let every = asked.gates.iter().filter_map(|gate| gate.remind).min()?;
    (call.reminders < MAX_REMINDERS).then(|| call.reminded.unwrap_or(since).after(every))
}

pub(in crate::run) fn apply_reminded(state: &mut State, env: Env<'_>, f: &ApprovalReminded) {
    if let Some(call) = state.call_mut(f.effect).filter(|call| matches!(call.phase, CallPhase::Asking { .. })) {
        (call.reminders, call.reminded) = (f.reminder, Some(env.at));
    }
}

pub(in crate::run) fn apply_escalated(state: &mut State, f: &ApprovalEscalated) {
    let step = Escalated { policy: f.policy.clone(), to: f.to.clone() };
    if let Some(call) = state.call_mut(f.effect).filter(|call| matches!(call.phase, CallPhase::Asking { .. }))
        && !call.escalated.contains(&step)
    {
        call.escalated.push(step);
    }
}

// ------------------------------------------------------------------------------------------------- caps

/// Why a run may ask nobody any more now; `None` when it may. What a question is about and how it is worded is no matter.
pub(in crate::run) fn full(state: &State) -> Option<String> {
    let most = state.config.max_asks.unwrap_or(MAX_ASKS);
    // What waits for a look is a question already, which is put once it is over.
    let looks = state.calls.iter().filter(|call| matches!(call.phase, CallPhase::Previewing(_))).count();
    let asks = state.asks.saturating_add(u32::try_from(looks).unwrap_or(u32::MAX));
    if asks >= most {
        return Some(format!(
            "not done, and nobody was asked: this run has put {asks} questions to people, and may put {most}. Asking again in \
             other words does not help. Go on without it, or say what you could not do and end."
        ));
    }
    let most = state.config.max_open_asks.unwrap_or(MAX_OPEN_ASKS);
    let calls = state.calls.iter().filter(|call| matches!(call.phase, CallPhase::Asking { .. })).count();
    let open = calls + looks + usize::from(state.asking.is_some()) + usize::from(state.renewing.is_some());
    (u32::try_from(open).unwrap_or(u32::MAX) >= most).then(|| {
        format!(
            "not done, and nobody was asked: {open} questions of this run are open already, and no more may be than {most}. Ask for \
             less at once."
        )
    })
}

/// Turns a question into a denial where the run may ask nobody.
pub(in crate::run) fn fit(state: &State, ruling: Ruling) -> Ruling {
    match full(state) {
        None => ruling,
        Some(told) => {
            let verdict = Verdict::Deny;
            Ruling { verdict, code: code::ASKS_FULL, told, asked: None, ttl: None, rewritten: None, ..ruling }
        }
    }
}
