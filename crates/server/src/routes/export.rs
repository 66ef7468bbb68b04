//! `/v1/runs/{run}/export`: a run and all its facts as JSON Lines, read from the journal as fast as the caller takes it.

use axum::{body::Body, extract::State, http::header, response::IntoResponse};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use stead_api::run::ExportHeader;
use stead_core::id::RunId;

use super::{facts, views};
use crate::{
    auth::Principal,
    http::{
        app::Shared,
        failure::{Answer, Failure},
        guard,
        input::At,
    },
};

/// Records read at once.
const BATCH: u32 = 128;

pub(super) async fn export(State(app): State<Shared>, who: Principal, At(run): At<RunId>) -> Answer<impl IntoResponse> {
    let place = guard::place(&app)?;
    views::own_run(&app, &who, run).await?;
    let run_now = views::run(app.runtime.engine().view(run).await?);
    let mut first = Vec::new();
    line(&mut first, &ExportHeader { stead_export: 1, run: run_now })?;
    let rest = stream::try_unfold((Some(0), app, place), move |(from, app, place)| async move {
        let Some(from) = from else { return Ok::<_, Failure>(None) };
        let (events, next) = facts::read(&app, run, from, BATCH).await?;
        let mut lines = Vec::new();
        for event in &events {
            line(&mut lines, event)?;
        }
        Ok(Some((Bytes::from(lines), (next, app, place))))
    });
    // A body that has begun cannot become a problem document any more: it breaks off, which the caller can see.
    let rest = rest.map_err(|failure| std::io::Error::other(format!("{failure:?}")));
    let body = Body::from_stream(stream::once(async { Ok(Bytes::from(first)) }).chain(rest));
    let name = format!("attachment; filename=\"{run}.jsonl\"");
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson".to_owned()), (header::CONTENT_DISPOSITION, name)], body))
}

fn line(out: &mut Vec<u8>, value: &impl Serialize) -> Answer<()> {
    serde_json::to_writer(&mut *out, value)
        .map_err(|e| Failure::new(stead_core::code::INTERNAL, format!("a fact cannot be told as JSON: {e}")))?;
    out.push(b'\n');
    Ok(())
}
