//! What the world saw, against what the journal says: nothing twice, nothing denied that happened.

use std::collections::{BTreeMap, BTreeSet};

use stead_core::{
    effect::{EffectClass, Ended, Recovery},
    id::{EffectId, Name},
};

use super::journal::RunAudit;
use crate::failure::{Check, violation};

/// What the destinations counted for one effect.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Idempotency keys it was sent under.
    pub keys: BTreeSet<Name>,
    /// Requests that arrived.
    pub arrived: u32,
    /// Times it was really done; a keyed destination does not do it again under a key that it remembers.
    pub done: u32,
    /// Times the destination answered from memory instead of doing it.
    pub remembered: u32,
    /// Repeats that a human approved in a life of the store that is lost, so that no journal tells of it.
    pub approved_before: u32,
    /// Intents of such a life.
    pub intended_before: u32,
}

/// The ledger of all destinations.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// By effect.
    pub effects: BTreeMap<EffectId, Seen>,
    /// Effects of a lost life of the store whose calls no backup had. Their names may be other calls' now.
    pub lost: BTreeMap<EffectId, Seen>,
}

impl Ledger {
    /// The entry of an effect.
    pub fn of(&mut self, effect: EffectId) -> &mut Seen {
        self.effects.entry(effect).or_default()
    }
}

/// Promise 2: an effect that must not be repeated happened at most once, plus once for each time that a human, asked
/// about its unknown outcome, said "do it now". A life of the store that was lost counts.
pub fn never_repeated<'a>(ledger: &Ledger, audit: impl Fn(EffectId) -> Option<&'a RunAudit>) -> Check {
    for (id, seen) in &ledger.effects {
        let Some(call) = audit(*id).and_then(|a| a.call(id.n)) else {
            return violation("intent before effect", format!("{id} reached the world, and no journal knows it"));
        };
        let class = call.head.class;
        let approved = seen.approved_before + call.repeat_approved;
        if class.recovery() != Recovery::Repeat && seen.done > 1 + approved {
            return violation(
                "never repeated",
                format!("{id} ({class:?}) was done {} times; approved repeats: {approved}", seen.done),
            );
        }
    }
    Ok(())
}

/// Promise 2: an effect goes under one key, whatever happens; and no effect but a pure one without a durable intent.
pub fn one_key<'a>(ledger: &Ledger, audit: impl Fn(EffectId) -> Option<&'a RunAudit>) -> Check {
    for (id, seen) in &ledger.effects {
        if seen.keys.len() > 1 {
            return violation("one key", format!("{id} was sent under the keys {:?}", seen.keys));
        }
        let Some(call) = audit(*id).and_then(|a| a.call(id.n)) else { continue };
        if seen.arrived > 0 && seen.intended_before + call.intents == 0 && call.head.class != EffectClass::Pure {
            return violation("intent before effect", format!("{id} reached the world without a durable intent"));
        }
    }
    Ok(())
}

/// Promises 1 and 10: what the journal calls withdrawn, denied, refused or not sent did not happen, and what it calls
/// returned did. A human's word about an unknown outcome is taken for true.
pub fn ledger_is_true<'a>(ledger: &Ledger, audits: impl Iterator<Item = &'a RunAudit>) -> Check {
    for audit in audits {
        for call in audit.calls() {
            if call.head.class.recovery() == Recovery::Repeat || call.head.rules.child.is_some() {
                continue;
            }
            let id = EffectId { run: audit.run, n: call.head.effect };
            let seen = ledger.effects.get(&id).cloned().unwrap_or_default();
            let Some(ended) = call.ended else { continue };
            let happened = seen.done + seen.remembered > 0;
            let wrong = match ended {
                Ended::Returned => !happened,
                Ended::Refused | Ended::NotSent | Ended::Withdrawn | Ended::Denied => {
                    seen.done > 0 && seen.approved_before + call.repeat_approved == 0
                }
                Ended::Unknown => false,
            };
            if wrong {
                return violation(
                    "the ledger is true",
                    format!("{id} ({:?}) ended {ended:?}, and was done {} times", call.head.class, seen.done),
                );
            }
        }
    }
    Ok(())
}
