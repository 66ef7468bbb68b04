//! `/v1/runs/{run}/stream`: a run as server-sent events.
//!
//! The body is pulled: nothing is read from the engine until the connection takes it, and the engine tells a follower that
//! fell behind to start over (`reset`). A connection that takes nothing for too long is cut off by the listener.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse,
        sse::{Event as Frame, KeepAlive, Sse},
    },
};
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use stead_api::stream::{StreamDelta, event};
use stead_core::id::RunId;
use stead_engine::{EngineError, Event, EventBody, EventId};
use stead_ports::model::Delta;

use super::views;
use crate::{
    auth::Principal,
    http::{
        app::Shared,
        failure::{Answer, Failure},
        guard,
        input::{At, Params},
    },
};

/// How often an idle stream shows that it is alive. Shorter than what proxies commonly allow.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where to begin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    after: Option<String>,
}

pub(super) async fn follow(
    State(app): State<Shared>,
    who: Principal,
    At(run): At<RunId>,
    Params(from): Params<From>,
    headers: HeaderMap,
) -> Answer<impl IntoResponse> {
    let after = after(&headers, from.after.as_deref())?;
    guard::bounded(&app, views::own_run(&app, &who, run)).await??;
    let held = (guard::place(&app)?, app.metrics.follower());
    let events = app.runtime.engine().watch(run, after);
    let draining = app.draining.clone();
    let frames = events.take_until(draining.cancelled_owned()).scan(false, move |over, event| {
        // The place is given back with the stream.
        let _held = &held;
        let frame = (!*over).then(|| {
            *over = !matches!(&event, Ok(e) if !matches!(e.body, EventBody::End));
            Ok::<_, Infallible>(frame(event))
        });
        std::future::ready(frame)
    });
    Ok(Sse::new(frames).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn after(headers: &HeaderMap, query: Option<&str>) -> Answer<Option<EventId>> {
    let header = headers.get("last-event-id").and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty());
    match header.or(query) {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|()| {
            let short: String = text.chars().take(40).collect();
            Failure::bad_request(format!("`{short}` is not an event id")).hint("pass an `id` of this stream")
        }),
    }
}

fn frame(event: Result<Event, EngineError>) -> Frame {
    let event = match event {
        Ok(event) => event,
        Err(e) => {
            // A follower reconnects after a comment and a closed stream; the reason is for people who look.
            tracing::warn!("a stream broke off: {e}");
            return Frame::default().comment(format!("{} {}", e.code(), first_line(&e.to_string())));
        }
    };
    let id = Frame::default().id(event.id.to_string());
    match event.body {
        EventBody::Fact(fact) => with(id.event(event::FACT), &views::fact(&fact)),
        EventBody::Delta(delta) => with(id.event(event::DELTA), &told(delta)),
        EventBody::Reset => id.event(event::RESET).data("{}"),
        EventBody::End => id.event(event::END).data("{}"),
    }
}

fn with(frame: Frame, data: &impl Serialize) -> Frame {
    // JSON has no line breaks of its own, which is what an event's data needs.
    frame.data(serde_json::to_string(data).unwrap_or_else(|_| "null".into()))
}

fn told(delta: Delta) -> StreamDelta {
    match delta {
        Delta::Text(text) => StreamDelta::Text { text },
        Delta::Call { index, name, arguments } => StreamDelta::Call { index, name, arguments },
    }
}

fn first_line(text: &str) -> String {
    text.chars().take_while(|c| *c != '\n' && *c != '\r').collect()
}
