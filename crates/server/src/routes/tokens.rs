//! `/.well-known` and `/v1/runs/{run}/token`: the keys of this installation, and tokens of its runs.

use axum::{Json as Body, extract::State};
use serde_json::Value;
use stead_api::identity::{AskToken, RunToken};
use stead_core::id::RunId;

use super::views;
use crate::{
    auth::Principal,
    http::{app::Shared, body::Json, failure::Answer, input::At},
};

pub(super) async fn keys(State(app): State<Shared>) -> Answer<Body<Value>> {
    app.identity.published().map(Body)
}

pub(super) async fn provider(State(app): State<Shared>) -> Body<Value> {
    Body(app.identity.described())
}

pub(super) async fn mint(
    State(app): State<Shared>,
    who: Principal,
    At(run): At<RunId>,
    Json(request): Json<AskToken>,
) -> Answer<Body<RunToken>> {
    views::own_run(&app, &who, run).await?;
    let lineage = app.runtime.engine().acting(run).await?;
    let (minted, id) = app.identity.mint(&lineage, &request.audience, request.scope.as_deref())?;
    Ok(Body(RunToken { run, id, token: minted.token, expires: minted.expires }))
}
