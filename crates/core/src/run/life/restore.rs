//! A run out of a backup. Between the backup and the loss of the store the run may have lived on: intents that are in no
//! journal any more may have been dispatched. So the run pauses, and everything that may have happened in that lost life
//! is treated as such, each effect by its class:
//!
//! * *pure* and *contained*: done again, as ever;
//! * *keyed*: done again under the same key, while that lives. The default key is the effect's ordinal, which names the
//!   same call only if the call was in the backup; in a later reply only a business key does, and without one a human
//!   is asked;
//! * *reconcilable*: the destination is asked first about a call that was in the backup; about a later one, a human;
//! * *compensable* and *irreversible*: a human is asked.
//!
//! How far the lost life went nobody knows, so the mark stays for the rest of the run.

use crate::{
    effect::Recovery,
    fact::{AfterUnknown, AskReason, EffectUnknown, Fact, Restored},
    run::{
        apply::Env,
        decide::{Draft, Refusal},
        state::{Call, CallPhase, RestoreMark, State},
        step::{approval, preview, tool},
    },
    time::Timestamp,
};

/// Why a question about a call of a restored run tells nothing of what it would do.
const RESTORED: &str = "the run was restored from a backup, and nothing was looked at since";

pub(in crate::run) fn restore(draft: &mut Draft<'_>, generation: u32, taken: Timestamp) -> Result<(), Refusal> {
    if draft.state.life.ended() {
        return Err(Refusal::Ended);
    }
    draft.emit(Fact::Restored(Restored { generation, taken }));
    // A run that is being stopped begins nothing any more; it ends as it would have.
    if draft.state.stop.is_some() {
        return Ok(());
    }
    if !draft.state.paused {
        draft.emit(Fact::Paused);
    }
    for i in 0..draft.state.calls.len() {
        reopen(draft, i);
    }
    Ok(())
}

/// Settles what a call of the open turn waits for; what it waited for in the backup may be over.
fn reopen(draft: &mut Draft<'_>, i: usize) {
    let call = &draft.state.calls[i];
    let effect = call.head.effect;
    let unsure = must_ask(&draft.state, call, draft.now);
    match call.phase {
        // Asked again: the answer, and what followed from it, may be lost.
        CallPhase::Asking { reason, expires, since, ref asked } => {
            let (asked, ttl) = (asked.as_deref().cloned(), expires.map(|until| until.since(since)));
            let first = matches!(reason, AskReason::Manifest | AskReason::Policy | AskReason::Restored);
            approval::ask(draft, effect, if first && unsure { AskReason::Restored } else { reason }, asked, ttl, None);
        }
        // What was to be looked at is of a world that has gone on.
        CallPhase::Previewing(ref look) => {
            let (reason, asked, ttl) = (look.waiting.reason, look.waiting.asked.as_deref().cloned(), look.waiting.ttl);
            let first = matches!(reason, AskReason::Manifest | AskReason::Policy | AskReason::Restored);
            preview::not_seen(draft, effect, RESTORED);
            approval::ask(draft, effect, if first && unsure { AskReason::Restored } else { reason }, asked, ttl, None);
        }
        CallPhase::Open | CallPhase::Backoff { unknown: false, .. } if unsure => {
            if call.head.class.recovery() == Recovery::Reconcile {
                let then = AfterUnknown::Reconcile(draft.now);
                draft.emit(Fact::EffectUnknown(EffectUnknown { effect, then, payload: None, action: None }));
            } else {
                if preview::is_wanted(draft, effect) {
                    preview::not_seen(draft, effect, RESTORED);
                }
                approval::ask(draft, effect, AskReason::Restored, None, None, None);
            }
        }
        // An intent is settled by its class when the run is next loaded; an undecided call is decided with the mark.
        CallPhase::Undecided
        | CallPhase::Open
        | CallPhase::Intended { .. }
        | CallPhase::Backoff { .. }
        | CallPhase::Reconcile { .. }
        | CallPhase::Child { .. }
        | CallPhase::Ended { .. } => {}
    }
}

/// Whether a call may have been done in a lost life, so that it may not simply be done now.
pub(in crate::run) fn must_ask(state: &State, call: &Call, now: Timestamp) -> bool {
    let Some(mark) = state.restored.filter(|_| call.maybe.is_some() && call.head.rules.child.is_none()) else {
        return false;
    };
    match call.head.class.recovery() {
        Recovery::Repeat => false,
        Recovery::RepeatSameKey => {
            !(tool::key_alive(call, now) && (call.head.key.is_some() || call.head.effect < mark.known))
        }
        Recovery::Reconcile | Recovery::Surface => true,
    }
}

pub(in crate::run) fn apply_restored(state: &mut State, env: Env<'_>, f: &Restored) {
    let before = state.restored;
    let mark = RestoreMark {
        generation: f.generation,
        taken: before.map_or(f.taken, |m| m.taken.min(f.taken)),
        known: before.map_or(state.next_effect, |m| m.known.min(state.next_effect)),
    };
    state.restored = Some(mark);
    for call in &mut state.calls {
        call.lost = true;
        doubt(call, mark);
        // The last attempt of the lost life may have left as late as just now.
        match &mut call.phase {
            CallPhase::Intended { at, .. } => *at = env.at,
            CallPhase::Reconcile { intended, .. } => *intended = env.at,
            _ => {}
        }
    }
}

/// Notes that a call may have been done in a lost life, and its key used.
pub(in crate::run) fn doubt(call: &mut Call, mark: RestoreMark) {
    let harmless = call.head.class.recovery() == Recovery::Repeat || call.head.rules.child.is_some();
    if call.ended() || harmless {
        return;
    }
    // No attempt of this journal has the number 0, so no answer to one says anything about that of the lost life.
    call.maybe = Some(0);
    call.first_intended = Some(call.first_intended.map_or(mark.taken, |first| first.min(mark.taken)));
}
