//! What a journal tells of people's patience: nobody is reminded too often, nobody is let in too early or twice, and a run does
//! not ask more than it may.

use std::collections::BTreeMap;

use stead_core::{
    fact::{AskReason, Fact, RunConfig},
    id::Name,
    ruling::GateAsks,
    run::MAX_REMINDERS,
    time::Timestamp,
};

use crate::failure::{Check, violation};

/// A question that is open.
#[derive(Clone, Debug)]
struct Open {
    asked: Timestamp,
    gates: Vec<GateAsks>,
    reminders: u32,
    reminded: Timestamp,
    taken: Vec<(Name, Name)>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Patience {
    most: Option<(u32, u32)>,
    asks: u32,
    open: BTreeMap<u32, Open>,
    /// The open question whether the run may go on on somebody's behalf.
    renewing: Option<u32>,
    /// Whether the record that is taken in restores the run.
    restoring: bool,
}

impl Patience {
    /// A record begins.
    pub fn record(&mut self) {
        self.restoring = false;
    }

    /// Takes in a fact of that time.
    ///
    /// # Errors
    /// See the module.
    pub fn fact(&mut self, at: Timestamp, fact: &Fact) -> Check {
        match fact {
            Fact::RunStarted(f) => {
                let RunConfig { max_open_asks, max_asks, .. } = f.config;
                self.most = max_open_asks.zip(max_asks);
            }
            Fact::Restored(_) => self.restoring = true,
            // Whether the run may go on on somebody's behalf may always be asked, one at a time. It counts against what else is asked.
            Fact::ApprovalRequested(f) if f.reason == AskReason::Delegation => {
                self.asks += 1;
                if let Some(open) = self.renewing.replace(f.effect) {
                    return violation("a person is asked once at a time", format!("{fact:?} while e{open} is open"));
                }
            }
            Fact::ApprovalGiven(f) if self.renewing == Some(f.effect) => {
                self.renewing = self.renewing.filter(|_| f.approved);
            }
            Fact::ApprovalExpired(f) if self.renewing == Some(f.effect) => self.renewing = None,
            Fact::DelegationRenewed(_) => self.renewing = None,
            Fact::ApprovalRequested(f) => {
                let again = self.open.contains_key(&f.effect);
                let gates = f.asked.as_ref().map(|asked| asked.gates.clone()).unwrap_or_default();
                let open = Open { asked: at, gates, reminders: 0, reminded: at, taken: Vec::new() };
                self.open.insert(f.effect, open);
                self.asks += 1;
                // What is asked anew is the same question in people's eyes, whose policies or whose run changed.
                let open = self.open.len() + usize::from(self.renewing.is_some());
                let over = |(most, all): (u32, u32)| open > most as usize || self.asks > all;
                // The restore itself asks about whatever may have been done in the life that was lost; what is decided later does not.
                let restored = f.reason == AskReason::Restored && self.restoring;
                if !again && !restored && self.most.is_some_and(over) {
                    return violation("a run asks people no more than it may", format!("{fact:?}: {:?}", self.most));
                }
            }
            Fact::ApprovalReminded(f) => {
                let Some(open) = self.open.get_mut(&f.effect) else {
                    return violation("people are reminded of what they are asked", format!("{fact:?}"));
                };
                let every = open.gates.iter().filter_map(|gate| gate.remind).min();
                let due = every.is_some_and(|every| open.reminded.after(every) <= at);
                if !due || f.reminder != open.reminders + 1 || f.reminder > MAX_REMINDERS {
                    return violation(
                        "people are reminded in time, and not too often",
                        format!("{fact:?} at {at:?}: {open:?}"),
                    );
                }
                (open.reminders, open.reminded) = (f.reminder, at);
            }
            Fact::ApprovalEscalated(f) => {
                let Some(open) = self.open.get_mut(&f.effect) else {
                    return violation("what is open is escalated", format!("{fact:?}"));
                };
                let gate = open.gates.iter().find(|gate| gate.policy == f.policy);
                let step = gate.and_then(|gate| gate.escalate.iter().find(|step| step.to == f.to));
                let due = step.is_some_and(|step| open.asked.after(step.after) <= at);
                let one = (f.policy.clone(), f.to.clone());
                if !due || open.taken.contains(&one) {
                    return violation(
                        "others are let in when their time has come, once",
                        format!("{fact:?} at {at:?}: {open:?}"),
                    );
                }
                open.taken.push(one);
            }
            Fact::ApprovalGiven(f) if !f.approved => drop(self.open.remove(&f.effect)),
            Fact::ApprovalExpired(f) | Fact::EffectWithdrawn(f) => drop(self.open.remove(&f.effect)),
            Fact::EffectDecided(f) if f.verdict != stead_core::fact::Verdict::Ask => drop(self.open.remove(&f.effect)),
            Fact::EffectIntended(f) => drop(self.open.remove(&f.effect)),
            // A late answer of an attempt before settles it, too.
            Fact::EffectReturned(f) | Fact::EffectRefused(f) => drop(self.open.remove(&f.effect)),
            _ => {}
        }
        Ok(())
    }
}
