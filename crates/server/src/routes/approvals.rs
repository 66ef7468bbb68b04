//! `/v1/approvals`: questions to humans, and their answers.

use axum::{Json as Body, extract::State};
use serde::Deserialize;
use stead_api::{
    approval::{Answer as Said, Approval},
    page::Page,
    run::Run,
};
use stead_core::id::{EffectId, Name, RunId};
use stead_ports::journal::ApprovalFilter;

use super::views;
use crate::{
    auth::Principal,
    http::{
        app::{App, Shared},
        body::MaybeJson,
        failure::{Answer, Failure},
        input::{At, Params, cursor, limit, position},
    },
};

/// Longest note, in bytes.
const MAX_NOTE: usize = 4_096;

/// Which approvals to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    agent: Option<Name>,
    session: Option<String>,
    run: Option<RunId>,
    cursor: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn list(
    State(app): State<Shared>,
    who: Principal,
    Params(filter): Params<Filter>,
) -> Answer<Body<Page<Approval>>> {
    let agent = views::agent_filter(filter.agent)?;
    let session = views::session_filter(&app, &who, filter.session.as_deref(), agent.as_ref()).await?;
    let filter = ApprovalFilter {
        tenant: who.tenant,
        agent,
        session,
        run: filter.run,
        before: position('a', filter.cursor.as_deref())?,
        limit: limit(filter.limit)?,
    };
    let page = app.runtime.engine().approvals(&filter).await?;
    let next = page.next.map(|row| cursor('a', &row));
    Ok(Body(Page { items: page.items.into_iter().map(views::approval).collect(), next }))
}

pub(super) async fn show(
    State(app): State<Shared>,
    who: Principal,
    At(effect): At<EffectId>,
) -> Answer<Body<Approval>> {
    own(&app, &who, effect).await.map(Body)
}

async fn own(app: &App, who: &Principal, effect: EffectId) -> Answer<Approval> {
    of_own_run(app, who, effect).await?;
    let view = app.runtime.engine().view(effect.run).await?;
    let open = view.approvals.into_iter().find(|a| a.effect == effect);
    open.map(views::approval).ok_or_else(|| none(effect))
}

/// Whether the effect belongs to a run of the caller's: if not, it is told like an approval that does not exist.
async fn of_own_run(app: &App, who: &Principal, effect: EffectId) -> Answer<()> {
    let hidden = |failure: Failure| if failure.is_not_found() { none(effect) } else { failure };
    views::own_run(app, who, effect.run).await.map(drop).map_err(hidden)
}

fn none(effect: EffectId) -> Failure {
    Failure::not_found(format_args!("an open approval {effect}"))
        .hint("it may be answered or expired; see the run's facts")
}

pub(super) async fn approve(
    State(app): State<Shared>,
    who: Principal,
    At(effect): At<EffectId>,
    MaybeJson(said): MaybeJson<Said>,
) -> Answer<Body<Run>> {
    answer(&app, who, effect, true, said).await
}

pub(super) async fn deny(
    State(app): State<Shared>,
    who: Principal,
    At(effect): At<EffectId>,
    MaybeJson(said): MaybeJson<Said>,
) -> Answer<Body<Run>> {
    answer(&app, who, effect, false, said).await
}

async fn answer(app: &App, who: Principal, effect: EffectId, approved: bool, said: Said) -> Answer<Body<Run>> {
    if said.note.as_ref().is_some_and(|n| n.len() > MAX_NOTE) {
        return Err(Failure::bad_request(format!("a note has at most {MAX_NOTE} bytes")));
    }
    of_own_run(app, &who, effect).await?;
    app.runtime.engine().approve(effect, approved, who.person(), said.note).await?;
    Ok(Body(views::run(app.runtime.engine().view(effect.run).await?)))
}
