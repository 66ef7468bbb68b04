//! Budgets of tenants and agents.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::{
    budget::{Amounts, Caps, MicroUsd, Per},
    id::Name,
    time::{Span, Timestamp},
};

use crate::schema;

/// Limits of a budget; an absent one does not limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetLimits {
    /// Model tokens, input and output together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Money for model calls, in millionths of a dollar. A model without a known price is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::MicroUsd>")]
    pub usd: Option<MicroUsd>,
    /// Tool calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<u64>,
    /// Working time, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Span>")]
    pub active: Option<Span>,
    /// Processor time in sandboxes, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::Span>")]
    pub cpu: Option<Span>,
    /// Bytes between sandboxes and hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic: Option<u64>,
    /// Bytes by which workspaces grow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<u64>,
    /// Child runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub children: Option<u64>,
}

/// So much of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BudgetUse {
    /// Model tokens.
    pub tokens: u64,
    /// Money of calls whose price is known, in millionths of a dollar.
    #[schemars(with = "schema::MicroUsd")]
    pub usd: MicroUsd,
    /// Tool calls.
    pub tool_calls: u64,
    /// Working time, in microseconds.
    #[schemars(with = "schema::Span")]
    pub active: Span,
    /// Processor time in sandboxes, in microseconds.
    #[schemars(with = "schema::Span")]
    pub cpu: Span,
    /// Bytes between sandboxes and hosts.
    pub traffic: u64,
    /// Bytes by which workspaces grew.
    pub disk: u64,
    /// Child runs.
    pub children: u64,
}

/// A budget, and what is held and used of its window now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Budget {
    /// The agent whose budget it is; `null` for the whole tenant's.
    #[schemars(with = "Option<String>")]
    pub agent: Option<Name>,
    /// How often it begins anew, by the calendar in UTC: `hour`, `day`, `month` or `ever`.
    #[schemars(with = "String")]
    pub per: Per,
    /// Its limits.
    pub limits: BudgetLimits,
    /// What is neither held nor used; of what is not limited nothing is said.
    pub left: BudgetLimits,
    /// Held by runs for what they do next.
    pub held: BudgetUse,
    /// Used and settled. What a run that works has used is settled with its next slice, or when it waits or ends; until then it is
    /// a part of what is held.
    pub used: BudgetUse,
    /// When the window began.
    #[schemars(with = "schema::Timestamp")]
    pub since: Timestamp,
    /// When the next begins; `null` when never.
    #[schemars(with = "Option<schema::Timestamp>")]
    pub until: Option<Timestamp>,
    /// Who set the limits.
    #[schemars(with = "String")]
    pub set_by: Name,
    /// When.
    #[schemars(with = "schema::Timestamp")]
    pub set_at: Timestamp,
}

/// All budgets of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Budgets {
    /// That of the tenant first, then by agent.
    pub items: Vec<Budget>,
}

/// Sets or removes a budget.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetBudget {
    /// The agent whose budget it is; without it the whole tenant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub agent: Option<Name>,
    /// How often it begins anew: `hour`, `day`, `month` or `ever`; `ever` when absent.
    #[serde(default)]
    #[schemars(with = "String")]
    pub per: Per,
    /// All its limits from now on. With none at all the budget is removed.
    #[serde(default)]
    pub limits: BudgetLimits,
}

impl From<BudgetLimits> for Caps {
    fn from(l: BudgetLimits) -> Self {
        let BudgetLimits { tokens, usd, tool_calls, active, cpu, traffic, disk, children } = l;
        Self { tokens, usd, tool_calls, active, cpu, traffic, disk, children }
    }
}

impl From<Caps> for BudgetLimits {
    fn from(c: Caps) -> Self {
        let Caps { tokens, usd, tool_calls, active, cpu, traffic, disk, children } = c;
        Self { tokens, usd, tool_calls, active, cpu, traffic, disk, children }
    }
}

impl From<Amounts> for BudgetUse {
    fn from(a: Amounts) -> Self {
        let Amounts { tokens, usd, tool_calls, active, cpu, traffic, disk, children } = a;
        Self { tokens, usd, tool_calls, active, cpu, traffic, disk, children }
    }
}

impl From<BudgetUse> for Amounts {
    fn from(u: BudgetUse) -> Self {
        let BudgetUse { tokens, usd, tool_calls, active, cpu, traffic, disk, children } = u;
        Self { tokens, usd, tool_calls, active, cpu, traffic, disk, children }
    }
}
