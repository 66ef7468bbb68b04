//! A gate for histories, and the check of what it lets go. What it says of a call follows from the epoch, the call and who has
//! approved it, so a journal that tells of these can be judged by itself.

use std::collections::BTreeMap;

use stead_core::{
    fact::{CallHead, EffectDecided, Fact, Verdict},
    id::Name,
    ruling::{Escalated, Given},
};

use crate::failure::{Check, digest, violation};

/// The role that gates ask for.
pub const ROLE: &str = "finance";
/// The role of those who may approve too once a question was escalated.
pub const BOSS: &str = "boss";

/// Policies of many epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What they are drawn from.
    pub seed: u64,
    /// Thousandths of calls that are not simply allowed.
    pub strict: u64,
}

/// What policies say of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It may be made.
    Allow,
    /// So many of [`ROLE`] have to approve it.
    Ask(u32),
    /// It may not.
    Deny,
}

impl Rules {
    /// What those of an epoch say of a call that nobody has approved.
    pub fn say(&self, epoch: u64, head: &CallHead) -> Said {
        let mut drawn = digest(0xcbf2_9ce4_8422_2325 ^ self.seed, &epoch.to_le_bytes());
        drawn = digest(digest(drawn, head.tool.as_bytes()), &head.args);
        // The low bits of such a sum are the best mixed.
        if (drawn >> 8) % 1_000 >= self.strict {
            return Said::Allow;
        }
        match (drawn >> 24) % 4 {
            0 => Said::Deny,
            1 => Said::Ask(2),
            _ => Said::Ask(1),
        }
    }

    /// What they say when these have approved it.
    pub fn weigh(&self, epoch: u64, head: &CallHead, given: &[Given]) -> Said {
        let counts = |role: &Name, person: &Given| {
            &**role == ROLE || (&**role == BOSS && person.escalated.iter().any(|step| &*step.to == BOSS))
        };
        let of_role = given.iter().filter(|person| person.roles.iter().any(|role| counts(role, person))).count();
        match self.say(epoch, head) {
            Said::Ask(quorum) if of_role >= quorum as usize => Said::Allow,
            said => said,
        }
    }
}

/// What a journal tells of the gate.
#[derive(Clone, Debug, Default)]
pub struct Gated {
    /// The policies, when it is known what they say.
    pub rules: Option<Rules>,
    /// The epoch in force when the next record was decided, when that is known.
    pub in_force: Option<u64>,
    /// By the effects of the open turn: who has approved since a human was last asked, and the epoch that let it go.
    calls: BTreeMap<u32, (Vec<Given>, Option<u64>)>,
    /// By the effects that people are asked about: the steps of escalation that were taken.
    taken: BTreeMap<u32, Vec<Escalated>>,
}

impl Gated {
    /// Takes in a fact; `head` is that of the effect that it decides.
    ///
    /// # Errors
    /// When something was let go that the policies of its epoch do not let go, or begins without having been let go by those
    /// in force since the run was last paused.
    pub fn fact(&mut self, fact: &Fact, head: Option<&CallHead>) -> Check {
        match fact {
            Fact::ModelReplied(_) => self.calls.clear(),
            Fact::Resumed => self.calls.values_mut().for_each(|(_, allowed)| *allowed = None),
            Fact::ApprovalRequested(f) => {
                self.calls.insert(f.effect, (Vec::new(), None));
                self.taken.remove(&f.effect);
            }
            Fact::ApprovalEscalated(f) => {
                let step = Escalated { policy: f.policy.clone(), to: f.to.clone() };
                self.taken.entry(f.effect).or_default().push(step);
            }
            Fact::ApprovalGiven(f) if f.approved => {
                let escalated = self.taken.get(&f.effect).cloned().unwrap_or_default();
                let person = Given { name: f.by.clone(), roles: f.roles.clone(), signed: f.signed.clone(), escalated };
                self.calls.entry(f.effect).or_default().0.push(person);
            }
            Fact::EffectDecided(f) => self.decided(f, head)?,
            Fact::EffectIntended(f) => self.begins(f.effect)?,
            Fact::ChildStarted(f) => self.begins(f.effect)?,
            _ => {}
        }
        Ok(())
    }

    fn decided(&mut self, f: &EffectDecided, head: Option<&CallHead>) -> Check {
        let (given, allowed) = self.calls.entry(f.effect).or_default();
        *allowed = None;
        if f.verdict != Verdict::Allow {
            return Ok(());
        }
        let epoch = f.ruled.as_ref().map_or(0, |ruled| ruled.epoch);
        if let Some((rules, head)) = self.rules.zip(head)
            && rules.weigh(epoch, head, given) != Said::Allow
        {
            let detail = format!("{f:?}: {:?}, approved by {given:?}", rules.say(epoch, head));
            return violation("only what policies allow is let go", detail);
        }
        *allowed = Some(epoch);
        Ok(())
    }

    fn begins(&self, effect: u32) -> Check {
        let allowed = self.calls.get(&effect).and_then(|(_, allowed)| *allowed);
        if allowed.is_none() || self.in_force.is_some_and(|now| allowed != Some(now)) {
            let detail = format!("effect {effect}: let go by {allowed:?}, in force is {:?}", self.in_force);
            return violation("nothing begins but by the policies in force", detail);
        }
        Ok(())
    }
}
