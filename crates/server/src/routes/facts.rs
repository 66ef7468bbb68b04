//! `/v1/runs/{run}/facts`: what happened, in pages.

use axum::{Json as Body, extract::State};
use stead_api::{
    fact::FactEvent,
    page::{Page, PageQuery},
};
use stead_core::id::RunId;

use super::views;
use crate::{
    auth::Principal,
    http::{
        app::{App, Shared},
        failure::Answer,
        input::{At, Params, cursor, limit, position},
    },
};

pub(super) async fn list(
    State(app): State<Shared>,
    who: Principal,
    At(run): At<RunId>,
    Params(page): Params<PageQuery>,
) -> Answer<Body<Page<FactEvent>>> {
    let limit = limit(page.limit)?;
    let from = position('f', page.cursor.as_deref())?.unwrap_or(0);
    views::own_run(&app, &who, run).await?;
    let (items, next) = read(&app, run, from, limit).await?;
    Ok(Body(Page { items, next: next.map(|seq| cursor('f', &seq)) }))
}

/// Facts of up to `limit` records from position `from`, and the position of the next record, if one is known to exist.
pub(super) async fn read(app: &App, run: RunId, from: u64, limit: u32) -> Answer<(Vec<FactEvent>, Option<u64>)> {
    // One more than wanted tells whether there is a next page.
    let events = app.runtime.engine().facts(run, from, limit + 1).await?;
    let end = from.saturating_add(limit.into());
    let next = events.iter().any(|e| e.seq >= end).then_some(end);
    let items = events.iter().filter(|e| e.seq < end).map(views::fact).collect();
    Ok((items, next))
}
