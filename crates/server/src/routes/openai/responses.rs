//! `/openai/v1/responses`: runs as responses, in the foreground and in the background.

use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use stead_core::{
    code,
    fact::StopMode,
    id::{Name, RunId},
};
use stead_policy::Edge;
use stead_ports::journal::Status;

use super::{
    super::{runs, views},
    ask::{self, Place},
    chat,
    follow::{relays, replay},
    stream::{Held, How, events, numbered},
};
use crate::{
    auth::Principal,
    http::{
        app::{App, Shared},
        body::RunJson,
        failure::{Answer, Failure, Reach},
        guard,
        input::{At, Params},
        operate,
    },
    openai::{
        asks, ids, params,
        response::{self, Writer},
        telling::Ending,
    },
};

pub(super) async fn create(
    State(app): State<Shared>,
    who: Principal,
    headers: HeaderMap,
    RunJson(body): RunJson<Map<String, Value>>,
) -> Answer<Response> {
    let relayed = ask::relayed(&who, &headers, &body, params::Kind::Responses, asks::responses)?;
    let (stream, background) = (ask::flag(&body, "stream")?, ask::flag(&body, "background")?);
    // Who finds no place to wait in has started nothing.
    let held = if stream || !background { Some(Held::new(&app)?) } else { None };
    let starting = async {
        if let Some((bound, relayed)) = &relayed {
            return Ok((ask::relay(&app, &who, &headers, bound, relayed).await?.run, None));
        }
        let (place, conversation) = place(&app, &who, &headers, &body).await?;
        let started = ask::start(&app, &who, &headers, (&body, params::Kind::Responses), place).await?;
        Ok::<_, Failure>((started.run, conversation))
    };
    let (run, conversation) = ask::bounded(&app, starting).await?;
    let of = |failure: Failure| failure.reach(Reach::Run(run));
    let conversation = match conversation {
        Some(conversation) => conversation,
        None => named(&app, &who, run).await.map_err(of)?,
    };
    let (writer, relay) = (Writer::new(Some(conversation), Some(background)), relayed.is_some());
    let answer = match held {
        // What is streamed of work in the background is durable: whoever comes back after a crash finds the next event.
        Some(held) if stream => {
            events(&app, held, run, writer, How { live: !background, patient: background, relay, after: None })
        }
        Some(_held) => foreground(&app, &who, run, writer).await.map_err(of)?,
        None => Json(standing(&app, &who, run, writer).await.map_err(of)?).into_response(),
    };
    Ok(numbered(answer, run))
}

async fn foreground(app: &App, who: &Principal, run: RunId, writer: Writer) -> Answer<Response> {
    let view = chat::waited(app, run).await?;
    let (telling, writer) = replay(app, &views::own_run(app, who, run).await?, writer).await?;
    let refused = matches!(writer.ending(), Some(Ending::Failed { code, .. }) if matches!(*code, code::BUDGET | code::POLICY | code::PROVIDER_LIMIT));
    match view {
        // Nothing came of it, and official clients have errors for that.
        Some(view) if refused && view.row.state.effects == 0 => Err(chat::failed(view)),
        _ => Ok(Json(writer.response(&telling)).into_response()),
    }
}

/// The session of a request, and the name of its conversation where the request says it.
async fn place(
    app: &App,
    who: &Principal,
    headers: &HeaderMap,
    body: &Map<String, Value>,
) -> Answer<(Place, Option<String>)> {
    let conversation = match body.get("conversation") {
        None | Some(Value::Null) => None,
        Some(Value::String(id)) => Some(id.as_str()),
        Some(Value::Object(of)) if of.len() == 1 && of.get("id").is_some_and(Value::is_string) => of["id"].as_str(),
        Some(_) => return Err(Failure::bad_request("`conversation` is an id").about("conversation")),
    };
    match (ask::text(body, "previous_response_id")?, conversation) {
        (Some(_), Some(_)) => {
            let detail = "`previous_response_id` and `conversation` exclude each other";
            Err(Failure::bad_request(detail).about("previous_response_id"))
        }
        (Some(previous), None) => Ok((ask::after(app, who, headers, previous).await?, None)),
        (None, Some(id)) => Ok((ask::of_conversation(app, who, id).await?, Some(id.to_owned()))),
        (None, None) => Ok((ask::of_header(app, who, headers).await?, None)),
    }
}

/// The name of a run's conversation.
async fn named(app: &App, who: &Principal, run: RunId) -> Answer<String> {
    let row = views::own_run(app, who, run).await?;
    Ok(ids::conversation(row.session, row.session_key.as_ref()))
}

/// The response as it stands.
async fn standing(app: &App, who: &Principal, run: RunId, mut writer: Writer) -> Answer<Value> {
    let row = views::own_run(app, who, run).await?;
    writer.queued(row.state.status == Status::Queued);
    let (telling, writer) = replay(app, &row, writer).await?;
    Ok(writer.response(&telling))
}

/// What of a response is wanted.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    stream: bool,
    starting_after: Option<u64>,
}

pub(super) async fn retrieve(
    State(app): State<Shared>,
    who: Principal,
    At(name): At<String>,
    Params(wanted): Params<Wanted>,
) -> Answer<Response> {
    let finding = async {
        let run = ask::response(&app, &who, &name).await?;
        let row = views::own_run(&app, &who, run).await?;
        let conversation = ids::conversation(row.session, row.session_key.as_ref());
        Ok::<_, Failure>((run, conversation, relays(&app, &row).await))
    };
    let (run, conversation, relay) = guard::bounded(&app, finding).await??;
    let writer = Writer::new(Some(conversation), None);
    let answer = if wanted.stream {
        let how = How { live: false, patient: true, relay, after: wanted.starting_after };
        events(&app, Held::new(&app)?, run, writer, how)
    } else {
        Json(guard::bounded(&app, standing(&app, &who, run, writer)).await??).into_response()
    };
    Ok(numbered(answer, run))
}

pub(super) async fn cancel(State(app): State<Shared>, who: Principal, At(name): At<String>) -> Answer<Json<Value>> {
    let run = ask::response(&app, &who, &name).await.map_err(Failure::unacknowledged)?;
    operate::run(&app, &who, Edge::ControlRun, run).await.map_err(Failure::unacknowledged)?;
    // What is over stays as it ended.
    if !views::own_run(&app, &who, run).await?.state.status.ended() {
        match runs::stop(&app, &who, run, StopMode::Cancel).await {
            Err(e) if !e.is_conflict() => return Err(e),
            _ => {}
        }
    }
    let writer = Writer::new(Some(named(&app, &who, run).await?), None);
    Ok(Json(standing(&app, &who, run, writer).await?))
}

pub(super) async fn delete(State(app): State<Shared>, who: Principal, At(name): At<String>) -> Answer<Json<Value>> {
    ask::response(&app, &who, &name).await?;
    Err(kept("a response is a run, and runs are kept"))
}

/// The failure of whoever wants something deleted or changed that is on record.
pub(super) fn kept(why: &str) -> Failure {
    Failure::new(code::FACE_KEPT, why).hint("the texts of a person can be erased: docs/erasure.md")
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    pub(super) limit: Option<u32>,
    pub(super) order: Option<Name>,
    pub(super) after: Option<String>,
    #[serde(rename = "include")]
    _include: Option<String>,
    #[serde(rename = "include[]")]
    _includes: Option<String>,
}

pub(super) async fn input_items(
    State(app): State<Shared>,
    who: Principal,
    At(name): At<String>,
    Params(_listed): Params<Listed>,
) -> Answer<Json<Value>> {
    let run = ask::response(&app, &who, &name).await?;
    let row = views::own_run(&app, &who, run).await?;
    let (telling, _) = replay(&app, &row, Writer::new(None, None)).await?;
    Ok(Json(list(response::input(&telling).into_iter().collect(), false)))
}

/// A list as this API has it.
pub(super) fn list(items: Vec<Value>, more: bool) -> Value {
    let id = |item: Option<&Value>| item.map_or(Value::Null, |item| item["id"].clone());
    json!({
        "object": "list",
        "first_id": id(items.first()),
        "last_id": id(items.last()),
        "has_more": more,
        "data": items,
    })
}
