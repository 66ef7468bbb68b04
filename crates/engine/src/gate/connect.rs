//! Single connections, put to the policies that hold at that moment: what a tool, or a program in its box, speaks to on behalf of a
//! call. Whoever connects has looked at its rules before; policies can only forbid what they allow.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use stead_core::{code, grant::Use, id::Name};
use stead_policy::{Approval, Confidence, Deed, Facts, History, Principal, Reason, Request, Risk, Verdict as Said};
use stead_ports::{
    BoxFuture,
    agent::Agent,
    clock::Clock,
    connect::{Asks, Barred, Ruled, To},
};

use super::sets::{PolicySets, policies};
use crate::off::Leave;

/// Asks for a run.
#[derive(Clone)]
pub(crate) struct Asking {
    pub(crate) sets: Arc<dyn PolicySets>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tenant: Name,
    pub(crate) agent: Arc<Agent>,
    pub(crate) principal: Arc<Principal>,
    /// Whether the run has read something untrusted: once it has, that stays so.
    pub(crate) tainted: Arc<AtomicBool>,
    /// What is looked at before anything of the run leaves.
    pub(crate) leave: Leave,
    /// What is known of the call, while it is for one.
    pub(crate) call: Option<OfCall>,
}

/// What is known of a call.
#[derive(Clone)]
pub(crate) struct OfCall {
    pub(crate) risk: Risk,
    pub(crate) confidence: Option<Confidence>,
    pub(crate) ask_below: Option<Confidence>,
    /// Whether the plan has it, or it needs none.
    pub(crate) plan: bool,
    /// The approvals that it was given.
    pub(crate) approvals: Vec<Approval>,
}

impl Asking {
    async fn ask(&self, to: To<'_>) -> Result<Ruled, Barred> {
        let Some(policies) = policies(&*self.sets, &self.tenant, &self.agent).await else {
            let why = "no policies are loaded, so nothing is allowed. The server's log says why.".to_owned();
            return Err(Barred { ruled: Ruled::default(), why });
        };
        if let Some(why) = self.leave.why_not() {
            let why = format!("{}: not done: {why}", code::DISABLED);
            return Err(Barred { ruled: Ruled::default(), why });
        }
        let outside = self.leave.whose.behalf.allows(Use::Host(to.host), self.clock.now());
        let outside = outside.err().map(|denied| format!("{}: not done: {denied}", code::GRANT));
        if let Some(why) = self.leave.why_ended().or(outside) {
            return Err(Barred { ruled: Ruled::default(), why });
        }
        let (taint, history) = (self.tainted.load(Relaxed), History::default());
        let call = self.call.as_ref();
        let facts = Facts {
            risk: call.map_or(Risk::Normal, |call| call.risk),
            confidence: call.and_then(|call| call.confidence),
            ask_below: call.and_then(|call| call.ask_below),
            traced: self.agent.provenance.is_some(),
            taint,
            plan: call.map_or(self.agent.provenance.is_some() && !taint, |call| call.plan),
            approvals: call.map_or(&[], |call| &call.approvals),
            ..Facts::empty(self.clock.now(), &history)
        };
        let To { host, port, method, path } = to;
        let deed = Deed::Connect { host, port, method, path };
        let decision = policies.decide(&Request { principal: &self.principal, deed, facts });
        let why = &decision.why;
        let ruled = |reasons: &[Reason]| Ruled {
            epoch: decision.epoch,
            by: reasons.iter().map(|reason| Name::from(&*reason.policy)).collect(),
        };
        match &decision.verdict {
            Said::Allow => Ok(ruled(&why.permitted)),
            Said::Deny(reason) => {
                let by = if why.erred.is_empty() { &why.forbade } else { &why.erred };
                Err(Barred { ruled: ruled(by), why: reason.clone() })
            }
            Said::Ask(_) => Err(Barred {
                ruled: ruled(&why.gated),
                why: format!(
                    "Not done: policies let `{host}` be reached only with an approval, and a connection waits for nobody; \
                     the call that it is for can be approved by those whom the policy names."
                ),
            }),
        }
    }
}

impl Asks for Asking {
    fn may<'a>(&'a self, to: To<'a>) -> BoxFuture<'a, Result<Ruled, Barred>> {
        Box::pin(self.ask(to))
    }

    fn lasting(&self) -> Arc<dyn Asks> {
        Arc::new(Self { call: None, ..self.clone() })
    }
}
