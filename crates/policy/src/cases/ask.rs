//! A case is asked, and how it went.

use std::{collections::BTreeSet, fmt};

use stead_core::time::Timestamp;

use super::{
    NOON,
    other::Other,
    outcome::Outcome,
    words::{Before, Came, Case},
};
use crate::{
    decision::Decision,
    deed::Deed,
    entity::{Operator, User},
    history::{Event, Happened, History},
    policies::Policies,
    principal::Principal,
    provenance::Provenance,
    request::{Approval, Confidence, Facts, Request},
    tool::ToolSpec,
};

/// How a case went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseResult {
    /// Its name.
    pub name: String,
    /// What the answer must be.
    pub expected: Outcome,
    /// What it is, with all values.
    pub decision: Decision,
    /// Policies that had to decide and did not.
    pub missing: Vec<String>,
}

impl CaseResult {
    /// Whether the answer is as it must be.
    pub fn passed(&self) -> bool {
        Outcome::from(&self.decision.verdict) == self.expected && self.missing.is_empty()
    }
}

/// In a line: what was expected and what came, and by which policies.
impl fmt::Display for CaseResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let came = Outcome::from(&self.decision.verdict);
        write!(f, "case `{}`: expected {}, got {}", self.name, self.expected.name(), came.name())?;
        let why = &self.decision.why;
        let decided = match came {
            Outcome::Allow => [&why.permitted, &why.transformed],
            Outcome::Ask => [&why.gated, &why.transformed],
            Outcome::Deny => [&why.forbade, &why.erred],
        };
        let decided: Vec<&str> = decided.into_iter().flatten().map(|reason| &*reason.policy).collect();
        if !decided.is_empty() {
            write!(f, " by `{}`", decided.join("`, `"))?;
        }
        match self.missing.is_empty() {
            true => Ok(()),
            false => write!(f, "; `{}` had to decide", self.missing.join("`, `")),
        }
    }
}

impl Case {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks a policy set.
    pub fn ask(&self, policies: &Policies) -> CaseResult {
        let tools: Vec<ToolSpec> = policies.world().tools().cloned().collect();
        let asker = self.who.asker();
        let operates = self.other.as_ref().is_some_and(Other::is_operators);
        let principal = if operates {
            let user = self.who.user().unwrap_or_else(|| User { name: "operator".to_owned(), roles: BTreeSet::new() });
            Principal::operator(Operator { tenant: self.who.tenant.clone(), user })
        } else {
            Principal::run(asker.clone(), &tools)
        };
        let history = self.history(policies);
        let arguments = self.args.text();
        let provenance: Vec<(String, Provenance)> = self.given.provenance.clone().into_iter().collect();
        let deed = match (&self.call, &self.other) {
            (_, Some(other)) => other.deed(&asker),
            (call, None) => Deed::CallTool {
                tool: call.as_deref().unwrap_or_default(),
                arguments: &arguments,
                provenance: &provenance,
            },
        };
        let approvals: Vec<Approval> = self
            .approvals
            .iter()
            .map(|by| {
                let after = by.after.as_deref().and_then(crate::yaml::span).unwrap_or_default();
                let (user, roles, escalated) = (by.user.clone(), by.roles.clone(), policies.escalated(after));
                Approval { user, roles, signed: None, escalated }
            })
            .collect();
        let facts = Facts {
            now: NOON,
            granted: self.given.granted,
            risk: self.given.risk,
            confidence: self.given.confidence.and_then(Confidence::new),
            ask_below: self.given.ask_below.and_then(Confidence::new),
            traced: self.given.traced,
            taint: self.given.taint,
            plan: self.given.plan,
            history: &history,
            approvals: &approvals,
        };
        let decision = policies.explain(&Request { principal: &principal, deed, facts });
        let why = &decision.why;
        let decided = [&why.permitted, &why.forbade, &why.gated, &why.transformed, &why.erred];
        let decided: BTreeSet<&str> = decided.into_iter().flatten().map(|reason| &*reason.policy).collect();
        let missing = self.by.iter().filter(|id| !decided.contains(id.as_str())).cloned().collect();
        CaseResult { name: self.name.clone(), expected: self.expect, decision, missing }
    }

    fn history(&self, policies: &Policies) -> History {
        let mut history = History::new(policies.world().counters().clone());
        let mut before: Vec<(Timestamp, &Before)> = self
            .before
            .iter()
            .map(|b| {
                let ago = crate::yaml::span(&b.ago).unwrap_or_default();
                (Timestamp(NOON.0.saturating_sub_unsigned(ago.0)), b)
            })
            .collect();
        before.sort_by_key(|(at, _)| *at);
        for (at, before) in before {
            let who = before.who.as_ref().unwrap_or(&self.who);
            let arguments = before.args.text();
            let event = Event {
                at,
                scope: crate::history::Scope {
                    tenant: &who.tenant,
                    agent: &who.agent,
                    session: &who.session,
                    run: &who.run,
                },
                tool: &before.call,
                arguments: Some(&arguments),
                happened: Happened::Ended(before.happened.ended()),
            };
            if before.happened != Came::Denied {
                let approved = before.happened == Came::Approved;
                history.apply(&Event { happened: Happened::Sent { approved }, ..event });
            }
            history.apply(&event);
        }
        history
    }
}
