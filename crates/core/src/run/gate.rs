//! The gate: what is asked before something may begin. The machine knows when to ask and what follows from the answer; why it
//! is so is for whoever answers, and comes in like time does.

use bytes::Bytes;

use super::state::State;
use crate::{
    code::{self, Code},
    fact::Verdict,
    id::Name,
    ruling::{Asked, CounterRead, Given, PlanMark},
    time::{Span, Timestamp},
};

/// Decides what may begin. Equal questions get equal answers for as long as a decision takes; it does no I/O.
pub trait Gate: std::fmt::Debug + Sync {
    /// The policy set by which it decides: what was allowed by another is asked again before it begins. `None` when it has
    /// none now, and can only deny.
    fn epoch(&self) -> Option<u64>;

    /// Whether call `i`, let go before by the policy set of now, is to be asked about again all the same: operators turned off what it needs.
    fn again(&self, _state: &State, _i: usize) -> bool {
        false
    }

    /// Whether call `i` of the open turn may be made, when these approvals have been given for exactly it. What the call itself
    /// has used up by being allowed before does not count against it.
    fn call(&self, state: &State, i: usize, now: Timestamp, approvals: &[Given]) -> Ruling;

    /// A fresh random number, when answers to what is asked now may be signed.
    fn salt(&self) -> Option<[u8; 16]> {
        None
    }

    /// Whether a yes to what call `i` asks counts only when it is signed.
    fn wants_signature(&self, _state: &State, _i: usize) -> bool {
        false
    }

    /// Whether it may be looked at what call `i` would do, by the tool that its rules name; with the arguments of that look as
    /// [`Ruling::rewritten`]. What this does not say it does not let be done.
    fn preview(&self, _state: &State, _i: usize, _now: Timestamp) -> Ruling {
        Ruling::deny(0, Vec::new(), "nothing is looked at here.".to_owned())
    }

    /// Whether the model at that place of the chain may be asked.
    fn model(&self, state: &State, model: usize, now: Timestamp) -> Ruling;
}

/// What a gate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Whether it may begin.
    pub verdict: Verdict,
    /// Why not, for one that is denied.
    pub code: Code,
    /// What the model is told, when it is denied.
    pub told: String,
    /// The policy set; see [`Ruled`](crate::ruling::Ruled).
    pub epoch: u64,
    /// The policies that decided.
    pub by: Vec<Name>,
    /// All policies that matched, as JSON; `None` where that would say no more than `by`.
    pub why: Option<Bytes>,
    /// The approvals that are asked for, when the verdict is to ask.
    pub asked: Option<Asked>,
    /// The time that there is for them.
    pub ttl: Option<Span>,
    /// Arguments in the place of those that the model wrote.
    pub rewritten: Option<Rewrite>,
    /// What the call is to the run's plan.
    pub plan: Option<PlanMark>,
    /// What counters said to the decision.
    pub read: Vec<CounterRead>,
}

/// See [`Ruling::rewritten`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// The arguments as JSON.
    pub arguments: Bytes,
    /// First 16 bytes of the SHA-256 of their canonical form.
    pub args: [u8; 16],
    /// The business key drawn from them.
    pub key: Option<Name>,
}

impl Ruling {
    /// It may begin.
    pub const fn allow(epoch: u64, by: Vec<Name>) -> Self {
        Self {
            verdict: Verdict::Allow,
            code: code::POLICY,
            told: String::new(),
            epoch,
            by,
            why: None,
            asked: None,
            ttl: None,
            rewritten: None,
            plan: None,
            read: Vec::new(),
        }
    }

    /// It may not.
    pub fn deny(epoch: u64, by: Vec<Name>, told: String) -> Self {
        Self { verdict: Verdict::Deny, told, ..Self::allow(epoch, by) }
    }
}

/// A gate that stands open: for machines that are tried without policies. No server has it.
#[derive(Clone, Copy, Debug)]
pub struct Ungated;

impl Gate for Ungated {
    fn epoch(&self) -> Option<u64> {
        Some(0)
    }

    fn call(&self, _: &State, _: usize, _: Timestamp, _: &[Given]) -> Ruling {
        Ruling::allow(0, Vec::new())
    }

    fn model(&self, _: &State, _: usize, _: Timestamp) -> Ruling {
        Ruling::allow(0, Vec::new())
    }
}

/// A gate that lets nothing begin: for decisions that begin nothing.
#[derive(Clone, Copy, Debug)]
pub struct Shut;

impl Gate for Shut {
    fn epoch(&self) -> Option<u64> {
        None
    }

    fn call(&self, _: &State, _: usize, _: Timestamp, _: &[Given]) -> Ruling {
        Ruling::deny(0, Vec::new(), "nothing may begin here.".to_owned())
    }

    fn model(&self, _: &State, _: usize, _: Timestamp) -> Ruling {
        Ruling::deny(0, Vec::new(), "nothing may begin here.".to_owned())
    }
}
