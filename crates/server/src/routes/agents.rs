//! `/v1/agents`: applying agents, and looking at their versions.

use std::path::PathBuf;

use axum::{Json as Body, extract::State, http::StatusCode};
use stead_api::{
    agent::{Agent, AgentSummary, ApplyAgent},
    page::Page,
    version::{AgentRef, LIVE, is_alias},
};
use stead_core::{code, id::Name};
use stead_manifest::Bundle;
use stead_policy::Edge;
use stead_ports::journal::VersionRow;

use super::{versions, views};
use crate::{
    agents::{Naming, alias::step},
    auth::Principal,
    http::{
        app::{App, Shared},
        body::BundleJson,
        failure::{Answer, Failure},
        input::{Applying, At, Place, is_agent},
        operate,
    },
};

/// Takes a follower's place: an MCP server may take its time to start.
pub(super) async fn apply(
    State(app): State<Shared>,
    who: Principal,
    places: (Place, Applying),
    BundleJson(request): BundleJson<ApplyAgent>,
) -> Answer<(StatusCode, Body<Agent>)> {
    let dir = request.dir.map(PathBuf::from);
    if dir.as_ref().is_some_and(|d| !d.is_absolute() || !d.is_dir()) {
        return Err(Failure::bad_request("`dir` must be the absolute path of a folder on the server's machine"));
    }
    // The API's form of a bundle is the stored one; reading it back checks it as a file from anyone.
    let encoded = serde_json::to_vec(&request.bundle).map_err(|e| Failure::bad_request(e.to_string()))?;
    let bundle = Bundle::decode(&encoded, dir).map_err(|e| crate::agents::problem_of(&e))?;
    // The agents of its folder are applied with it.
    for name in names(&bundle, None) {
        operate::agent(&app, &who, Edge::ApplyAgent, &name).await?;
    }
    // In a task of its own: a caller who goes away in the middle does not leave half of it behind.
    let alias = request.alias.unwrap_or_else(|| LIVE.into());
    if !is_alias(&alias) {
        return Err(
            Failure::bad_request("`alias` is no name of an alias").hint("small letters, digits and `-`: `canary`")
        );
    }
    let (runtime, tenant) = (app.runtime.clone(), who.tenant.clone());
    let naming = Naming { alias: alias.clone(), by: who.subject.clone(), step: step(app.four_eyes_for_agents) };
    let applying = tokio::spawn(async move {
        let _places = places;
        Box::pin(runtime.apply(&tenant, bundle, &naming)).await
    });
    let applied = match applying.await {
        Ok(applied) => applied?,
        Err(gone) if gone.is_panic() => std::panic::resume_unwind(gone.into_panic()),
        Err(_) => return Err(Failure::new(code::DRAINING, "the server is shutting down")),
    };
    let status = if applied.new { StatusCode::CREATED } else { StatusCode::OK };
    let unsandboxed = app.runtime.unsandboxed(&who.tenant, applied.row.version).await?;
    let untraced = app.runtime.untraced(&who.tenant, applied.row.version).await?;
    let agent = views::agent(applied.row, &applied.agent, unsandboxed, untraced);
    Ok((status, Body(Agent { proposed: applied.proposed.then_some(alias), ..agent })))
}

/// The names under which a bundle and the agents of its folder are applied.
fn names(bundle: &Bundle, parent: Option<&Name>) -> Vec<Name> {
    let name: Name = match parent {
        Some(parent) => format!("{parent}/{}", bundle.manifest.name).into(),
        None => bundle.manifest.name.clone(),
    };
    let below = bundle.agents.values().flat_map(|nested| names(nested, Some(&name)));
    let mut all: Vec<Name> = below.collect();
    all.push(name);
    all
}

pub(super) async fn list(State(app): State<Shared>, who: Principal) -> Answer<Body<Page<AgentSummary>>> {
    let mut rows = app.runtime.journal().versions(&who.tenant, None).await?;
    rows.sort_by(|a, b| a.agent.cmp(&b.agent));
    Ok(Body(Page { items: rows.into_iter().map(views::version).collect(), next: None }))
}

pub(super) async fn show(State(app): State<Shared>, who: Principal, At(agent): At<Name>) -> Answer<Body<Agent>> {
    let row = meant(&app, &who, &agent).await?;
    loaded(&app, row).await
}

pub(super) async fn version(
    State(app): State<Shared>,
    who: Principal,
    At((agent, version)): At<(Name, String)>,
) -> Answer<Body<Agent>> {
    let row = versions::named(&app, &who, &agent, &version).await?;
    loaded(&app, row).await
}

/// The version that a name stands for: what follows its `@`, or the live one.
pub(super) async fn meant(app: &App, who: &Principal, agent: &Name) -> Answer<VersionRow> {
    match AgentRef::of(agent) {
        AgentRef { name, version: Some(version) } => versions::named(app, who, &name.into(), version).await,
        AgentRef { version: None, .. } => live(app, who, agent).await,
    }
}

/// The live version of an agent of the caller's.
pub(super) async fn live(app: &App, who: &Principal, agent: &Name) -> Answer<VersionRow> {
    let journal = app.runtime.journal();
    if !is_agent(agent) {
        return Err(no_agent(agent));
    }
    if let Some(row) = journal.aliased(&who.tenant, agent, &LIVE.into()).await? {
        return Ok(row);
    }
    let aliases = journal.aliases(&who.tenant, agent).await?;
    let other = aliases.first().ok_or_else(|| no_agent(agent))?;
    Err(Failure::not_found(format_args!("a live version of agent `{agent}`"))
        .hint(format!("`stead agents alias set {agent} live {}` makes one live", other.alias)))
}

/// Whether the caller has an agent of that name, live or not.
pub(super) async fn known(app: &App, who: &Principal, agent: &Name) -> Answer<()> {
    match is_agent(agent) && !app.runtime.journal().aliases(&who.tenant, agent).await?.is_empty() {
        true => Ok(()),
        false => Err(no_agent(agent)),
    }
}

async fn loaded(app: &App, row: VersionRow) -> Answer<Body<Agent>> {
    let agent = app.runtime.load(&row.tenant, row.version).await?;
    let unsandboxed = app.runtime.unsandboxed(&row.tenant, row.version).await?;
    let untraced = app.runtime.untraced(&row.tenant, row.version).await?;
    Ok(Body(views::agent(row, &agent, unsandboxed, untraced)))
}

/// The failure for a name that nobody applied.
pub(super) fn no_agent(agent: &Name) -> Failure {
    let short: String = agent.chars().take(80).collect();
    Failure::not_found(format_args!("agent `{short}`")).hint("`stead agents apply DIR` makes it known")
}
