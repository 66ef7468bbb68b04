//! The destinations of effects: they do what arrives, count it, and remember keys. Requests that have left arrive
//! whatever becomes of their sender.

use std::collections::BTreeMap;

use bytes::Bytes;
use stead_core::{
    effect::{EffectClass, Outcome, Reconciled},
    id::{EffectId, Name, RunId},
    record::{Payload, Source},
};

use crate::{
    check::world::Ledger,
    plan::{Faults, MEMORY_MARGIN},
    rng::Rng,
};

/// One attempt on its way.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub id: EffectId,
    pub attempt: u8,
    pub tool: Name,
    pub class: EffectClass,
    pub key: Name,
    pub args: [u8; 16],
    pub key_ttl: Option<u64>,
    /// How often the store of the process that sends it had been restored.
    pub life: u32,
}

#[derive(Clone, Debug)]
struct Memory {
    until: Option<u64>,
    args: [u8; 16],
}

/// All destinations.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub ledger: Ledger,
    memory: BTreeMap<(Name, Name), Memory>,
    pub arrived: u64,
    /// How often the store has been restored.
    pub life: u32,
    /// The effects of each run that the last backup restored had calls for: those below this number.
    known: BTreeMap<RunId, u32>,
}

/// A tool's text of some length.
pub(crate) fn text(rng: &mut Rng) -> Payload {
    const WORDS: Bytes = Bytes::from_static(&[b'r'; 240]);
    let len = if rng.chance(300) { rng.range(40, 240) } else { rng.range(1, 30) };
    Payload::inline(WORDS.slice(..len as usize), Source::Tool)
}

impl World {
    /// A request arrives; the answer may get lost on its way back.
    pub(crate) fn arrive(&mut self, request: &Request, now: u64, faults: &Faults, rng: &mut Rng) -> Outcome<Payload> {
        self.arrived += 1;
        // From a life that is lost, about a call that the backup did not have.
        let lost = request.life < self.life && !self.knows(request.id);
        let effects = if lost { &mut self.ledger.lost } else { &mut self.ledger.effects };
        let seen = effects.entry(request.id).or_default();
        seen.arrived += 1;
        seen.keys.insert(request.key.clone());
        let place = (request.tool.clone(), request.key.clone());
        if request.class == EffectClass::Keyed
            && let Some(memory) = self.memory.get(&place).filter(|m| m.until.is_none_or(|u| now < u))
        {
            if memory.args != request.args {
                return Outcome::Refused(text(rng));
            }
            seen.remembered += 1;
            return Outcome::Returned(text(rng));
        }
        if rng.chance(faults.refused) {
            return Outcome::Refused(text(rng));
        }
        if rng.chance(faults.broken) && rng.chance(500) {
            return Outcome::Unknown(text(rng));
        }
        seen.done += 1;
        if request.class == EffectClass::Keyed {
            let until = request.key_ttl.map(|ttl| now + ttl + MEMORY_MARGIN);
            self.memory.insert(place, Memory { until, args: request.args });
        }
        if rng.chance(faults.broken) { Outcome::Unknown(text(rng)) } else { Outcome::Returned(text(rng)) }
    }

    fn knows(&self, id: EffectId) -> bool {
        self.known.get(&id.run).is_some_and(|known| id.n < *known)
    }

    /// The store was restored: what the backup knows no call of is counted apart from now on. `known` are the first numbers
    /// that no call of each run had.
    pub(crate) fn restored(&mut self, known: BTreeMap<RunId, u32>) {
        self.life += 1;
        self.known = known;
        let effects = std::mem::take(&mut self.ledger.effects);
        for (id, seen) in effects {
            let kept = if self.knows(id) { &mut self.ledger.effects } else { &mut self.ledger.lost };
            kept.insert(id, seen);
        }
    }

    /// The destination is asked whether an effect happened, and tells the truth, as of now.
    pub(crate) fn ask(&mut self, id: EffectId, faults: &Faults, rng: &mut Rng) -> Reconciled<Payload> {
        if rng.chance(faults.broken) {
            return Reconciled::StillUnknown;
        }
        match self.ledger.effects.get(&id) {
            Some(seen) if seen.done > 0 => Reconciled::Happened(text(rng)),
            _ => Reconciled::Absent,
        }
    }
}
