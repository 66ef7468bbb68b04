//! What policies said, as facts keep it. The words of policies are a matter of the policy decision point; here is what
//! a fold needs, and what somebody who asks later wants to see.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    fact::PayloadIx,
    grant::{Delegated, Granted},
    id::{Name, RunId, SessionId, VersionId},
    time::Span,
    trace::TraceContext,
};

/// The policies behind a verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Ruled {
    /// The epoch of the policy set: its place in the order of those applied in the tenant; 0 when none was.
    #[n(0)]
    pub epoch: u64,
    /// The policies that decided, by their ids: those that permitted, or that forbade, or that ask for approval.
    #[n(1)]
    #[cbor(with = "crate::list", has_nil)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<Name>,
    /// All policies that matched with the values that made them match, as a JSON document, as payload. Left out where
    /// it would say no more than `by`.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<PayloadIx>,
}

/// What a counter said to a decision.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct CounterRead {
    /// Its name, as policies use it.
    #[n(0)]
    pub name: Name,
    /// What it said.
    #[n(1)]
    pub said: Counted,
}

/// What a counter can say.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Whether a value was seen before.
    #[n(0)]
    Seen(#[n(0)] bool),
    /// A number, or a sum of whole numbers.
    #[n(1)]
    Number(#[n(0)] i64),
    /// A sum of numbers with places, in ten-thousandths.
    #[n(2)]
    Sum(#[n(0)] i64),
    /// How the last call ended.
    #[n(3)]
    Last(#[n(0)] Name),
}

impl std::fmt::Display for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Seen(seen) => write!(f, "{seen}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Sum(sum) => {
                let (sign, sum) = (if *sum < 0 { "-" } else { "" }, sum.unsigned_abs());
                let places = format!("{:04}", sum % 10_000);
                // One place at the least, as policies write such numbers.
                let places = places.trim_end_matches('0');
                write!(f, "{sign}{}.{}", sum / 10_000, if places.is_empty() { "0" } else { places })
            }
            Self::Last(ended) => write!(f, "{ended}"),
        }
    }
}

/// What a call is to the run's plan.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanMark {
    /// A name of the plan waits for what it reads: the `let` of that number, from 0.
    #[n(0)]
    Read(#[n(0)] u16),
    /// It uses a slot.
    #[n(1)]
    Used {
        /// The slot, from 0.
        #[n(0)]
        slot: u16,
        /// Of a slot with `each`, the digest of the element.
        #[n(1)]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        element: Option<Name>,
    },
}

/// Arguments that policies, or the runtime, put in the place of those that the model wrote.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Rewritten {
    /// The arguments as a JSON document, as payload: these are approved, dispatched and recorded.
    #[n(0)]
    pub arguments: PayloadIx,
    /// First 16 bytes of the SHA-256 of their canonical form.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub args: [u8; 16],
    /// The business key drawn from them.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Name>,
}

/// The approvals that gates ask for: every gate's own, all at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Asked {
    /// What each gate asks for.
    #[n(0)]
    pub gates: Vec<GateAsks>,
    /// No fewer different people than this.
    #[n(1)]
    pub quorum: u32,
}

/// What one gate asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct GateAsks {
    /// Its policy's id.
    #[n(0)]
    pub policy: Name,
    /// Who may approve: roles, and people as `user:NAME`; empty when anybody may who may approve at all.
    #[n(1)]
    pub approvers: Vec<Name>,
    /// How many of them.
    #[n(2)]
    pub quorum: u32,
    /// Whether each must have been verified as a person by their authenticator.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// Whether the answers must come over two channels: the server's page, and a program of a signer's own.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<bool>,
    /// After so long without an answer people are reminded, again and again.
    #[n(5)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remind: Option<Span>,
    /// Who may answer too once it has been asked for so long, the first first.
    #[n(6)]
    #[cbor(with = "crate::list", has_nil)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalate: Vec<Escalate>,
}

/// A step of a gate's escalation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Escalate {
    /// How long the question has been asked when it is taken.
    #[n(0)]
    pub after: Span,
    /// Who may answer too from then on: a role, or a person as `user:NAME`.
    #[n(1)]
    pub to: Name,
}

/// A step of escalation that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Escalated {
    /// The gate: its policy.
    #[n(0)]
    pub policy: Name,
    /// Who may answer it too.
    #[n(1)]
    pub to: Name,
}

/// A number that is used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize)]
#[cbor(transparent)]
pub struct Nonce(
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub [u8; 16],
);

/// A signature under an answer. What it is worth is for who asks to say; a fold keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Signed {
    /// The statement's nonce.
    #[n(0)]
    pub nonce: Nonce,
    /// The statement with its signature and key, as `docs/approvals.md` describes it.
    #[n(1)]
    pub receipt: Name,
    /// Whether it was made on a page of the server. It says which earlier answer of the same person this one takes the place of, and nothing
    /// else: what counts as a page's is read off the signature whenever it is looked at.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<bool>,
}

/// A yes that was given.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Given {
    /// Who.
    #[n(0)]
    pub name: Name,
    /// Their roles.
    #[n(1)]
    pub roles: Vec<Name>,
    /// The signature, when it was signed.
    #[n(2)]
    pub signed: Option<Box<Signed>>,
    /// The steps of escalation that had been taken when it was given: it counts by these, and by none that came later.
    #[n(3)]
    #[cbor(with = "crate::list", has_nil)]
    pub escalated: Vec<Escalated>,
}

/// A person, as the server knew them at the time.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Person {
    /// Who.
    #[n(0)]
    pub name: Name,
    /// Their roles.
    #[n(1)]
    #[cbor(with = "crate::list", has_nil)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Name>,
}

impl From<Name> for Person {
    fn from(name: Name) -> Self {
        Self { name, roles: Vec::new() }
    }
}

impl From<&str> for Person {
    fn from(name: &str) -> Self {
        Name::from(name).into()
    }
}

/// On whose behalf a run works.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Behalf {
    /// The person who started it, or the first run of its chain.
    #[n(0)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Person>,
    /// The agents above it, the first of the chain first.
    #[n(1)]
    #[cbor(with = "crate::list", has_nil)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<Name>,
    /// The session of the first run of its chain, for a run that another one started: what is counted by session counts what
    /// sub-agents do in the session that they work for.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The number of the last switch that operators had turned when the first run of its chain began; nothing before the first. What stops
    /// all runs that there are stops those that began with a lower one.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<u64>,
    /// The runs above it, each beside its agent in `callers`.
    #[n(4)]
    #[cbor(with = "crate::list", has_nil)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub above: Vec<Above>,
    /// What the runs above it granted, from the top of the chain: every one must let be done what it does.
    #[n(5)]
    #[cbor(with = "crate::list", has_nil)]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Granted>,
    /// Until when `user` lets it work on their behalf; absent when as long as they may start runs.
    #[n(6)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegated: Option<Delegated>,
    /// The step of somebody's trace that asked for the first run of its chain.
    #[n(7)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Box<TraceContext>>,
}

/// A run above another one in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Above {
    /// The run.
    #[n(0)]
    pub run: RunId,
    /// The version of its agent.
    #[n(1)]
    pub version: VersionId,
}

impl Behalf {
    /// Whether it is nobody's.
    pub fn is_empty(&self) -> bool {
        let Self { user, callers, session, switch, above, grants, delegated, trace } = self;
        let nobody = user.is_none() && delegated.is_none() && callers.is_empty() && above.is_empty();
        nobody && session.is_none() && switch.is_none() && grants.is_empty() && trace.is_none()
    }
}
