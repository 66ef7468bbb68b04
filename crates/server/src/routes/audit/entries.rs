//! `/v1/audit/{log}/entries`: leaves, each with what it commits to.

use axum::{Json as Body, extract::State};
use serde::Deserialize;
use stead_api::audit::{AuditAct, AuditApproval, AuditDecision, AuditEntries, AuditEntry, AuditRecord};
use stead_audit::{hash, leaf::Entry};
use stead_core::{
    fact::kind_name,
    id::{EffectId, RunId},
};
use stead_engine::{Log, LogError};

use super::{PATIENCE, named};
use crate::{
    auth::Principal,
    http::{
        app::Shared,
        failure::Answer,
        input::{At, Params, limit},
    },
    routes::views,
};

/// Which leaves.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct Listed {
    from: Option<i64>,
    limit: Option<u32>,
    run: Option<RunId>,
}

pub(in crate::routes) async fn entries(
    State(app): State<Shared>,
    who: Principal,
    At(log): At<String>,
    Params(ask): Params<Listed>,
) -> Answer<Body<AuditEntries>> {
    let limit = limit(ask.limit)?;
    let tenant = named(&who, &log)?;
    if let Some(run) = ask.run {
        views::own_run(&app, &who, run).await?;
    }
    let keeper = app.runtime.log();
    keeper.caught_up(PATIENCE).await;
    let Some(row) = keeper.head(&tenant).await? else {
        return Ok(Body(AuditEntries { items: Vec::new(), next: None, size: 0 }));
    };
    let from = match ask.from.unwrap_or(0) {
        from @ 0.. => from.unsigned_abs(),
        back => row.size.saturating_sub(back.unsigned_abs()),
    };
    let (found, next) = match ask.run {
        None => {
            let found = keeper.entries(&row, from, limit).await?;
            let next = from.saturating_add(limit.into());
            (found, (next < row.size).then_some(next))
        }
        Some(run) => {
            let places = keeper.places(run).await?.into_iter().map(|(_, index)| index);
            let places: Vec<u64> = places.filter(|index| (from..row.size).contains(index)).collect();
            let mut found = Vec::new();
            for index in places.iter().take(limit as usize) {
                found.extend(keeper.entries(&row, *index, 1).await?);
            }
            (found, places.get(limit as usize).copied())
        }
    };
    let mut items = Vec::with_capacity(found.len());
    for (index, leaf) in found {
        items.push(told(keeper, index, &leaf).await?);
    }
    Ok(Body(AuditEntries { items, next, size: row.size }))
}

/// A leaf as the API has it.
pub(crate) async fn told(log: &Log, index: u64, leaf: &[u8]) -> Result<AuditEntry, LogError> {
    let entry = Entry::decode(leaf).map_err(|e| LogError::Forged(e.to_string()))?;
    let mut out = AuditEntry { index, at: entry.at(), hash: hash::leaf(leaf).to_string(), record: None, act: None };
    match entry {
        Entry::Record(leaf) => {
            let effect = |n| EffectId { run: leaf.run, n };
            let verdict = |n: u8| ["allow", "deny", "ask"].get(usize::from(n)).copied().unwrap_or("unknown").to_owned();
            let name = |kind| kind_name(kind).map_or_else(|| format!("kind_{kind}"), str::to_owned);
            out.record = Some(AuditRecord {
                run: leaf.run,
                seq: leaf.seq,
                kinds: leaf.kinds.iter().map(name).collect(),
                decisions: leaf
                    .decisions
                    .iter()
                    .map(|d| AuditDecision { effect: effect(d.effect), verdict: verdict(d.verdict), epoch: d.epoch })
                    .collect(),
                approvals: leaf
                    .approvals
                    .iter()
                    .map(|a| AuditApproval { effect: effect(a.effect), approved: a.approved })
                    .collect(),
                leaf: leaf.record,
            });
        }
        Entry::Act(act) => {
            let body = log.store().find_act(act.id).await?.and_then(|kept| serde_json::from_slice(&kept.body).ok());
            out.act = Some(AuditAct { id: format!("act_{:032x}", act.id), topic: act.topic.to_owned(), body });
        }
    }
    Ok(out)
}
