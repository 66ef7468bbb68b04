//! What policies say of something that a person does over the API. The token's rights have been looked at before: what they do not
//! grant is not asked about, so here everything is granted, and policies can only forbid.

use stead_core::{id::Name, ruling::Person};
use stead_policy::{Asker, Deed, Edge, Facts, History, Operator, Policies, Principal, Request, User, Verdict};
use stead_ports::clock::Clock as _;

use crate::clock::SystemClock;

/// What somebody wants to do.
#[derive(Clone, Debug)]
pub(crate) enum Wants {
    /// Something with the whole tenant.
    Tenant(Edge),
    /// Something with an agent.
    Agent(Edge, Name),
    /// Something with a run.
    Run(Edge, Box<Asker>),
}

/// What policies say.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// Why not, in words; `None` when it may be done.
    pub(crate) denied: Option<String>,
    /// The epoch of the set.
    pub(crate) epoch: u64,
    /// The policies behind it.
    pub(crate) by: Vec<String>,
}

impl Wants {
    /// The action, as policies name it.
    pub(crate) fn edge(&self) -> Edge {
        match self {
            Self::Tenant(edge) | Self::Agent(edge, _) | Self::Run(edge, _) => *edge,
        }
    }

    /// What it is done to, in a word.
    pub(crate) fn to<'a>(&'a self, tenant: &'a str) -> &'a str {
        match self {
            Self::Tenant(_) => tenant,
            Self::Agent(_, agent) => agent,
            Self::Run(_, run) => &run.run,
        }
    }

    fn deed(&self) -> Deed<'_> {
        match self {
            Self::Tenant(edge) => Deed::Operate(*edge),
            Self::Agent(edge, agent) => Deed::OperateAgent(*edge, agent),
            Self::Run(edge, run) => Deed::OperateRun(*edge, run),
        }
    }
}

/// A person, ready to be decided about.
pub(crate) fn principal(tenant: &Name, person: &Person) -> Principal {
    let roles = person.roles.iter().map(ToString::to_string).collect();
    let user = User { name: person.name.to_string(), roles };
    Principal::operator(Operator { tenant: tenant.to_string(), user })
}

/// Asks.
pub(crate) fn ask(policies: &Policies, principal: &Principal, wants: &Wants) -> Said {
    let history = History::default();
    let facts = Facts::empty(SystemClock.now(), &history);
    let decision = policies.decide(&Request { principal, deed: wants.deed(), facts });
    let why = &decision.why;
    let (denied, reasons) = match &decision.verdict {
        Verdict::Allow => (None, &why.permitted),
        Verdict::Deny(reason) if why.erred.is_empty() => (Some(reason.clone()), &why.forbade),
        Verdict::Deny(reason) => (Some(reason.clone()), &why.erred),
        // A request cannot wait for people: what would need an approval is not done.
        Verdict::Ask(_) => {
            let edge = wants.edge().name();
            let told =
                format!("Not done: policies let `{edge}` be done only with an approval, which a request cannot get.");
            (Some(told), &why.gated)
        }
    };
    Said { denied, epoch: policies.epoch(), by: reasons.iter().map(|reason| reason.policy.to_string()).collect() }
}
