//! `/v1/policies`: applying policy sets, looking at them, going back, confirming, and deciding recorded calls again.

use std::time::Duration;

use axum::{Json as Body, extract::State, http::StatusCode};
use stead_api::{
    page::{Page, PageQuery},
    policy::{
        AppliedPolicies, ApplyPolicies, CheckPolicies, PolicyCheck, PolicyReplay, PolicySet, PolicySetFiles,
        ReplayPolicies,
    },
};
use stead_core::{id::Name, time::Timestamp};
use stead_ports::clock::Clock as _;

use crate::{
    auth::Principal,
    clock::SystemClock,
    config::units::Time,
    http::{
        app::{App, Shared},
        body::BundleJson,
        failure::{Answer, Failure},
        input::{Applying, At, Params, Place, cursor, is_agent, limit, position},
    },
    policies::{By, Made, by_files},
};

/// Longest time that a replay goes back.
const BACK: Duration = Duration::from_secs(90 * 86_400);

pub(super) async fn apply(
    State(app): State<Shared>,
    who: Principal,
    _places: (Place, Applying),
    BundleJson(ApplyPolicies { files }): BundleJson<ApplyPolicies>,
) -> Answer<(StatusCode, Body<AppliedPolicies>)> {
    let by = by(&app, who);
    made(&app, move |app| async move { app.runtime.policies().apply(by, files, None).await }).await
}

pub(super) async fn rollback(
    State(app): State<Shared>,
    who: Principal,
    _places: (Place, Applying),
    At(epoch): At<String>,
) -> Answer<(StatusCode, Body<AppliedPolicies>)> {
    let (epoch, by) = (numbered(&epoch)?, by(&app, who));
    made(&app, move |app| async move { app.runtime.policies().rollback(by, epoch).await }).await
}

pub(super) async fn confirm(
    State(app): State<Shared>,
    who: Principal,
    _places: (Place, Applying),
    At(epoch): At<String>,
) -> Answer<Body<AppliedPolicies>> {
    let epoch = numbered(&epoch)?;
    let confirmed =
        made(&app, move |app| async move { app.runtime.policies().confirm(&who.tenant, epoch, &who.subject).await });
    confirmed.await.map(|(_, body)| body)
}

fn by(app: &App, who: Principal) -> By {
    By { person: who.person(), tenant: who.tenant, four_eyes: app.four_eyes }
}

/// In a task of its own: a caller who goes away in the middle leaves nothing half done, such as an entry that decides for
/// some versions only.
async fn made<F, R>(app: &Shared, work: F) -> Answer<(StatusCode, Body<AppliedPolicies>)>
where
    F: FnOnce(Shared) -> R,
    R: Future<Output = Result<Made, crate::policies::PolicyError>> + Send + 'static,
{
    let working = tokio::spawn(work(app.clone()));
    let Made { set, warnings, new } = match working.await {
        Ok(made) => made?,
        Err(gone) if gone.is_panic() => std::panic::resume_unwind(gone.into_panic()),
        Err(_) => return Err(Failure::new(stead_core::code::DRAINING, "the server is shutting down")),
    };
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Body(AppliedPolicies { set, warnings })))
}

pub(super) async fn list(
    State(app): State<Shared>,
    who: Principal,
    Params(page): Params<PageQuery>,
) -> Answer<Body<Page<PolicySet>>> {
    let limit = limit(page.limit)?;
    let before = position('p', page.cursor.as_deref())?;
    let mut items = app.runtime.policies().list(&who.tenant, before, limit + 1).await?;
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next = items.last().filter(|_| more).map(|last| cursor('p', &last.epoch));
    Ok(Body(Page { items, next }))
}

pub(super) async fn show(
    State(app): State<Shared>,
    who: Principal,
    At(epoch): At<String>,
) -> Answer<Body<PolicySetFiles>> {
    let policies = app.runtime.policies();
    let epoch = match epoch.as_str() {
        "current" => match policies.epoch(&who.tenant).await? {
            0 => {
                return Err(Failure::not_found("a policy set")
                    .hint("the default policy alone decides; `stead policy apply DIR` applies one"));
            }
            epoch => epoch,
        },
        epoch => numbered(epoch)?,
    };
    let (entry, set) = policies.show(&who.tenant, epoch).await?;
    Ok(Body(PolicySetFiles { set: entry, files: set.files, tools: set.tools }))
}

pub(super) async fn check(
    State(app): State<Shared>,
    who: Principal,
    _places: (Place, Applying),
    BundleJson(CheckPolicies { files }): BundleJson<CheckPolicies>,
) -> Answer<Body<PolicyCheck>> {
    let policies = app.runtime.policies();
    let digest = by_files(&files).to_string();
    let checked = policies.check(&who.tenant, files).await?;
    let in_force = policies.epoch(&who.tenant).await?;
    Ok(Body(PolicyCheck { digest, in_force, warnings: checked.warnings, tools: checked.set.tools }))
}

pub(super) async fn replay(
    State(app): State<Shared>,
    who: Principal,
    _places: (Place, Applying),
    BundleJson(ReplayPolicies { files, since, agent }): BundleJson<ReplayPolicies>,
) -> Answer<Body<PolicyReplay>> {
    let agent = agent.filter(|name| !name.is_empty());
    if agent.as_ref().is_some_and(|name: &Name| !is_agent(name)) {
        return Err(Failure::bad_request("`agent` is no name of an agent"));
    }
    let Some(Time(ago)) = Time::parse(&since).filter(|time| time.0 <= BACK) else {
        return Err(Failure::bad_request("`since` must be a time of at most 90 days, such as `7d` or `12h`"));
    };
    let ago = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
    let since = Timestamp(SystemClock.now().0.saturating_sub(ago));
    let engine = app.runtime.engine();
    Ok(Body(app.runtime.policies().replay(engine, &who.tenant, files, since, agent.as_ref()).await?))
}

/// An epoch of a path.
fn numbered(text: &str) -> Answer<u64> {
    let short: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
    let number = text.parse().ok().filter(|n| *n > 0);
    number.ok_or_else(|| Failure::not_found(format_args!("policy set `{short}`")).hint("`stead policy ls` lists them"))
}
