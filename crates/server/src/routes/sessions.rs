//! `/v1/sessions`.

use axum::{
    Json as Body,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde::Deserialize;
use stead_api::{
    page::Page,
    run::{StartRun, Started},
    session::{OpenSession, Session, StartInSession},
};
use stead_core::id::{Name, SessionId};
use stead_policy::Edge;
use stead_ports::{clock::Clock as _, journal::SessionRow};

use super::{agents::known, runs, views};
use crate::{
    auth::Principal,
    clock::SystemClock,
    http::{
        app::{App, Shared},
        body::{Json, RunJson},
        failure::{Answer, Failure},
        input::{At, Params, cursor, limit, position},
        operate,
    },
};

/// Longest key of a session, in bytes.
const MAX_KEY: usize = 200;
/// Queued runs that are shown of one session.
const SHOWN_QUEUE: u32 = 100;

/// Which sessions to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    agent: Option<Name>,
    cursor: Option<String>,
    limit: Option<u32>,
}

/// The agent of a session that is named by its key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfAgent {
    agent: Option<Name>,
}

pub(super) async fn open(
    State(app): State<Shared>,
    who: Principal,
    Json(request): Json<OpenSession>,
) -> Answer<(StatusCode, Body<Session>)> {
    operate::agent(&app, &who, Edge::StartRun, &request.agent).await?;
    let (row, new) = get_or_make(&app, &who, &request.agent, &request.key).await?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Body(views::session(row, Vec::new()))))
}

/// Whether a text can be a key: an id is none, so that a name always means one of the two.
pub(crate) fn is_key(text: &str) -> bool {
    (1..=MAX_KEY).contains(&text.len()) && !text.chars().any(char::is_control) && text.parse::<SessionId>().is_err()
}

/// The session of that key, and whether it was made now.
pub(super) async fn get_or_make(app: &App, who: &Principal, agent: &Name, key: &Name) -> Answer<(SessionRow, bool)> {
    if !is_key(key) {
        return Err(Failure::bad_request(format!(
            "a session's key must be 1 to {MAX_KEY} bytes without control characters, and not of the form of an id"
        )));
    }
    let journal = app.runtime.journal();
    known(app, who, agent).await?;
    let id = SessionId(SystemClock.new_ulid());
    let row = journal.open_session(&who.tenant, agent, key, id, SystemClock.now()).await?;
    let new = row.id == id;
    Ok((row, new))
}

pub(super) async fn list(
    State(app): State<Shared>,
    who: Principal,
    Params(filter): Params<Filter>,
) -> Answer<Body<Page<Session>>> {
    let limit = limit(filter.limit)?;
    let before = position('s', filter.cursor.as_deref())?;
    // One more than wanted tells whether there is a next page.
    let journal = app.runtime.journal();
    let agent = views::agent_filter(filter.agent)?;
    let mut rows = journal.sessions(&who.tenant, agent.as_ref(), before, limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| cursor('s', &row.id));
    Ok(Body(Page { items: rows.into_iter().map(|row| views::session(row, Vec::new())).collect(), next }))
}

pub(super) async fn show(
    State(app): State<Shared>,
    who: Principal,
    At(session): At<String>,
    Params(of): Params<OfAgent>,
) -> Answer<Body<Session>> {
    let row = views::named_session(&app, &who, &session, of.agent).await?;
    let queued = app.runtime.journal().queued(row.id, SHOWN_QUEUE).await?;
    Ok(Body(views::session(row, queued)))
}

pub(super) async fn start(
    State(app): State<Shared>,
    who: Principal,
    At(session): At<String>,
    Params(of): Params<OfAgent>,
    headers: HeaderMap,
    RunJson(request): RunJson<StartInSession>,
) -> Answer<(StatusCode, Body<Started>)> {
    let row = views::named_session(&app, &who, &session, of.agent).await?;
    let request = StartRun {
        agent: match &request.version {
            Some(version) => format!("{}@{version}", row.agent).into(),
            None => row.agent,
        },
        session: Some(row.id),
        input: request.input,
        attachments: request.attachments,
        limits: request.limits,
        ..StartRun::default()
    };
    runs::begin(&app, &who, &headers, request).await
}
