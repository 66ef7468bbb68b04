//! A decision: what may be done, by which policies, and why.

use std::{collections::BTreeSet, fmt, sync::Arc};

use stead_core::time::Span;

use crate::{
    gate::{Approver, Requirement},
    history::Said,
    policies::SetDigest,
    request::Approval,
    wanted::Path,
};

/// What may be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be done, with [`Decision::arguments`].
    Allow,
    /// It may not; this is what the model, or the operator, is told.
    Deny(String),
    /// It may once humans have approved, and the same question is asked again with their approvals.
    Ask(Asked),
}

/// A decision, by one policy set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What may be done.
    pub verdict: Verdict,
    /// The place of the set in the order of those applied.
    pub epoch: u64,
    /// The set.
    pub digest: SetDigest,
    /// The policies that decided.
    pub why: Why,
    /// The arguments that a transform has written, in place of those that were asked about: these are approved, dispatched
    /// and recorded. `None` when nothing was replaced.
    pub arguments: Option<String>,
    /// What counters said that the decision read, by their names.
    pub read: Vec<(String, Said)>,
}

/// What each gate asks for, with its policy's id.
pub type Requirements = Vec<(Arc<str>, Requirement)>;

/// Approvals that are asked for: every requirement of every gate that matched, all at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Each gate's own, with its policy's id.
    pub requirements: Requirements,
    /// The most that one of them asks for; no fewer different people than this.
    pub quorum: u32,
    /// The least time that one of them gives.
    pub ttl: Span,
}

impl Asked {
    pub(crate) fn of(requirements: Requirements) -> Self {
        let quorum = requirements.iter().map(|(_, r)| r.quorum).max().unwrap_or(1);
        let ttl = requirements.iter().map(|(_, r)| r.ttl).min().unwrap_or_default();
        Self { requirements, quorum, ttl }
    }

    /// Whether these approvals are enough: each gate has its quorum of its own approvers. One person counts once for a gate,
    /// and for every gate that lists them.
    pub fn is_satisfied(&self, approvals: &[Approval]) -> bool {
        let all = Requirement::of(BTreeSet::new(), self.quorum, self.ttl);
        let all = ("", &all);
        let each = self.requirements.iter().map(|(policy, requirement)| (&**policy, requirement));
        each.chain([all]).all(|(policy, requirement)| requirement.is_satisfied(policy, approvals))
    }
}

impl Requirement {
    /// So many of these, and nothing else.
    pub(crate) const fn of(approvers: BTreeSet<Approver>, quorum: u32, ttl: Span) -> Self {
        Self { approvers, quorum, ttl, verified: false, channels: false, remind: None, escalate: Vec::new() }
    }

    /// Whether enough of its approvers have approved; without approvers anybody counts. Who came in by escalation counts where both
    /// the policy of now has that step and it had been taken when they approved.
    pub fn is_satisfied(&self, policy: &str, approvals: &[Approval]) -> bool {
        let came_in = |a: &Approval| {
            let taken = |to: &Approver| a.escalated.iter().any(|(of, who)| of == policy && who == to);
            self.escalate.iter().any(|(_, to)| a.is_of(to) && taken(to))
        };
        let named = |a: &&Approval| {
            self.approvers.is_empty() || self.approvers.iter().any(|approver| a.is_of(approver)) || came_in(a)
        };
        let sure = |a: &&Approval| !self.verified || a.signed.is_some_and(|signed| signed.verified);
        let counting: Vec<&Approval> = approvals.iter().filter(named).filter(sure).collect();
        let people: BTreeSet<&str> = counting.iter().map(|a| a.user.as_str()).collect();
        let over = |page| counting.iter().any(|a| a.signed.is_some_and(|signed| signed.page == page));
        let both = !self.channels || (over(true) && over(false));
        both && u32::try_from(people.len()).is_ok_and(|people| people >= self.quorum)
    }
}

/// Which policies decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// They permitted.
    pub permitted: Vec<Reason>,
    /// They forbade, and no approval would lift that.
    pub forbade: Vec<Reason>,
    /// They asked for approval: gates, and a `forbid` that looks at approvals.
    pub gated: Vec<Reason>,
    /// They replaced fields.
    pub transformed: Vec<Reason>,
    /// They could not be evaluated, so nothing is allowed.
    pub erred: Vec<Reason>,
}

/// A policy that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Its id.
    pub policy: Arc<str>,
    /// What its `@reason` says.
    pub said: Option<String>,
    /// The attributes that its conditions read, and what each was in this request, as Cedar writes it. An allowed call's
    /// permits have none unless [`crate::Policies::explain`] was asked.
    pub values: Vec<(String, String)>,
    /// Why it could not be evaluated.
    pub error: Option<String>,
}

/// The path of an attribute as policies write it.
pub(crate) fn written(path: &Path) -> String {
    path.join(".")
}

impl fmt::Display for Approver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(role) => f.write_str(role),
            Self::User(user) => write!(f, "user:{user}"),
        }
    }
}

/// The tree as `stead` prints it: one line for each policy, its values below.
impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = [
            ("permitted by", &self.permitted),
            ("forbidden by", &self.forbade),
            ("gated by", &self.gated),
            ("transformed by", &self.transformed),
            ("not evaluated", &self.erred),
        ];
        for (word, reasons) in groups {
            for reason in reasons {
                writeln!(f, "{word} {}", reason.policy)?;
                for text in reason.error.iter().chain(&reason.said) {
                    writeln!(f, "  {text}")?;
                }
                for (path, value) in &reason.values {
                    writeln!(f, "  {path} = {value}")?;
                }
            }
        }
        Ok(())
    }
}
