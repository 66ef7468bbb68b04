//! `/v1/switches` and `/v1/runs/cancel`: what operators turn off and on again, and the stop of all runs.

use axum::{Json as Body, extract::State};
use serde::Deserialize;
use stead_api::{
    right::Right,
    switch::{CancelAll, Switch, Switched, Switches, TurnSwitch},
};
use stead_core::{
    id::{Name, RunId, VersionId},
    time::Timestamp,
};
use stead_ports::switches::{NewSwitch, SwitchRow, What};

use crate::{
    auth::Principal,
    http::{
        app::Shared,
        body::Json,
        failure::{Answer, Failure},
        input::{self, Params},
    },
};

/// Longest name of what is turned off, in bytes.
const MAX_NAME: usize = 400;
/// Longest reason, in bytes.
const MAX_REASON: usize = 1_000;

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Past {
    before: Option<u64>,
    limit: Option<u32>,
}

pub(super) async fn list(
    State(app): State<Shared>,
    who: Principal,
    Params(past): Params<Past>,
) -> Answer<Body<Switches>> {
    let (engine, limit) = (app.runtime.engine(), input::limit(past.limit)?);
    let mut rows = engine.past_switches(&who.tenant, past.before, limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.n);
    let off = engine.switched_off(&who.tenant).into_iter().map(view).collect();
    Ok(Body(Switches { off, past: rows.into_iter().map(view).collect(), next }))
}

pub(super) async fn turn(
    State(app): State<Shared>,
    who: Principal,
    Json(request): Json<TurnSwitch>,
) -> Answer<Body<Switch>> {
    let TurnSwitch { what, name, on, reason, tenant } = request;
    let tenant = tenant_of(&who, tenant)?;
    let (what, name) = which(what, name, &tenant)?;
    let switch = NewSwitch { tenant, what, name, on, by: who.subject.clone(), at: Timestamp(0), reason: said(reason)? };
    Ok(Body(view(app.runtime.engine().turn(switch).await?)))
}

pub(super) async fn cancel_all(
    State(app): State<Shared>,
    who: Principal,
    Json(request): Json<CancelAll>,
) -> Answer<Body<Switch>> {
    let CancelAll { all, kill, reason, tenant } = request;
    if !all {
        return Err(Failure::bad_request("`all` is not true, so nothing was stopped")
            .hint("one run is stopped by `POST /v1/runs/{run}/cancel`"));
    }
    let (tenant, name) = (tenant_of(&who, tenant)?, if kill { "kill" } else { "cancel" });
    let (by, reason) = (who.subject.clone(), said(reason)?);
    let switch = NewSwitch { tenant, what: What::Runs, name: name.into(), on: false, by, at: Timestamp(0), reason };
    let turned = app.runtime.engine().turn(switch).await;
    Ok(Body(view(turned.map_err(|e| Failure::from(e).unacknowledged())?)))
}

/// The tenant that is meant. Who holds the data folder's own token could write the data of every tenant anyway.
fn tenant_of(who: &Principal, named: Option<Name>) -> Answer<Name> {
    match named {
        None => Ok(who.tenant.clone()),
        Some(tenant) if tenant == who.tenant => Ok(tenant),
        Some(tenant) if who.mends && who.may(Right::Admin) && input::is_agent(&tenant) => Ok(tenant),
        // Whether there is such a tenant is not for this caller to know.
        Some(_) => Err(Failure::not_found("that tenant, for this token,")),
    }
}

/// What is meant, with its name in the one form that is compared.
fn which(what: Switched, name: Name, tenant: &Name) -> Answer<(What, Name)> {
    let wrong = |why: &str| Failure::bad_request(format!("`name` {why}"));
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(wrong(&format!("must be 1 to {MAX_NAME} bytes without control characters")));
    }
    Ok(match what {
        Switched::Tenant if name == *tenant => (What::Tenant, name),
        Switched::Tenant => return Err(wrong("must be that of the tenant")),
        Switched::Agent => (What::Agent, name),
        Switched::Version => {
            let version =
                name.parse::<VersionId>().map_err(|_| wrong("is no version in full: `sha256:` and 64 digits"))?;
            (What::Version, version.to_string().into())
        }
        Switched::Tool => (What::Tool, name),
        Switched::Provider => (What::Provider, name),
        Switched::Run => {
            let run = name.parse::<RunId>().map_err(|_| wrong("is no run's id: `run_…`"))?;
            (What::Run, run.to_string().into())
        }
        Switched::Person => (What::Person, name),
        Switched::Token => (What::Token, name),
    })
}

fn said(reason: String) -> Answer<String> {
    match reason.len() <= MAX_REASON {
        true => Ok(reason),
        false => Err(Failure::bad_request(format!("`reason` is longer than {MAX_REASON} bytes"))),
    }
}

fn view(row: SwitchRow) -> Switch {
    let SwitchRow { n, switch, heard } = row;
    let NewSwitch { tenant, what, name, on, by, at, reason } = switch;
    Switch { number: n, tenant, what: what.to_string(), name, on, by, at, reason, heard }
}
