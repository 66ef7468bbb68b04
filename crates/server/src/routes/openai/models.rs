//! `/openai/v1/models`: the agents that a caller may name.

use axum::{Json as Body, extract::State};
use serde_json::{Value, json};
use stead_core::{code, id::Name};
use stead_models::relay::is_meant;
use stead_policy::Edge;
use stead_ports::journal::VersionRow;

use super::super::agents::meant;
use crate::{
    auth::Principal,
    http::{
        app::Shared,
        failure::{Answer, Failure},
        input::At,
        operate,
    },
};

pub(super) async fn list(State(app): State<Shared>, who: Principal) -> Answer<Body<Value>> {
    if let Some(bound) = &who.bound {
        // A token for a gateway knows its model alone.
        let row = meant(&app, &who, &bound.agent).await?;
        let agent = app.runtime.load(&row.tenant, row.version).await?;
        let own = agent.models.first().filter(|_| agent.relays).map(|own| model(own.name(), &row));
        return Ok(Body(json!({ "object": "list", "data": own.into_iter().collect::<Vec<_>>() })));
    }
    let journal = app.runtime.journal();
    let mut data = Vec::new();
    let mut rows = journal.versions(&who.tenant, None).await?;
    rows.sort_by(|a, b| a.agent.cmp(&b.agent));
    for row in rows {
        // An agent that nobody made live cannot be named without a version, and one that policies keep from the caller not at all.
        if row.live && operate::would(&app, &who, Edge::StartRun, &row.agent).await? {
            data.push(model(&row.agent, &row));
        }
    }
    Ok(Body(json!({ "object": "list", "data": data })))
}

pub(super) async fn show(State(app): State<Shared>, who: Principal, At(name): At<Name>) -> Answer<Body<Value>> {
    if let Some(bound) = &who.bound {
        let row = meant(&app, &who, &bound.agent).await?;
        let agent = app.runtime.load(&row.tenant, row.version).await?;
        let own = agent.models.first().filter(|own| agent.relays && is_meant(&name, own.name()));
        let own = own.ok_or_else(|| Failure::new(code::FACE_MODEL, "the token's gateway has another model"))?;
        return Ok(Body(model(own.name(), &row)));
    }
    let row = meant(&app, &who, &name).await?;
    Ok(Body(model(&name, &row)))
}

fn model(name: &str, row: &VersionRow) -> Value {
    json!({
        "id": name,
        "object": "model",
        "created": row.created.0 / 1_000_000,
        "owned_by": "stead",
        "stead": { "agent": row.agent, "version": row.version },
    })
}
