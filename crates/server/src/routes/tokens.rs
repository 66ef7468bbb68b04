//! `/.well-known` and `/v1/runs/{run}/token`: the keys of this installation, and tokens of its runs.

use axum::{Json as Body, extract::State};
use serde_json::Value;
use stead_api::identity::{AskToken, RunToken};
use stead_core::{code, grant::Use, id::RunId};
use stead_ports::clock::Clock as _;

use super::views;
use crate::{
    auth::Principal,
    clock::SystemClock,
    http::{
        app::Shared,
        body::Json,
        failure::{Answer, Failure},
        input::At,
    },
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
    let (behalf, now) = (&lineage.behalf, SystemClock.now());
    if behalf.is_over(now) {
        let why = "no token is made: the person on whose behalf the run works has to say that it may go on";
        return Err(Failure::new(code::DELEGATION, why));
    }
    // A token without a scope may be good for everything, which no list of scopes holds.
    let mut scopes = request.scope.as_deref().unwrap_or_default().split(' ');
    if let Some(denied) = scopes.find_map(|scope| behalf.allows(Use::Scope(scope), now).err()) {
        return Err(Failure::new(code::GRANT, denied.to_string()));
    }
    let (minted, id) = app.identity.mint(&lineage, &request.audience, request.scope.as_deref())?;
    Ok(Body(RunToken { run, id, token: minted.token, expires: minted.expires }))
}
