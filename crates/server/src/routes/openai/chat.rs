//! `/openai/v1/chat/completions`: one message to an agent, and its answer.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response, sse::Event as Frame},
};
use futures_util::{StreamExt as _, stream};
use serde_json::{Map, Value, json};
use stead_api::run::Started;
use stead_core::{budget::Usage, code, id::RunId};
use stead_engine::RunView;
use stead_ports::journal::Status;

use super::{
    ask,
    follow::{Follow, Heard, replay},
    stream::{Held, numbered, sse},
};
use crate::{
    auth::Principal,
    http::{
        app::{App, Shared},
        body::RunJson,
        failure::{Answer, Failure, Reach},
    },
    openai::{
        asks,
        chat::{self, Head},
        ids, params,
        response::Writer,
        shape,
        telling::{Ending, Told},
    },
    routes::runs::MAX_WAIT,
};

pub(super) async fn complete(
    State(app): State<Shared>,
    who: Principal,
    headers: HeaderMap,
    RunJson(body): RunJson<Map<String, Value>>,
) -> Answer<Response> {
    let relayed = ask::relayed(&who, &headers, &body, params::Kind::Chat, asks::chat)?;
    let stream = ask::flag(&body, "stream")?;
    let model = ask::text(&body, "model")?.unwrap_or_default().to_owned();
    let starting = async {
        if let Some((bound, relayed)) = &relayed {
            return ask::relay(&app, &who, &headers, bound, relayed).await;
        }
        let place = ask::of_header(&app, &who, &headers).await?;
        ask::start(&app, &who, &headers, (&body, params::Kind::Chat), place).await
    };
    // Who finds no place to wait in has started nothing.
    let held = Held::new(&app)?;
    let started = ask::bounded(&app, starting).await?;
    let answer = if stream {
        let used = body.get("stream_options").is_some_and(|o| o["include_usage"] == Value::Bool(true));
        streamed(&app, held, started.run, (model, used), relayed.is_some())
    } else {
        let whole = whole(&app, started, model, relayed.is_some()).await;
        Json(whole.map_err(|e| e.reach(Reach::Run(started.run)))?).into_response()
    };
    Ok(numbered(answer, started.run))
}

/// The failure of whoever is let go while a run goes on.
pub(super) fn late(run: RunId, why: &str) -> Failure {
    Failure::new(code::FACE_PATIENCE, format!("{run}: {why}; the run goes on"))
        .hint(format!("retrieve the response {}, or repeat the request with its Idempotency-Key", ids::response(run)))
}

async fn whole(app: &App, started: Started, model: String, relay: bool) -> Answer<Value> {
    let run = started.run;
    let slow = || late(run, &format!("it has not ended within {} s", MAX_WAIT.as_secs()));
    let view = waited(app, run).await?.ok_or_else(slow)?;
    let head = Head { run, model, created: view.row.created.0 / 1_000_000 };
    if !view.row.state.status.ended() {
        if relay {
            let paused = view.row.state.status == Status::Paused;
            return Err(late(run, if paused { "it is paused by an operator" } else { "it waits for a person" }));
        }
        let text = match view.row.state.status {
            Status::Paused => format!(
                "[stead] {run} is paused by an operator. Its answer will be in the response {}.",
                ids::response(run)
            ),
            _ => chat::waiting(run, &ask::questions(view.approvals)),
        };
        return Ok(chat::whole(&head, &text, "stop", &Usage::default()));
    }
    let (telling, writer) = replay(app, &view.row, Writer::new(None, None)).await?;
    match writer.ending() {
        Some(ending @ Ending::Completed { .. }) => {
            let finish = chat::finish(ending, telling.said.as_ref());
            Ok(match &telling.said {
                Some(said) => chat::relayed(&head, said, finish, &telling.usage),
                None => chat::whole(&head, &view.output.unwrap_or_default(), finish, &telling.usage),
            })
        }
        _ => Err(failed(view)),
    }
}

/// Waits until a run has ended or waits for people; `None` when that takes too long.
pub(super) async fn waited(app: &App, run: RunId) -> Answer<Option<RunView>> {
    tokio::select! {
        view = app.runtime.engine().wait(run, true) => Ok(Some(view?)),
        () = tokio::time::sleep(MAX_WAIT) => Ok(None),
        () = app.draining.cancelled() => {
            // What clients repeat by themselves would be another run.
            Err(Failure::new(code::FACE_PATIENCE, format!("the server is shutting down; {run} goes on with the next")))
        }
    }
}

/// The failure of a run. Clients repeat what is answered with 429 or 5xx: nothing that a run began is begun again that way.
pub(super) fn failed(view: RunView) -> Failure {
    let row = view.row;
    let code = match row.state.status {
        Status::Cancelled => code::STOPPED,
        _ => row.state.code.unwrap_or(code::INTERNAL),
    };
    let why = view.error.unwrap_or_else(|| format!("the run was {}", row.state.status));
    let status = match code {
        _ if row.state.effects > 0 => StatusCode::UNPROCESSABLE_ENTITY,
        code::BUDGET | code::PROVIDER_LIMIT | code::MODEL_BUSY => StatusCode::TOO_MANY_REQUESTS,
        code::POLICY | code::DISABLED | code::GRANT | code::DELEGATION => StatusCode::FORBIDDEN,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Failure::new(code, format!("{}: {why}", row.id))
        .status(status)
        .hint(format!("`stead runs why {}` says more", row.id))
}

/// What is written into a stream, one after the other.
struct Writing {
    follow: Follow,
    _held: Held,
    head: Head,
    used: bool,
    /// Whether the run is one of a gateway: its client would take words of the runtime for the model's.
    relay: bool,
    /// Whether a message was written before the one that is open.
    before: bool,
    over: bool,
}

fn streamed(app: &App, held: Held, run: RunId, (model, used): (String, bool), relay: bool) -> Response {
    let follow = Follow::new(app, run, true, false, relay);
    let head = Head { run, model, created: 0 };
    let writing = Writing { follow, _held: held, head, used, relay, before: false, over: false };
    let chunks = stream::unfold(writing, |mut writing| async move {
        if writing.over {
            return None;
        }
        let heard = writing.follow.next().await?;
        let chunks = writing.write(heard);
        Some((stream::iter(chunks), writing))
    });
    sse(chunks.flatten())
}

impl Writing {
    fn write(&mut self, heard: Heard) -> Vec<Frame> {
        let mut chunks = Vec::new();
        let told = match heard {
            Heard::Told(told) => told,
            Heard::Waits(questions) => {
                if self.relay {
                    return self.broken(chunks, late(self.head.run, "it waits for a person"));
                }
                let lead = if self.before { "\n\n" } else { "" };
                let text = format!("{lead}{}", chat::waiting(self.head.run, &questions));
                chunks.push(chat::chunk(&self.head, json!({ "content": text }), None));
                self.end("stop", &mut chunks);
                return frames(chunks, true);
            }
            Heard::Broken(why) => return self.broken(chunks, late(self.head.run, why)),
        };
        for told in told {
            match told {
                Told::Begun => {
                    self.head.created = self.follow.telling.origin.as_ref().map_or(0, |o| o.at.0 / 1_000_000);
                    chunks.push(chat::chunk(&self.head, json!({ "role": "assistant", "content": "" }), None));
                }
                Told::Opened { .. } if self.before => {
                    chunks.push(chat::chunk(&self.head, json!({ "content": "\n\n" }), None));
                }
                Told::Piece(piece) => chunks.push(chat::chunk(&self.head, json!({ "content": piece }), None)),
                Told::Closed { .. } => self.before = true,
                Told::Ended(ending @ Ending::Completed { .. }) => {
                    let said = self.follow.telling.said.as_ref();
                    let finish = chat::finish(&ending, said);
                    if let Some(calls) = said.map(chat::calls).filter(|calls| !calls.is_empty()) {
                        chunks.push(chat::chunk(&self.head, json!({ "tool_calls": calls }), None));
                    }
                    self.end(finish, &mut chunks);
                }
                Told::Ended(Ending::Failed { code, why }) => {
                    let failure = Failure::new(code, format!("{}: {why}", self.head.run));
                    return self.broken(chunks, failure);
                }
                Told::Ended(Ending::Cancelled) => {
                    let failure = Failure::new(code::STOPPED, format!("{} was stopped", self.head.run));
                    return self.broken(chunks, failure);
                }
                Told::Turned => {
                    let detail = "the model was asked again and says something else than what was streamed, which does not count";
                    let response = ids::response(self.head.run);
                    let failure = Failure::new(code::FACE_TURNED, detail)
                        .hint(format!("the run goes on: retrieve the response {response}"));
                    return self.broken(chunks, failure);
                }
                Told::Opened { .. } | Told::Asked(_) => {}
            }
        }
        let over = self.over;
        frames(chunks, over)
    }

    fn end(&mut self, finish: &str, chunks: &mut Vec<Value>) {
        self.over = true;
        chunks.push(chat::chunk(&self.head, json!({}), Some(finish)));
        if self.used {
            chunks.push(chat::used(&self.head, &self.follow.telling.usage));
        }
    }

    /// An error in a stream ends it; clients raise it.
    fn broken(&mut self, mut chunks: Vec<Value>, failure: Failure) -> Vec<Frame> {
        self.over = true;
        chunks.push(shape::error(failure.problem()));
        frames(chunks, false)
    }
}

fn frames(chunks: Vec<Value>, done: bool) -> Vec<Frame> {
    let frame = |chunk: Value| Frame::default().data(chunk.to_string());
    chunks.into_iter().map(frame).chain(done.then(|| Frame::default().data("[DONE]"))).collect()
}
