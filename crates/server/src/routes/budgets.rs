//! `/v1/budgets`: budgets of the tenant and of its agents.

use axum::{Json as Body, extract::State};
use stead_api::budget::{Budget, Budgets, SetBudget};
use stead_core::budget::Caps;
use stead_ports::journal::{self, BudgetKey, BudgetRow};

use super::views;
use crate::{
    auth::Principal,
    http::{
        app::Shared,
        body::Json,
        failure::{Answer, Failure},
    },
};

pub(super) async fn list(State(app): State<Shared>, who: Principal) -> Answer<Body<Budgets>> {
    let rows = app.runtime.engine().budgets(&who.tenant).await?;
    Ok(Body(Budgets { items: rows.into_iter().map(view).collect() }))
}

/// Sets a budget, or removes it when it would limit nothing. The answer is all there are afterwards.
pub(super) async fn set(
    State(app): State<Shared>,
    who: Principal,
    Json(request): Json<SetBudget>,
) -> Answer<Body<Budgets>> {
    let agent = views::agent_filter(request.agent)?;
    let key = BudgetKey { tenant: who.tenant.clone(), agent, per: request.per };
    let (engine, caps) = (app.runtime.engine(), Caps::from(request.limits));
    if caps.is_none() {
        if !engine.remove_budget(&key).await? {
            let whose = key.agent.as_ref().map_or("the tenant".to_owned(), |a| format!("`{a}`"));
            return Err(Failure::not_found(format!("a budget of {whose} per {}", key.per)));
        }
    } else {
        // The engine says when.
        let at = stead_core::time::Timestamp(0);
        engine.set_budget(journal::SetBudget { key, caps, at, by: who.subject.clone() }).await?;
    }
    list(State(app), who).await
}

fn view(row: BudgetRow) -> Budget {
    Budget {
        left: row.left().into(),
        agent: row.key.agent,
        per: row.key.per,
        limits: row.caps.into(),
        held: row.held.into(),
        used: row.settled.into(),
        since: row.start,
        until: row.key.per.end(row.start),
        set_by: row.by,
        set_at: row.at,
    }
}
