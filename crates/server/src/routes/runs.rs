//! `/v1/runs`: starting, listing, showing, stopping.

use std::time::Duration;

use axum::{
    Json as Body,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde::Deserialize;
use stead_api::{
    page::Page,
    run::{Run, RunSummary, SandboxLimits, StartRun, Started, WaitUntil},
    version::AgentRef,
};
use stead_core::{
    code,
    fact::StopMode,
    grant::Delegated,
    id::{Name, RunId, SessionId, VersionId},
    label::SealedLabel,
    record::Actor,
    ruling::Behalf,
    sandbox::BoxLimits,
};
use stead_engine::EngineError;
use stead_models::cassette::{Header, Source};
use stead_policy::Edge;
use stead_ports::{
    clock::Clock as _,
    journal::{RunFilter, Status},
};

use super::{agents::meant, artifacts, delegation, sessions, versions, views};
use crate::{
    auth::Principal,
    clock::SystemClock,
    config::{SandboxMax, units::Time},
    http::{
        app::{App, Shared},
        body::{Json, RunJson},
        failure::{Answer, Failure},
        guard,
        input::{At, Params, cursor, idempotency_key, limit, position, trace},
        operate,
    },
};

/// Longest time that a request may wait for a run.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(300);

pub(super) async fn start(
    State(app): State<Shared>,
    who: Principal,
    headers: HeaderMap,
    RunJson(request): RunJson<StartRun>,
) -> Answer<(StatusCode, Body<Started>)> {
    begin(&app, &who, &headers, request).await
}

/// By which a request is known again. It covers what the caller said, not what it resolves to: a retry after a new version went
/// live is the same request. Made under the store's key, since it is kept in the clear: nobody can try guesses of an input on it.
fn digest(app: &App, who: &Principal, request: &StartRun) -> Answer<[u8; 32]> {
    let mut said = b"stead/request/v1".to_vec();
    serde_json::to_writer(&mut said, request).map_err(|e| Failure::bad_request(e.to_string()))?;
    Ok(app.runtime.engine().journal().blob_id(&who.tenant, &said).0)
}

/// Starts the run of a request, from whatever door it came.
pub(super) async fn begin(
    app: &App,
    who: &Principal,
    headers: &HeaderMap,
    request: StartRun,
) -> Answer<(StatusCode, Body<Started>)> {
    begin_labelled(app, who, headers, request, None).await
}

/// The same; the label is that of an input that is not the caller's word alone.
pub(super) async fn begin_labelled(
    app: &App,
    who: &Principal,
    headers: &HeaderMap,
    request: StartRun,
    label: Option<SealedLabel>,
) -> Answer<(StatusCode, Body<Started>)> {
    let idempotency = match idempotency_key(headers)? {
        Some(key) => Some((key, digest(app, who, &request)?)),
        None => None,
    };
    let files = artifacts::read(app, &request.attachments)?;
    let (agent, version) = resolve(app, who, &request.agent, request.version).await?;
    operate::agent(app, who, Edge::StartRun, &agent).await?;
    if let (Some(_), Some(_)) = (request.session, &request.session_key) {
        return Err(Failure::bad_request("`session` and `session_key` exclude each other"));
    }
    let mut start = stead_engine::StartRun {
        tenant: who.tenant.clone(),
        version,
        session: None,
        input: request.input,
        files,
        limits: (&request.limits).into(),
        idempotency,
        actor: actor(who),
        behalf: Behalf { trace: trace(headers), ..behalf(app, who).await? },
        label,
        parent: None,
    };
    start.session = match (request.session, &request.session_key) {
        (Some(session), _) => Some(of_agent(app, who, session, &agent).await?),
        (None, Some(key)) => {
            // No session is made for an input that is refused.
            app.runtime.engine().fits(&start).await?;
            Some(sessions::get_or_make(app, who, &agent, key).await?.0.id)
        }
        (None, None) => None,
    };
    let started =
        if request.record { recorded(app, agent, start).await? } else { app.runtime.engine().start(start).await? };
    let status = if started.existing { StatusCode::OK } else { StatusCode::CREATED };
    let started =
        Started { run: started.run, session: started.session, queued: started.queued, existing: started.existing };
    Ok((status, Body(started)))
}

/// On whose behalf the runs of a caller work: of somebody whom the identity provider knows for a while, of others as long as the
/// configuration has them.
async fn behalf(app: &App, who: &Principal) -> Answer<Behalf> {
    let mut behalf = Behalf { user: Some(who.person()), ..Behalf::default() };
    if app.people.as_ref().is_some_and(|people| people.knows(&who.subject)) {
        app.runtime.engine().delegates(&who.tenant, &who.subject).await?;
        let until = SystemClock.now().after(app.delegation);
        behalf.delegated = Some(Delegated { until, lasts: app.delegation });
    }
    Ok(behalf)
}

/// The agent and the version that a request names.
async fn resolve(app: &App, who: &Principal, agent: &Name, version: Option<VersionId>) -> Answer<(Name, VersionId)> {
    let row = match (version, AgentRef::of(agent).version) {
        (None, _) => meant(app, who, agent).await?,
        (Some(version), None) => versions::named(app, who, agent, &version.to_string()).await?,
        (Some(_), Some(_)) => {
            return Err(Failure::bad_request("`version` and what follows the `@` in `agent` exclude each other"));
        }
    };
    Ok((row.agent, row.version))
}

/// Starts a run whose exchanges with its models are kept, from the first on.
async fn recorded(app: &App, agent: Name, start: stead_engine::StartRun) -> Answer<stead_engine::Started> {
    let (shelf, version) = (app.runtime.cassettes(), start.version.to_string());
    let mut began = None;
    let started = app.runtime.engine().start_told(start, |run| {
        let header = Header::new(Source::Recorded, agent, version, run.to_string());
        began = Some((run, shelf.begin(run, &header)));
    });
    let started = started.await;
    if let Some((run, kept)) = began {
        if !started.as_ref().is_ok_and(|s| s.run == run) {
            shelf.forget(run);
        } else if let Err(e) = kept {
            tracing::warn!(%run, error = %e, "the run is not recorded");
        }
    }
    Ok(started?)
}

async fn of_agent(app: &App, who: &Principal, session: SessionId, agent: &Name) -> Answer<SessionId> {
    let row = views::own_session(app, who, session).await?;
    if row.agent == *agent {
        return Ok(row.id);
    }
    Err(Failure::new(
        stead_core::code::CONFLICT,
        format!("{session} belongs to the agent `{}`, not to `{agent}`", row.agent),
    ))
}

fn actor(who: &Principal) -> Actor {
    Actor::User(who.subject.clone())
}

/// Which runs to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    status: Option<String>,
    agent: Option<Name>,
    session: Option<String>,
    parent: Option<RunId>,
    cursor: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn list(
    State(app): State<Shared>,
    who: Principal,
    Params(filter): Params<Filter>,
) -> Answer<Body<Page<RunSummary>>> {
    let limit = limit(filter.limit)?;
    let agent = views::agent_filter(filter.agent)?;
    let session = views::session_filter(&app, &who, filter.session.as_deref(), agent.as_ref()).await?;
    let filter = RunFilter {
        tenant: who.tenant,
        status: statuses(filter.status.as_deref())?,
        agent,
        session,
        parent: filter.parent,
        before: position('r', filter.cursor.as_deref())?,
        // One more than wanted tells whether there is a next page.
        limit: limit + 1,
    };
    let mut rows = app.runtime.journal().runs(&filter).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| cursor('r', &row.id));
    Ok(Body(Page { items: rows.into_iter().map(views::summary).collect(), next }))
}

fn statuses(text: Option<&str>) -> Answer<Vec<Status>> {
    let words = text.into_iter().flat_map(|t| t.split(',')).map(str::trim).filter(|w| !w.is_empty());
    words
        .take(Status::ALL.len() + 1)
        .map(|word| {
            Status::parse(word).ok_or_else(|| {
                let all = Status::ALL.map(Status::as_str).join(", ");
                let short: String = word.chars().take(40).collect();
                Failure::bad_request(format!("`{short}` is not a status")).hint(format!("one of {all}"))
            })
        })
        .collect()
}

/// Whether and how long to wait.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    wait: Option<String>,
    #[serde(default)]
    until: WaitUntil,
}

pub(super) async fn show(
    State(app): State<Shared>,
    who: Principal,
    At(run): At<RunId>,
    Params(wait): Params<Wait>,
) -> Answer<Body<Run>> {
    let patience = match wait.wait.as_deref().map(Time::parse) {
        None => None,
        Some(Some(Time(patience))) if patience <= MAX_WAIT => Some(patience),
        Some(_) => return Err(Failure::bad_request("`wait` must be a duration such as `30s`, at most `5m`")),
    };
    guard::bounded(&app, views::own_run(&app, &who, run)).await??;
    if let Some(patience) = patience {
        let _place = guard::place(&app)?;
        let _counted = app.metrics.follower();
        let engine = app.runtime.engine();
        tokio::select! {
            ended = engine.wait(run, wait.until == WaitUntil::Waiting) => return Ok(Body(views::run(ended?))),
            () = tokio::time::sleep(patience) => {}
            () = app.draining.cancelled() => {}
        }
    }
    guard::bounded(&app, view(&app, run)).await?
}

async fn view(app: &App, run: RunId) -> Answer<Body<Run>> {
    Ok(Body(views::run(app.runtime.engine().view(run).await?)))
}

pub(super) async fn pause(State(app): State<Shared>, who: Principal, At(run): At<RunId>) -> Answer<Body<Run>> {
    views::own_run(&app, &who, run).await?;
    app.runtime.engine().pause(run, actor(&who)).await?;
    delegation::acted(&app, &who, run).await?;
    view(&app, run).await
}

pub(super) async fn resume(State(app): State<Shared>, who: Principal, At(run): At<RunId>) -> Answer<Body<Run>> {
    views::own_run(&app, &who, run).await?;
    app.runtime.engine().resume(run, actor(&who)).await?;
    delegation::acted(&app, &who, run).await?;
    view(&app, run).await
}

pub(super) async fn limit_boxes(
    State(app): State<Shared>,
    who: Principal,
    At(run): At<RunId>,
    Json(limits): Json<SandboxLimits>,
) -> Answer<Body<Run>> {
    views::own_run(&app, &who, run).await?;
    let limits = BoxLimits::from(limits);
    if limits.is_empty() {
        return Err(Failure::bad_request("no limit is named")
            .hint("name one of memory, cpu_milli, pids, disk, wall, inodes, open_files, output, egress"));
    }
    if let Some((what, least)) = too_small(&limits) {
        return Err(
            Failure::bad_request(format!("{what} is too small for any sandbox")).hint(format!("at least {least}"))
        );
    }
    if limits.egress.as_ref().is_some_and(|hosts| hosts.len() > HOSTS || !hosts.iter().all(is_host)) {
        let hint =
            format!("name at most {HOSTS}, as the agent's rules write them; `*` is all, and an empty list is none");
        return Err(Failure::bad_request("egress names too many hosts, or something that is none").hint(hint));
    }
    if let Some((what, key, asked, most)) = beyond(&limits, &app.runtime.shop().config().max) {
        let detail = format!("{what} of {asked} is more than this server gives a sandbox: {most} at most");
        let hint = format!("ask for less; its operator can raise it in stead.toml: [sandbox.max] {key}");
        return Err(Failure::new(code::SANDBOX_BOUNDS, detail).hint(hint));
    }
    app.runtime.engine().limit_boxes(run, limits, actor(&who)).await?;
    delegation::acted(&app, &who, run).await?;
    view(&app, run).await
}

/// Hosts that are named at once.
const HOSTS: usize = 64;

fn is_host(name: &Name) -> bool {
    (1..=253).contains(&name.as_str().len()) && name.as_str().bytes().all(|b| b.is_ascii_graphic())
}

/// A limit beyond what the operator gives any box: its name, the key of `[sandbox.max]`, what is asked and the most.
fn beyond(limits: &BoxLimits, max: &SandboxMax) -> Option<(&'static str, &'static str, u64, u64)> {
    [
        ("memory", "memory", limits.memory, max.memory.0 as u64),
        ("cpu_milli", "cpu", limits.cpu_milli.map(u64::from), max.cpu_milli()),
        ("pids", "pids", limits.pids.map(u64::from), max.pids.into()),
        ("disk", "disk", limits.disk, max.disk.0 as u64),
        ("wall", "timeout", limits.wall.map(|w| w.0), u64::try_from(max.timeout.0.as_micros()).unwrap_or(u64::MAX)),
        ("inodes", "inodes", limits.inodes, max.inodes),
        ("open_files", "open_files", limits.open_files.map(u64::from), max.open_files.into()),
        ("output", "output", limits.output, max.output.0 as u64),
    ]
    .into_iter()
    .find_map(|(what, key, asked, most)| asked.filter(|n| *n > most).map(|n| (what, key, n, most)))
}

/// A limit with which nothing can run, and what is the least.
fn too_small(limits: &BoxLimits) -> Option<(&'static str, u64)> {
    let span = limits.wall.map(|w| w.0);
    [
        ("memory", limits.memory, 1 << 20),
        ("cpu_milli", limits.cpu_milli.map(u64::from), 10),
        ("pids", limits.pids.map(u64::from), 4),
        ("disk", limits.disk, 1 << 20),
        ("wall", span, 100_000),
        ("inodes", limits.inodes, 16),
        ("open_files", limits.open_files.map(u64::from), 16),
        ("output", limits.output, 4_096),
    ]
    .into_iter()
    .find_map(|(what, asked, least)| asked.is_some_and(|n| n < least).then_some((what, least)))
}

pub(super) async fn cancel(State(app): State<Shared>, who: Principal, At(run): At<RunId>) -> Answer<Body<Run>> {
    stop(&app, &who, run, StopMode::Cancel).await
}

pub(super) async fn kill(State(app): State<Shared>, who: Principal, At(run): At<RunId>) -> Answer<Body<Run>> {
    stop(&app, &who, run, StopMode::Kill).await
}

pub(super) async fn stop(app: &App, who: &Principal, run: RunId, mode: StopMode) -> Answer<Body<Run>> {
    views::own_run(app, who, run).await.map_err(Failure::unacknowledged)?;
    let stopped: Result<(), EngineError> = app.runtime.engine().stop(run, mode, actor(who)).await;
    stopped?;
    view(app, run).await
}
