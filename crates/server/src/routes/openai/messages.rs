//! `/anthropic/v1/messages`: the model of a gateway, for clients of Anthropic's API.

use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse as _, Response, sse::Event as Frame},
};
use futures_util::{StreamExt as _, stream};
use serde_json::{Map, Value};
use stead_core::{code, id::RunId};
use stead_models::relay::Answered;

use super::{
    ask, chat,
    follow::{Follow, Heard, replay},
    stream::{Held, numbered, sse},
};
use crate::{
    auth::Principal,
    http::{
        app::{App, Shared},
        body::Json as Bounded,
        failure::{Answer, Failure, Reach},
    },
    openai::{
        asks,
        messages::{self, Event},
        params,
        response::Writer,
        shape,
        telling::{Ending, Told},
    },
};

pub(super) async fn create(
    State(app): State<Shared>,
    who: Principal,
    headers: HeaderMap,
    Bounded(body): Bounded<Map<String, Value>>,
) -> Answer<Response> {
    ask::first(&headers)?;
    params::of_gateway(&body, params::Kind::Messages)?;
    let relayed = asks::messages(&body)?;
    let stream = ask::flag(&body, "stream")?;
    let bound = ask::gateway(&who, &headers, &relayed.model)?.ok_or_else(|| {
        Failure::new(code::FACE_TOKEN, "the token names no gateway whose model it could ask")
            .hint("agents are asked over /openai/v1")
    })?;
    // Who finds no place to wait in has started nothing.
    let held = Held::new(&app)?;
    let started = ask::bounded(&app, ask::relay(&app, &who, &headers, &bound, &relayed)).await?;
    let answer = if stream {
        streamed(&app, held, started.run, relayed.model)
    } else {
        let whole = whole(&app, started.run).await;
        Json(whole.map_err(|e| e.reach(Reach::Run(started.run)))?).into_response()
    };
    Ok(numbered(answer, started.run))
}

async fn whole(app: &App, run: RunId) -> Answer<Value> {
    let slow = || chat::late(run, "it has not ended in time");
    let view = chat::waited(app, run).await?.filter(|view| view.row.state.status.ended()).ok_or_else(slow)?;
    let (telling, writer) = replay(app, &view.row, Writer::new(None, None)).await?;
    match (writer.ending(), &telling.said) {
        (Some(Ending::Completed { .. }), Some(said)) => Ok(messages::whole(run, said, &telling.usage)),
        _ => Err(chat::failed(view)),
    }
}

struct Writing {
    follow: Follow,
    _held: Held,
    model: String,
    over: bool,
}

fn streamed(app: &App, held: Held, run: RunId, model: String) -> Response {
    let follow = Follow::new(app, run, true, false, true);
    let writing = Writing { follow, _held: held, model, over: false };
    let events = stream::unfold(writing, |mut writing| async move {
        if writing.over {
            return None;
        }
        let heard = writing.follow.next().await?;
        let events = writing.write(heard);
        Some((stream::iter(events), writing))
    });
    sse(events.flatten().map(|(kind, data): Event| Frame::default().event(kind).data(data.to_string())))
}

impl Writing {
    fn write(&mut self, heard: Heard) -> Vec<Event> {
        let (run, mut events) = (self.follow.telling.run(), Vec::new());
        let told = match heard {
            Heard::Told(told) => told,
            Heard::Waits(_) => return self.broken(events, chat::late(run, "it waits for a person")),
            Heard::Broken(why) => return self.broken(events, chat::late(run, why)),
        };
        for told in told {
            match told {
                Told::Begun => events.push(messages::begin(run, &self.model)),
                Told::Opened { .. } => events.push(messages::open()),
                Told::Piece(piece) => events.push(messages::piece(&piece)),
                Told::Closed { .. } => events.push(messages::close(0)),
                Told::Asked(_) => {}
                Told::Ended(Ending::Completed { .. }) => {
                    let none = Answered::default();
                    let said = self.follow.telling.said.as_ref().unwrap_or(&none);
                    events.extend(messages::end(said, &self.follow.telling.usage));
                    self.over = true;
                }
                Told::Ended(Ending::Failed { code, why }) => {
                    return self.broken(events, Failure::new(code, format!("{run}: {why}")));
                }
                Told::Ended(Ending::Cancelled) => {
                    return self.broken(events, Failure::new(code::STOPPED, format!("{run} was stopped")));
                }
                Told::Turned => {
                    let why = "the model was asked again and says something else than what was streamed, which does not count";
                    return self.broken(events, Failure::new(code::FACE_TURNED, why));
                }
            }
        }
        events
    }

    fn broken(&mut self, mut events: Vec<Event>, failure: Failure) -> Vec<Event> {
        self.over = true;
        events.push(("error", shape::other_error(failure.problem())));
        events
    }
}
