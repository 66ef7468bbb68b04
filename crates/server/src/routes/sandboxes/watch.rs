//! Changes of a sandbox's files as server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse,
        sse::{Event as Frame, KeepAlive, Sse},
    },
};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use stead_api::sandbox::{FileChange, FileHappened, event};
use stead_core::id::SandboxId;
use stead_sandboxes::{Event, Happened};

use super::files::files;
use crate::{
    auth::Principal,
    http::{
        app::Shared,
        failure::Answer,
        guard,
        input::{At, Params},
    },
};

/// How often an idle stream shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Which folder.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    path: String,
    #[serde(default)]
    recursive: bool,
}

pub(super) async fn watch(
    State(app): State<Shared>,
    who: Principal,
    At(id): At<SandboxId>,
    Params(which): Params<Which>,
) -> Answer<impl IntoResponse> {
    let held = (guard::place(&app)?, app.metrics.follower());
    let sandbox = super::whole::own(&app, &who, id)?;
    let watch = files(&app, &who, id)?.watch(&which.path, which.recursive).await?;
    let first = stream::once(async { Ok::<_, Infallible>(Frame::default().event(event::WATCHING).data("{}")) });
    let changes = stream::unfold((watch, held), |(mut watch, held)| async move {
        watch.next().await.map(|change| (Ok(frame(change)), (watch, held)))
    });
    let draining = app.draining.clone();
    let over = async move {
        tokio::select! {
            () = sandbox.ended() => {}
            () = draining.cancelled() => {}
        }
    };
    let frames = first.chain(changes).take_until(Box::pin(over));
    Ok(Sse::new(frames).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn frame(change: Event) -> Frame {
    let what = match change.what {
        Happened::Created => FileHappened::Created,
        Happened::Written => FileHappened::Written,
        Happened::Removed => FileHappened::Removed,
        Happened::MovedFrom => FileHappened::MovedFrom,
        Happened::MovedTo => FileHappened::MovedTo,
        Happened::Lost => FileHappened::Lost,
    };
    let told = FileChange { what, path: change.path, folder: change.folder };
    // JSON has no line breaks of its own, which is what an event's data needs.
    Frame::default().event(event::CHANGE).data(serde_json::to_string(&told).unwrap_or_else(|_| "null".into()))
}
