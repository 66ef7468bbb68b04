//! Streams of server-sent events of this face, and what every answer about a run carries.

use std::{convert::Infallible, time::Duration};

use axum::{
    http::HeaderValue,
    response::{
        IntoResponse as _, Response,
        sse::{Event as Frame, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt as _, stream};
use stead_core::id::RunId;
use tokio::sync::OwnedSemaphorePermit;

use super::follow::{Follow, Heard};
use crate::{
    http::{
        app::{App, Shared},
        failure::Answer,
        guard,
        metrics::Counted,
    },
    openai::{
        response::{Event, Writer},
        shape,
    },
};

/// How often an idle stream shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A place among the followers, the same that those of `/v1` have.
pub(super) struct Held {
    _place: OwnedSemaphorePermit,
    _counted: Counted,
}

impl Held {
    /// Takes one.
    ///
    /// # Errors
    /// `ST0205` when there is none.
    pub(super) fn new(app: &Shared) -> Answer<Self> {
        Ok(Self { _place: guard::place(app)?, _counted: app.metrics.follower() })
    }
}

/// The answer that is a stream.
pub(super) fn sse(frames: impl Stream<Item = Frame> + Send + 'static) -> Response {
    Sse::new(frames.map(Ok::<_, Infallible>)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// The same answer with the name of its run.
pub(super) fn numbered(mut answer: Response, run: RunId) -> Response {
    if let Ok(value) = HeaderValue::from_str(&run.to_string()) {
        answer.headers_mut().insert(shape::RUN, value);
    }
    answer
}

/// How the stream of a response is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    /// Texts are told while they are written, and not only when they are durable.
    pub(super) live: bool,
    /// It stays while people are asked.
    pub(super) patient: bool,
    /// The run is one of a gateway.
    pub(super) relay: bool,
    /// Only events after this number.
    pub(super) after: Option<u64>,
}

struct Writing {
    follow: Follow,
    writer: Writer,
    _held: Held,
}

/// The stream of a response.
pub(super) fn events(app: &App, held: Held, run: RunId, writer: Writer, how: How) -> Response {
    let follow = Follow::new(app, run, how.live, how.patient, how.relay);
    let writing = Writing { follow, writer, _held: held };
    let events = stream::unfold(writing, |mut w| async move {
        let mut events = Vec::new();
        match w.follow.next().await? {
            Heard::Told(told) => {
                for told in told {
                    w.writer.write(&w.follow.telling, told, &mut events);
                }
            }
            Heard::Waits(_) => w.writer.waits(&w.follow.telling, &mut events),
            Heard::Broken(why) => w.writer.broken(&w.follow.telling, why, &mut events),
        }
        Some((stream::iter(events), w))
    });
    let fresh = move |event: &Event| std::future::ready(how.after.is_none_or(|after| event.number > after));
    let frame = |event: Event| Frame::default().event(event.kind).data(event.data.to_string());
    sse(events.flatten().filter(fresh).map(frame))
}
