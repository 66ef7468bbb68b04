//! On whose behalf a run works, told from its journal alone: nothing begins for somebody whose time is over, only they renew it, and
//! nothing is done that some grant above does not hold. What a child holds is what its parent holds and what that granted it.

use std::collections::BTreeMap;

use stead_core::{
    fact::{AskReason, CallHead, Fact, Parent},
    grant::{Delegated, Grant, Granted},
    id::{Name, RunId},
    time::Timestamp,
};

use crate::failure::{Check, violation};

/// What a journal tells of it.
#[derive(Clone, Debug, Default)]
pub struct Delegation {
    person: Option<Name>,
    delegated: Option<Delegated>,
    grants: Vec<Granted>,
    /// Runs above.
    above: usize,
    /// The ordinal of the open question.
    asked: Option<u32>,
    /// What children were granted.
    children: BTreeMap<RunId, Option<Grant>>,
}

impl Delegation {
    /// Whether an ordinal is that of the open question.
    pub fn asks(&self, effect: u32) -> bool {
        self.asked == Some(effect)
    }

    /// Takes in a fact; `head` is that of the effect that it is about.
    ///
    /// # Errors
    /// When something begins that nobody lets begin, or somebody else renews.
    pub fn fact(&mut self, at: Timestamp, fact: &Fact, head: Option<&CallHead>) -> Check {
        match fact {
            Fact::RunStarted(f) => {
                let behalf = f.behalf.as_deref().cloned().unwrap_or_default();
                self.person = behalf.user.map(|user| user.name);
                (self.delegated, self.grants, self.above) = (behalf.delegated, behalf.grants, behalf.callers.len());
            }
            Fact::ApprovalRequested(f) if f.reason == AskReason::Delegation => {
                if !self.over(at) {
                    return violation("a person is asked when their time is over", format!("{f:?} at {at:?}"));
                }
                self.asked = Some(f.effect);
            }
            Fact::ApprovalGiven(f) if self.asks(f.effect) => {
                if f.approved && self.person.as_ref() != Some(&f.by) {
                    return violation("only the person renews", format!("{f:?}"));
                }
                if !f.approved {
                    self.asked = None;
                }
            }
            Fact::ApprovalExpired(f) if self.asks(f.effect) => self.asked = None,
            Fact::DelegationRenewed(f) => {
                if self.person.as_ref() != Some(&f.by) {
                    return violation("only the person renews", format!("{f:?}"));
                }
                self.asked = None;
                if let Some(delegated) = &mut self.delegated {
                    delegated.until = delegated.until.max(f.until);
                }
            }
            Fact::ModelRequested(_) => self.begins(at, fact)?,
            Fact::EffectIntended(_) => {
                self.begins(at, fact)?;
                self.held(at, fact, head, false)?;
            }
            Fact::ChildStarted(f) => {
                self.begins(at, fact)?;
                self.held(at, fact, head, true)?;
                self.children.insert(f.child, f.grant.as_deref().cloned());
            }
            _ => {}
        }
        Ok(())
    }

    fn over(&self, at: Timestamp) -> bool {
        self.person.is_some() && self.delegated.is_some_and(|delegated| delegated.until <= at)
    }

    fn begins(&self, at: Timestamp, fact: &Fact) -> Check {
        if self.over(at) {
            let until = self.delegated.map(|delegated| delegated.until);
            return violation("nothing begins for whom it is over", format!("{fact:?} at {at:?}, until {until:?}"));
        }
        Ok(())
    }

    fn held(&self, at: Timestamp, fact: &Fact, head: Option<&CallHead>, starts: bool) -> Check {
        let Some(head) = head else { return Ok(()) };
        for Granted { by, grant } in &self.grants {
            let named = |entry: &Name| match entry.strip_suffix('*') {
                Some(beginning) => head.tool.starts_with(beginning),
                None => *entry == head.tool,
            };
            let tool = grant.tools.as_ref().is_none_or(|tools| tools.iter().any(named));
            let in_time = grant.until.is_none_or(|until| at < until);
            let below = self.above - usize::from(*by) - 1;
            let deep = !starts || grant.depth.is_none_or(|depth| below < usize::from(depth));
            if !(tool && in_time && deep) {
                return violation("nothing beside a grant", format!("{fact:?} ({}) at {at:?}: {grant:?}", head.tool));
            }
        }
        Ok(())
    }

    /// Whether a child, by its own journal, holds what this run holds and granted it, for the same person.
    ///
    /// # Errors
    /// When it holds anything else.
    pub fn hands_down(&self, child: RunId, parent: Parent, its: &Self) -> Check {
        let Some(granted) = self.children.get(&child) else { return Ok(()) };
        let own = granted.clone().map(|grant| Granted { by: u8::try_from(self.above).unwrap_or(u8::MAX), grant });
        let expected: Vec<Granted> = self.grants.iter().cloned().chain(own).collect();
        if its.grants != expected || its.person != self.person || its.above != self.above + 1 {
            let detail = format!("{child} of {parent:?}: {:?} for {:?}, expected {expected:?}", its.grants, its.person);
            return violation("a child holds what it was granted", detail);
        }
        Ok(())
    }
}
