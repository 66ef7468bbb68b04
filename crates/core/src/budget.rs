//! Limits of a run, and the arithmetic of reserving before a call and settling after it.

mod amounts;
mod question;
mod upper;
mod window;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

pub use self::{
    amounts::{Amounts, Caps, KINDS},
    question::Raise,
    upper::{Blocked, BudgetId, BudgetMoved, Level, Move, Offer, Payer, Slice, Taken, moves},
    window::Per,
};
use crate::{sandbox::BoxTotals, time::Span};

/// Millionths of a US dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize)]
#[cbor(transparent)]
#[serde(transparent)]
pub struct MicroUsd(#[n(0)] pub u64);

/// Hard limits; `None` means no limit of that kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Limits {
    /// Model tokens, input and output together.
    #[n(0)]
    pub tokens: Option<u64>,
    /// Money for model calls. Refuses a model whose price is not known.
    #[n(1)]
    pub usd: Option<MicroUsd>,
    /// Tool calls that may be dispatched.
    #[n(2)]
    pub tool_calls: Option<u32>,
    /// Working time: a model call or an effect is under way.
    #[n(3)]
    pub active: Option<Span>,
    /// Calendar time from the start of the run.
    #[n(4)]
    pub deadline: Option<Span>,
    /// Child runs that may be started.
    #[n(5)]
    pub children: Option<u32>,
    /// Processor time in boxes.
    #[n(6)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Span>,
    /// Bytes that boxes send to hosts and receive from them.
    #[n(7)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<u64>,
    /// Bytes by which the session's workspace may grow.
    #[n(8)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<u64>,
}

impl AtLimit {
    /// Whether it is the default.
    pub fn is_stop(&self) -> bool {
        *self == Self::Stop
    }
}

/// What has been used, or is set aside for a call under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Spend {
    /// Tokens.
    #[n(0)]
    pub tokens: u64,
    /// Money; `None` once a call without a known price is in the sum (unknown is never 0).
    #[n(1)]
    pub usd: Option<MicroUsd>,
}

impl Spend {
    /// Nothing spent, at a known price of nothing.
    pub const ZERO: Self = Self { tokens: 0, usd: Some(MicroUsd(0)) };

    /// The sum; unknown money makes the sum unknown.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            usd: match (self.usd, other.usd) {
                (Some(a), Some(b)) => Some(MicroUsd(a.0.saturating_add(b.0))),
                _ => None,
            },
        }
    }
}

/// What a model charges, in micro-dollars per million tokens (so 3 USD per million is 3_000_000).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Price {
    /// Per million input tokens.
    #[n(0)]
    pub input: u64,
    /// Per million input tokens read from the provider's cache.
    #[n(1)]
    pub cached: u64,
    /// Per million output tokens (reasoning tokens included).
    #[n(2)]
    pub output: u64,
    /// Per million input tokens written to the provider's cache; as `input` when `None`.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<u64>,
}

/// Tokens of one model call as the provider counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Usage {
    /// Input tokens, cached ones included.
    #[n(0)]
    pub input: u64,
    /// Of the input, tokens read from the provider's cache.
    #[n(1)]
    #[serde(default)]
    pub cached: u64,
    /// Output tokens, reasoning included.
    #[n(2)]
    pub output: u64,
    /// Of the output, reasoning tokens.
    #[n(3)]
    #[serde(default)]
    pub reasoning: u64,
    /// Of the input, tokens written to the provider's cache.
    #[n(4)]
    #[cbor(skip_if = "is_zero")]
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the derives call it with a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Usage {
    /// The dearest way in which a call of that size can be counted: a budget is reserved for it.
    pub fn worst(input: u64, output: u64, price: Option<Price>) -> Self {
        let written = price.is_some_and(|p| p.cache_write.is_some_and(|w| w > p.input));
        Self { input, output, cache_write: if written { input } else { 0 }, ..Self::default() }
    }

    /// Input and output together.
    pub fn tokens(self) -> u64 {
        self.input.saturating_add(self.output)
    }

    /// What the call cost; `None` when the price is not known.
    pub fn spend(self, price: Option<Price>) -> Spend {
        let usd = price.map(|p| {
            let cost = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
            let cached = self.cached.min(self.input);
            let written = self.cache_write.min(self.input - cached);
            let input = cost(self.input - cached - written, p.input)
                + cost(cached, p.cached)
                + cost(written, p.cache_write.unwrap_or(p.input));
            // Rounded up: a budget must never be crossed by rounding.
            MicroUsd(u64::try_from((input + cost(self.output, p.output)).div_ceil(1_000_000)).unwrap_or(u64::MAX))
        });
        Spend { tokens: self.tokens(), usd }
    }
}

/// Which limit stopped a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Limit {
    /// [`Limits::tokens`].
    #[n(0)]
    Tokens,
    /// [`Limits::usd`].
    #[n(1)]
    Usd,
    /// A money limit met a model without a known price.
    #[n(2)]
    Unpriced,
    /// [`Limits::tool_calls`].
    #[n(3)]
    ToolCalls,
    /// [`Limits::active`].
    #[n(4)]
    Active,
    /// [`Limits::deadline`].
    #[n(5)]
    Deadline,
    /// [`Limits::children`].
    #[n(6)]
    Children,
    /// The manifest's limit on model turns.
    #[n(7)]
    Turns,
    /// [`Limits::cpu`].
    #[n(8)]
    Cpu,
    /// [`Limits::traffic`].
    #[n(9)]
    Traffic,
    /// [`Limits::disk`].
    #[n(10)]
    Disk,
}

/// What a run does at a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum AtLimit {
    /// It stops.
    #[default]
    #[n(0)]
    Stop,
    /// It asks a human, who may raise the limit of this run.
    #[n(1)]
    Ask,
    /// It goes on with the next model of its chain that fits, and stops when there is none.
    #[n(2)]
    Fallback,
}

/// The ledger of one run: limits, what is spent, what is set aside.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Budget {
    /// The hard limits.
    #[n(0)]
    pub limits: Limits,
    /// Settled spending.
    #[n(1)]
    pub spent: Spend,
    /// Set aside for the model call and the children under way.
    #[n(2)]
    pub reserved: Spend,
    /// Tool calls dispatched or about to be, and those of children that have ended.
    #[n(3)]
    pub tool_calls: u32,
    /// Working time so far, that of children that have ended too.
    #[n(4)]
    pub active: Span,
    /// Children started, and theirs once they have ended.
    #[n(5)]
    pub children: u32,
    /// What boxes have used.
    #[n(6)]
    #[cbor(default)]
    pub boxes: BoxTotals,
    /// Bytes by which the session's workspace grew, and those of children that have ended.
    #[n(7)]
    #[cbor(default)]
    pub disk: u64,
}

impl Budget {
    /// A fresh ledger under `limits`.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            spent: Spend::ZERO,
            reserved: Spend::ZERO,
            tool_calls: 0,
            active: Span(0),
            children: 0,
            boxes: BoxTotals::default(),
            disk: 0,
        }
    }

    /// Which limit setting `more` aside would cross, counting what is spent and already set aside.
    /// Overshoot of an earlier call is a debt: it blocks the next.
    pub fn crosses(&self, more: Spend) -> Option<Limit> {
        let total = self.spent.plus(self.reserved).plus(more);
        if self.limits.tokens.is_some_and(|l| total.tokens > l) {
            return Some(Limit::Tokens);
        }
        match (self.limits.usd, total.usd) {
            (Some(_), None) => Some(Limit::Unpriced),
            (Some(l), Some(t)) if t > l => Some(Limit::Usd),
            _ => None,
        }
    }

    /// What was used, by children that have ended too, of the kinds that neither [`Spend`] nor [`BoxTotals`] counts.
    pub fn counted(&self) -> Amounts {
        Amounts {
            tool_calls: self.tool_calls.into(),
            active: self.active,
            disk: self.disk,
            children: self.children.into(),
            ..Amounts::default()
        }
    }

    /// What is used or set aside of a kind; `None` for those that are no amount, and for money that nobody knows.
    pub fn used(&self, kind: Limit) -> Option<u64> {
        let spend = self.spent.plus(self.reserved);
        let Spend { tokens, usd } = spend;
        let boxes = Amounts { cpu: self.boxes.cpu, traffic: self.boxes.traffic, ..Amounts::default() };
        match kind {
            Limit::Usd => usd.map(|usd| usd.0),
            kind => Amounts { tokens, ..self.counted().plus(boxes) }.of(kind),
        }
    }

    /// Adds what a child has used of those kinds.
    pub fn count(&mut self, used: Amounts) {
        let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        self.tool_calls = self.tool_calls.saturating_add(small(used.tool_calls));
        self.active = Span(self.active.0.saturating_add(used.active.0));
        self.disk = self.disk.saturating_add(used.disk);
        self.children = self.children.saturating_add(small(used.children));
    }

    /// What is left, as limits, while children under way may use `lent` of the kinds for which nothing is reserved. Calendar time
    /// is no amount.
    pub fn remaining(&self, lent: Amounts) -> Limits {
        let reserved = self.spent.plus(self.reserved);
        let used = self.counted().plus(lent);
        let small =
            |limit: Option<u32>, used: u64| limit.map(|l| l.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX)));
        let time = |limit: Option<Span>, used: Span| limit.map(|l| Span(l.0.saturating_sub(used.0)));
        Limits {
            tokens: self.limits.tokens.map(|l| l.saturating_sub(reserved.tokens)),
            usd: self.limits.usd.map(|l| MicroUsd(l.0.saturating_sub(reserved.usd.map_or(l.0, |u| u.0)))),
            tool_calls: small(self.limits.tool_calls, used.tool_calls),
            active: time(self.limits.active, used.active),
            deadline: None,
            children: small(self.limits.children, used.children),
            cpu: time(self.limits.cpu, Span(used.cpu.0.saturating_add(self.boxes.cpu.0))),
            traffic: self.limits.traffic.map(|l| l.saturating_sub(used.traffic.saturating_add(self.boxes.traffic))),
            disk: self.limits.disk.map(|l| l.saturating_sub(used.disk)),
        }
    }
}

impl Limits {
    /// The limit of a kind, in its unit; `None` for kinds that are no limit of a run's budget.
    pub fn of(&self, kind: Limit) -> Option<u64> {
        match kind {
            Limit::Tokens => self.tokens,
            Limit::Usd => self.usd.map(|u| u.0),
            Limit::ToolCalls => self.tool_calls.map(u64::from),
            Limit::Active => self.active.map(|s| s.0),
            Limit::Deadline => self.deadline.map(|s| s.0),
            Limit::Children => self.children.map(u64::from),
            Limit::Cpu => self.cpu.map(|s| s.0),
            Limit::Traffic => self.traffic,
            Limit::Disk => self.disk,
            Limit::Unpriced | Limit::Turns => None,
        }
    }

    /// Raises a limit by so much; what is not limited stays so.
    pub fn raise(&mut self, kind: Limit, by: u64) {
        let small = u32::try_from(by).unwrap_or(u32::MAX);
        let more = |limit: &mut Option<u64>| *limit = limit.map(|l| l.saturating_add(by));
        let longer = |limit: &mut Option<Span>| *limit = limit.map(|l| Span(l.0.saturating_add(by)));
        match kind {
            Limit::Tokens => more(&mut self.tokens),
            Limit::Usd => self.usd = self.usd.map(|u| MicroUsd(u.0.saturating_add(by))),
            Limit::ToolCalls => self.tool_calls = self.tool_calls.map(|l| l.saturating_add(small)),
            Limit::Active => longer(&mut self.active),
            Limit::Deadline => longer(&mut self.deadline),
            Limit::Children => self.children = self.children.map(|l| l.saturating_add(small)),
            Limit::Cpu => longer(&mut self.cpu),
            Limit::Traffic => more(&mut self.traffic),
            Limit::Disk => more(&mut self.disk),
            Limit::Unpriced | Limit::Turns => {}
        }
    }

    /// The limits as amounts that may be used; what is not limited counts as nothing.
    pub fn amounts(&self) -> Amounts {
        Amounts {
            tokens: self.tokens.unwrap_or_default(),
            usd: self.usd.unwrap_or_default(),
            tool_calls: self.tool_calls.unwrap_or_default().into(),
            active: self.active.unwrap_or_default(),
            cpu: self.cpu.unwrap_or_default(),
            traffic: self.traffic.unwrap_or_default(),
            disk: self.disk.unwrap_or_default(),
            children: self.children.unwrap_or_default().into(),
        }
    }

    /// The tighter of the two, limit by limit.
    #[must_use]
    pub fn tighten(&self, other: &Self) -> Self {
        fn min<T: Ord + Copy>(a: Option<T>, b: Option<T>) -> Option<T> {
            match (a, b) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            }
        }
        Self {
            tokens: min(self.tokens, other.tokens),
            usd: min(self.usd, other.usd),
            tool_calls: min(self.tool_calls, other.tool_calls),
            active: min(self.active, other.active),
            deadline: min(self.deadline, other.deadline),
            children: min(self.children, other.children),
            cpu: min(self.cpu, other.cpu),
            traffic: min(self.traffic, other.traffic),
            disk: min(self.disk, other.disk),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_rounds_up_and_an_unknown_price_is_unknown_not_zero() {
        let price = Price { input: 3_000_000, cached: 300_000, output: 15_000_000, cache_write: None };
        let usage = Usage { input: 1_000, cached: 400, output: 10, ..Usage::default() };
        // 600 * 3 + 400 * 0.3 + 10 * 15 = 1800 + 120 + 150
        assert_eq!(usage.spend(Some(price)).usd, Some(MicroUsd(2_070)));
        assert_eq!(Usage { input: 1, ..usage }.spend(None).usd, None);
        assert_eq!(
            Usage { input: 1, ..Usage::default() }.spend(Some(Price { input: 1, ..price })).usd,
            Some(MicroUsd(1))
        );
        assert_eq!(Spend::ZERO.plus(usage.spend(None)).usd, None);
    }

    #[test]
    fn what_is_written_to_the_cache_has_its_own_price_and_is_reserved_for() {
        let price = Price { input: 3_000_000, cached: 300_000, output: 15_000_000, cache_write: Some(3_750_000) };
        let usage = Usage { input: 1_000, cached: 400, output: 10, cache_write: 500, ..Usage::default() };
        // 100 * 3 + 400 * 0.3 + 500 * 3.75 + 10 * 15 = 300 + 120 + 1875 + 150
        assert_eq!(usage.spend(Some(price)).usd, Some(MicroUsd(2_445)));
        // More than there is of the input is not counted twice.
        let odd = Usage { cached: 2_000, cache_write: 2_000, output: 0, ..usage };
        assert_eq!(odd.spend(Some(price)).usd, Some(MicroUsd(300)));
        assert_eq!(Usage::worst(1_000, 0, Some(price)).spend(Some(price)).usd, Some(MicroUsd(3_750)));
        let cheap = Price { cache_write: Some(1), ..price };
        assert_eq!(Usage::worst(1_000, 0, Some(cheap)).spend(Some(cheap)).usd, Some(MicroUsd(3_000)));
    }

    #[test]
    fn a_limit_stops_the_call_that_would_cross_it() {
        let mut b = Budget::new(Limits { tokens: Some(100), usd: Some(MicroUsd(50)), ..Limits::default() });
        assert_eq!(b.crosses(Spend { tokens: 100, usd: Some(MicroUsd(50)) }), None);
        assert_eq!(b.crosses(Spend { tokens: 101, usd: Some(MicroUsd(0)) }), Some(Limit::Tokens));
        assert_eq!(b.crosses(Spend { tokens: 1, usd: None }), Some(Limit::Unpriced));
        b.reserved = Spend { tokens: 60, usd: Some(MicroUsd(0)) };
        assert_eq!(b.crosses(Spend { tokens: 41, usd: Some(MicroUsd(0)) }), Some(Limit::Tokens));
    }
}
