//! The output of a command: what there is now, or followed to its end. The body is pulled: nothing is read before the connection takes
//! it, and what is lost meanwhile is told.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json as Body,
    extract::State,
    http::{HeaderMap, header},
    response::{
        IntoResponse as _, Response,
        sse::{Event as Frame, KeepAlive, Sse},
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use stead_api::sandbox::{ExecOutput, OutputChunk, OutputExit, OutputLost, OutputSource, event};
use stead_core::id::SandboxId;
use stead_sandboxes::{Chunk, Exec, Gap, Page, Ran, Source};

use super::commands::{command, ended};
use crate::{
    auth::Principal,
    http::{
        app::Shared,
        failure::{Answer, Failure},
        guard,
        input::{At, Params},
    },
};

/// Bytes of one answer, and of what is read ahead for a follower.
const PAGE: usize = 256 << 10;
/// How often an idle stream shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where to begin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    #[serde(default)]
    after: u64,
}

pub(super) async fn read(
    State(app): State<Shared>,
    who: Principal,
    At(at): At<(SandboxId, u32)>,
    Params(from): Params<From>,
    headers: HeaderMap,
) -> Answer<Response> {
    let exec = command(&app, &who, at)?;
    let streamed = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    if !streamed.is_some_and(|accept| accept.contains("text/event-stream")) {
        return Ok(Body(told(&exec.log.read(from.after, PAGE), from.after)).into_response());
    }
    let after = match headers.get("last-event-id").and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty()) {
        Some(id) => id.parse().map_err(|_| Failure::bad_request("`Last-Event-ID` is no number of an event"))?,
        None => from.after,
    };
    let held = (guard::place(&app)?, app.metrics.follower());
    let draining = app.draining.clone().cancelled_owned();
    let follow = Following { exec, after, ready: VecDeque::new(), over: false };
    let frames = stream::unfold((follow, held), |(mut follow, held)| async move {
        follow.next().await.map(|frame| (Ok::<_, Infallible>(frame), (follow, held)))
    });
    let frames = futures_util::StreamExt::take_until(frames, draining);
    Ok(Sse::new(frames).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

struct Following {
    exec: Arc<Exec>,
    after: u64,
    ready: VecDeque<Frame>,
    over: bool,
}

impl Following {
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            if self.over {
                return None;
            }
            let page = self.exec.log.read(self.after, PAGE);
            if page.is_empty() {
                // Past the end: a number that never was, or the last one.
                if self.exec.ended().is_some() {
                    return None;
                }
                self.exec.log.wait(self.after).await;
                continue;
            }
            self.take(&page);
        }
    }

    fn take(&mut self, page: &Page) {
        if let Some(gap) = page.gap {
            self.after = gap.to;
            self.ready.push_back(frame(event::LOST, gap.to, &lost(gap)));
        }
        for one in &page.chunks {
            self.after = one.seq;
            self.ready.push_back(frame(event::OUTPUT, one.seq, &chunk(one)));
        }
        if let Some((seq, ran)) = page.end {
            (self.after, self.over) = (seq, true);
            self.ready.push_back(frame(event::EXIT, seq, &exit(seq, ran)));
        }
    }
}

fn frame(event: &str, id: u64, data: &impl Serialize) -> Frame {
    // JSON has no line breaks of its own, which is what an event's data needs.
    let data = serde_json::to_string(data).unwrap_or_else(|_| "null".into());
    Frame::default().event(event).id(id.to_string()).data(data)
}

fn told(page: &Page, after: u64) -> ExecOutput {
    let last = page.chunks.last().map(|c| c.seq).or(page.gap.map(|g| g.to));
    ExecOutput {
        lost: page.gap.map(lost),
        chunks: page.chunks.iter().map(chunk).collect(),
        exit: page.end.map(|(seq, ran)| exit(seq, ran)),
        next: page.end.map(|(seq, _)| seq).or(last).unwrap_or(after),
    }
}

fn lost(gap: Gap) -> OutputLost {
    OutputLost { from: gap.from, to: gap.to }
}

fn chunk(chunk: &Chunk) -> OutputChunk {
    let source = match chunk.source {
        Source::Stdout => OutputSource::Stdout,
        Source::Stderr => OutputSource::Stderr,
        Source::Terminal => OutputSource::Terminal,
    };
    OutputChunk { seq: chunk.seq, source, data: STANDARD.encode(&chunk.bytes) }
}

fn exit(seq: u64, ran: Ran) -> OutputExit {
    OutputExit { seq, end: ended(ran) }
}
