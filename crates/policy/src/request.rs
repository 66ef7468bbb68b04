//! What a decision is asked for: who, what, and what the runtime knows beside it.

use stead_core::time::Timestamp;

use crate::{deed::Deed, gate::Approver, history::Past, principal::Principal, tool::Risk};

/// How sure the model says it is: ten-thousandths from 0 to 10,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Confidence(u16);

impl Confidence {
    /// From a share of one; what is no number from 0 to 1 is no confidence at all.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then(|| Self((share * 10_000.0).floor() as u16))
    }

    pub(crate) fn ten_thousandths(self) -> i64 {
        i64::from(self.0)
    }
}

/// A human's yes that has been given, verified by whoever asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approval {
    /// Who.
    pub user: String,
    /// Their roles when they gave it.
    pub roles: Vec<String>,
    /// How they signed it; `None` when they did not.
    pub signed: Option<Signature>,
    /// The steps of escalation that had been taken when they gave it: the gate's policy, and who may approve too.
    pub escalated: Vec<(String, Approver)>,
}

/// How a yes was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Whether the person was verified by their authenticator.
    pub verified: bool,
    /// Whether on a page of the server, and not with a program of their own.
    pub page: bool,
}

impl Approval {
    /// Whether this is one of those who may approve.
    pub fn is_of(&self, approver: &Approver) -> bool {
        match approver {
            Approver::Role(role) => self.roles.contains(role),
            Approver::User(user) => self.user == *user,
        }
    }
}

/// What the runtime knows beside the deed.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The time, as the journal will have it.
    pub now: Timestamp,
    /// Whether the manifest (for operators: the token) grants it. What is not granted is not done.
    pub granted: bool,
    /// How bad a mistake is, as the model or a rule reports it. Below the tool's own risk it counts for nothing.
    pub risk: Risk,
    /// How sure the model says it is. `None` counts as not at all.
    pub confidence: Option<Confidence>,
    /// Below which confidence the manifest asks a human.
    pub ask_below: Option<Confidence>,
    /// Whether it is followed who said what. Where it is not, nobody knows that nothing untrusted was read: it counts as read.
    /// An operator asks for nothing that others wrote, and counts as traced.
    pub traced: bool,
    /// Whether something untrusted has been read in this window.
    pub taint: bool,
    /// Whether an unused slot of the run's plan is for exactly this, or none is needed.
    pub plan: bool,
    /// What happened before.
    pub history: &'a dyn Past,
    /// The approvals that have been given for exactly this.
    pub approvals: &'a [Approval],
}

/// A question.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// What is to be done.
    pub deed: Deed<'a>,
    /// What else is known.
    pub facts: Facts<'a>,
}

impl<'a> Facts<'a> {
    /// What is known where nothing is but the time and what happened before: it is granted, its risk is normal, nobody is unsure, nothing
    /// untrusted has been read, no plan has it, and nobody has approved it.
    pub const fn empty(now: Timestamp, history: &'a dyn Past) -> Self {
        Self {
            now,
            granted: true,
            risk: Risk::Normal,
            confidence: None,
            ask_below: None,
            traced: true,
            taint: false,
            plan: false,
            history,
            approvals: &[],
        }
    }
}

impl Facts<'_> {
    /// What policies see as `taint`.
    pub(crate) fn tainted(&self) -> bool {
        self.taint || !self.traced
    }

    /// Whether the model is less sure than the manifest asks for.
    pub(crate) fn unsure(&self) -> bool {
        self.confidence.unwrap_or_default() < self.ask_below.unwrap_or_default()
    }
}

impl Request<'_> {
    /// The risk of what is done: the manifest's or the reported one, whichever is worse.
    pub(crate) fn risk(&self) -> Risk {
        let own = match self.deed {
            // A tool that nobody knows counts as the worst.
            Deed::CallTool { tool, .. } => self.principal.tools.get(tool).map_or(Risk::Critical, |known| known.risk),
            _ => Risk::Normal,
        };
        own.max(self.facts.risk)
    }
}
