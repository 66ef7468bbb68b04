//! `[[budgets]]` of `stead.toml`: what tenants and agents may use.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_core::{
    budget::{Caps, MicroUsd, Per},
    id::Name,
    time::Span,
};
use stead_ports::journal::BudgetKey;

use super::units::{Size, Time};
use crate::auth::DEFAULT_TENANT;

/// A budget of a tenant, or of one of its agents. It is set at each start, in the place of what was set with `stead budgets`
/// meanwhile; one that stands here no more stays until it is removed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Budget")]
pub struct Budget {
    /// The tenant; `default` when silent.
    #[schemars(with = "Option<String>")]
    pub tenant: Option<Name>,
    /// The agent; without it the budget is the whole tenant's.
    #[schemars(with = "Option<String>")]
    pub agent: Option<Name>,
    /// How often it begins anew: `hour`, `day`, `month` or `ever`.
    #[schemars(with = "String")]
    pub per: Per,
    /// Model tokens.
    pub tokens: Option<u64>,
    /// US dollars for model calls; a model without a known price is refused.
    #[schemars(range(min = 0.0, max = 1_000_000_000.0))]
    pub usd: Option<f64>,
    /// Tool calls.
    pub tool_calls: Option<u64>,
    /// Working time.
    pub active: Option<Time>,
    /// Processor time in sandboxes.
    pub cpu: Option<Time>,
    /// Bytes that sandboxes send to hosts and receive from them.
    pub traffic: Option<Size>,
    /// Bytes by which workspaces grow.
    pub disk: Option<Size>,
    /// Runs of other agents that may be started.
    pub children: Option<u64>,
}

impl Budget {
    /// Whose it is.
    pub fn key(&self) -> BudgetKey {
        let tenant = self.tenant.clone().unwrap_or_else(|| DEFAULT_TENANT.into());
        BudgetKey { tenant, agent: self.agent.clone(), per: self.per }
    }

    /// Its limits; `None` when it has none, or its money is no amount.
    pub fn caps(&self) -> Option<Caps> {
        let span = |t: Time| Span(u64::try_from(t.0.as_micros()).unwrap_or(u64::MAX));
        let usd = match self.usd {
            Some(usd) if !(0.0..=1e9).contains(&usd) => return None,
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within bounds")]
            usd => usd.map(|u| MicroUsd((u * 1e6).round() as u64)),
        };
        let caps = Caps {
            tokens: self.tokens,
            usd,
            tool_calls: self.tool_calls,
            active: self.active.map(span),
            cpu: self.cpu.map(span),
            traffic: self.traffic.map(|s| s.0 as u64),
            disk: self.disk.map(|s| s.0 as u64),
            children: self.children,
        };
        (!caps.is_none()).then_some(caps)
    }
}

/// What is wrong with budgets, if anything is.
pub(super) fn wrong(budgets: &[Budget]) -> Option<String> {
    for (n, budget) in budgets.iter().enumerate() {
        let whose = || budget.agent.as_ref().map_or("a tenant".to_owned(), |a| format!("`{a}`"));
        if budget.caps().is_none() {
            return Some(format!("`budgets`: that of {} needs a limit, such as `usd = 20`", whose()));
        }
        if budgets[..n].iter().any(|b| b.key() == budget.key()) {
            return Some(format!("`budgets`: that of {} per {} stands there twice", whose(), budget.per));
        }
    }
    None
}
