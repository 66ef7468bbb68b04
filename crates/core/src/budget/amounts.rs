//! Amounts of everything that a budget counts, and limits of the same kinds.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{Limit, MicroUsd, Spend};
use crate::time::Span;

/// The kinds that budgets above runs count, in the order of their columns.
pub const KINDS: [Limit; 8] = [
    Limit::Tokens,
    Limit::Usd,
    Limit::ToolCalls,
    Limit::Active,
    Limit::Cpu,
    Limit::Traffic,
    Limit::Disk,
    Limit::Children,
];

/// So much of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Amounts {
    /// Model tokens.
    #[n(0)]
    pub tokens: u64,
    /// Money of calls whose price is known.
    #[n(1)]
    pub usd: MicroUsd,
    /// Tool calls.
    #[n(2)]
    pub tool_calls: u64,
    /// Working time.
    #[n(3)]
    pub active: Span,
    /// Processor time in boxes.
    #[n(4)]
    pub cpu: Span,
    /// Bytes that boxes sent to hosts and received from them.
    #[n(5)]
    pub traffic: u64,
    /// Bytes by which workspaces grew.
    #[n(6)]
    pub disk: u64,
    /// Child runs.
    #[n(7)]
    pub children: u64,
}

impl Amounts {
    /// In the order of [`KINDS`].
    pub const fn to_array(self) -> [u64; 8] {
        [self.tokens, self.usd.0, self.tool_calls, self.active.0, self.cpu.0, self.traffic, self.disk, self.children]
    }

    /// From the order of [`KINDS`].
    pub const fn from_array(a: [u64; 8]) -> Self {
        let [tokens, usd, tool_calls, active, cpu, traffic, disk, children] = a;
        let (usd, active, cpu) = (MicroUsd(usd), Span(active), Span(cpu));
        Self { tokens, usd, tool_calls, active, cpu, traffic, disk, children }
    }

    /// How much of a kind; `None` for what is none of [`KINDS`].
    pub fn of(self, kind: Limit) -> Option<u64> {
        KINDS.into_iter().zip(self.to_array()).find(|(of, _)| *of == kind).map(|(_, n)| n)
    }

    /// The sum of the two.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let (mut sum, other) = (self.to_array(), other.to_array());
        sum.iter_mut().zip(other).for_each(|(a, b)| *a = a.saturating_add(b));
        Self::from_array(sum)
    }

    /// What is left without `other`; nothing is less than nothing.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        let (mut rest, other) = (self.to_array(), other.to_array());
        rest.iter_mut().zip(other).for_each(|(a, b)| *a = a.saturating_sub(b));
        Self::from_array(rest)
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }

    /// Only what neither [`Spend`] nor [`crate::sandbox::BoxTotals`] counts: tool calls, working time, growth of workspaces, child
    /// runs.
    #[must_use]
    pub fn counted(self) -> Self {
        let Self { tool_calls, active, disk, children, .. } = self;
        Self { tool_calls, active, disk, children, ..Self::default() }
    }
}

/// A model call; money that is not known counts as none, because a budget of money never pays for such a call.
impl From<Spend> for Amounts {
    fn from(s: Spend) -> Self {
        Self { tokens: s.tokens, usd: s.usd.unwrap_or_default(), ..Self::default() }
    }
}

/// Limits of each kind; `None` means none of that kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Caps {
    /// See [`Amounts::tokens`].
    #[n(0)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// See [`Amounts::usd`]. Refuses a model whose price is not known.
    #[n(1)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd: Option<MicroUsd>,
    /// See [`Amounts::tool_calls`].
    #[n(2)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<u64>,
    /// See [`Amounts::active`].
    #[n(3)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<Span>,
    /// See [`Amounts::cpu`].
    #[n(4)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Span>,
    /// See [`Amounts::traffic`].
    #[n(5)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic: Option<u64>,
    /// See [`Amounts::disk`].
    #[n(6)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<u64>,
    /// See [`Amounts::children`].
    #[n(7)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub children: Option<u64>,
}

impl Caps {
    /// In the order of [`KINDS`].
    pub fn to_array(self) -> [Option<u64>; 8] {
        [
            self.tokens,
            self.usd.map(|u| u.0),
            self.tool_calls,
            self.active.map(|s| s.0),
            self.cpu.map(|s| s.0),
            self.traffic,
            self.disk,
            self.children,
        ]
    }

    /// From the order of [`KINDS`].
    pub fn from_array(a: [Option<u64>; 8]) -> Self {
        let [tokens, usd, tool_calls, active, cpu, traffic, disk, children] = a;
        let (usd, active, cpu) = (usd.map(MicroUsd), active.map(Span), cpu.map(Span));
        Self { tokens, usd, tool_calls, active, cpu, traffic, disk, children }
    }

    /// The limit of a kind; `None` when there is none, or it is none of [`KINDS`].
    pub fn of(self, kind: Limit) -> Option<u64> {
        KINDS.into_iter().zip(self.to_array()).find_map(|(of, limit)| limit.filter(|_| of == kind))
    }

    /// Whether nothing is limited.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// What is limited, as amounts; what is not counts as nothing.
    pub fn amounts(self) -> Amounts {
        Amounts::from_array(self.to_array().map(Option::unwrap_or_default))
    }

    /// What `used` leaves of it.
    #[must_use]
    pub fn without(self, used: Amounts) -> Self {
        let mut left = self.to_array();
        left.iter_mut().zip(used.to_array()).for_each(|(l, u)| *l = l.map(|l| l.saturating_sub(u)));
        Self::from_array(left)
    }

    /// The tighter of the two, kind by kind.
    #[must_use]
    pub fn tighten(self, other: Self) -> Self {
        let mut caps = self.to_array();
        caps.iter_mut().zip(other.to_array()).for_each(|(a, b)| {
            *a = match (*a, b) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            }
        });
        Self::from_array(caps)
    }

    /// The first kind of which there is less than `need`, with what there is.
    pub fn lacks(self, need: Amounts) -> Option<(Limit, u64)> {
        KINDS
            .into_iter()
            .zip(self.to_array())
            .zip(need.to_array())
            .find_map(|((kind, left), need)| left.filter(|l| need > *l).map(|l| (kind, l)))
    }
}
