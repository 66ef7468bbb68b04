//! `/healthz`, `/readyz`, `/v1/status` and the document itself.

use std::{sync::OnceLock, time::Duration};

use axum::{Json as Body, extract::State, http::header, response::IntoResponse};
use stead_api::{
    openapi,
    right::Right,
    status::{Health, ServerStatus, Work},
};
use stead_core::code;

use crate::{
    auth::Principal,
    http::{
        app::Shared,
        failure::{Answer, Failure},
    },
};

/// How long the store may take to answer a readiness probe.
const PROBE: Duration = Duration::from_secs(5);

pub(super) async fn alive() -> Body<Health> {
    Body(Health { status: "ok".into() })
}

pub(super) async fn ready(State(app): State<Shared>) -> Answer<Body<Health>> {
    if app.draining.is_cancelled() {
        return Err(Failure::new(code::DRAINING, "the server is shutting down"));
    }
    match tokio::time::timeout(PROBE, app.runtime.ready()).await {
        Ok(Ok(())) => Ok(Body(Health { status: "ok".into() })),
        // Anyone may ask: the reason stays in the log.
        Ok(Err(e)) => {
            tracing::warn!("not ready: {e}");
            Err(Failure::new(code::DATA_UNREACHABLE, "the store does not answer"))
        }
        Err(_) => Err(Failure::new(code::DATA_UNREACHABLE, "the store takes too long to answer")),
    }
}

pub(super) async fn status(State(app): State<Shared>, who: Principal) -> Answer<Body<ServerStatus>> {
    let counts = match who.may(Right::Read) {
        true => app.runtime.journal().count(Some(&who.tenant)).await?,
        false => Vec::new(),
    };
    let stats = app.runtime.engine().stats();
    let work = Work {
        loaded: stats.loaded,
        backlog: stats.backlog,
        model_calls: stats.model_calls,
        tool_calls: stats.tool_calls,
        spent: stats.spent,
    };
    Ok(Body(ServerStatus {
        name: "stead".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        started: app.started,
        store: app.runtime.store().as_str().into(),
        generation: Some(app.runtime.journal().generation().await?),
        subject: who.subject.as_str().into(),
        tenant: who.tenant.as_str().into(),
        rights: who.rights.to_vec(),
        runs: counts.into_iter().map(|(status, n)| (status.as_str().to_owned(), n)).collect(),
        // Of all tenants together.
        work: who.may(Right::Metrics).then_some(work),
    }))
}

pub(super) async fn openapi() -> impl IntoResponse {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    let document = DOCUMENT.get_or_init(|| openapi::document(env!("CARGO_PKG_VERSION")).to_string());
    ([(header::CONTENT_TYPE, "application/json")], document.as_str())
}
