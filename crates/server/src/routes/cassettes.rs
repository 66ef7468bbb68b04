//! `/v1/runs/{run}/cassette`: the exchanges of a run with its models.

use axum::{extract::State, http::header, response::IntoResponse};
use stead_core::{code, id::RunId};

use super::views;
use crate::{
    auth::Principal,
    cassettes::of_journal,
    http::{
        app::Shared,
        failure::{Answer, Failure},
        guard,
        input::At,
    },
};

pub(super) async fn show(State(app): State<Shared>, who: Principal, At(run): At<RunId>) -> Answer<impl IntoResponse> {
    let _place = guard::place(&app)?;
    let row = views::own_run(&app, &who, run).await?;
    let unread = |e: std::io::Error| Failure::new(code::DATA_READONLY, format!("the cassette cannot be read: {e}"));
    let text = match app.runtime.cassettes().read(run).await.map_err(unread)? {
        Some(recorded) => recorded,
        None => {
            // A version that cannot be loaded any more leaves open what was asked, not what was answered.
            let agent = app.runtime.load(&who.tenant, row.version).await.ok();
            of_journal(app.runtime.engine(), run, agent.as_deref()).await?.text()
        }
    };
    let name = format!("attachment; filename=\"{run}.cassette\"");
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson".to_owned()), (header::CONTENT_DISPOSITION, name)], text))
}
