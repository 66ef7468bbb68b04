//! `/openai/v1/conversations`: sessions as conversations. What was said in one is what its runs were asked and answered; nobody writes
//! into it.

use axum::{Json, extract::State};
use serde_json::{Map, Value, json};
use stead_ports::{clock::Clock as _, journal::RunFilter};

use super::{
    ask,
    follow::replay,
    responses::{Listed, kept, list},
};
use crate::{
    auth::Principal,
    clock::SystemClock,
    http::{
        app::{App, Shared},
        body::MaybeJson,
        failure::{Answer, Failure},
        input::{At, Params},
    },
    openai::{
        ids, params,
        response::{self, Writer},
    },
};

/// Runs of a conversation whose items are listed.
const MAX_RUNS: u32 = 100;
/// Items of a page when nobody says how many.
const USUAL: u32 = 20;
/// Items of a page.
const MOST: u32 = 100;

type Object = Map<String, Value>;

/// Refuses what is not kept of a conversation.
fn nothing_kept(body: &Object) -> Answer<()> {
    let empty = |v: &Value| match v {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    match body.iter().find(|(_, value)| !empty(value)) {
        Some((name, _)) => {
            Err(params::refused(name, "a conversation is what its runs say, and nothing is kept beside"))
        }
        None => Ok(()),
    }
}

/// It has no row, and no agent, until somebody speaks in it.
pub(super) async fn create(
    State(app): State<Shared>,
    who: Principal,
    MaybeJson(body): MaybeJson<Object>,
) -> Answer<Json<Value>> {
    nothing_kept(&body)?;
    let id = ids::fresh(&**app.runtime.journal(), &who.tenant, SystemClock.new_ulid());
    let made = ids::made(&**app.runtime.journal(), &who.tenant, &id).unwrap_or_default();
    Ok(Json(told(&id, made / 1_000, None)))
}

fn told(id: &str, created: u64, agent: Option<&str>) -> Value {
    json!({ "id": id, "object": "conversation", "created_at": created, "metadata": {}, "stead": { "agent": agent } })
}

pub(super) async fn retrieve(State(app): State<Shared>, who: Principal, At(id): At<String>) -> Answer<Json<Value>> {
    found(&app, &who, &id).await.map(Json)
}

async fn found(app: &App, who: &Principal, id: &str) -> Answer<Value> {
    if let Some(row) = ask::session(app, who, id).await? {
        let created = u64::try_from(row.created.0 / 1_000_000).unwrap_or_default();
        return Ok(told(&ids::of_session(&row), created, Some(&row.agent)));
    }
    match ids::made(&**app.runtime.journal(), &who.tenant, id) {
        Some(made) => Ok(told(id, made / 1_000, None)),
        None => Err(ask::no_conversation(id)),
    }
}

pub(super) async fn update(
    State(app): State<Shared>,
    who: Principal,
    At(id): At<String>,
    MaybeJson(body): MaybeJson<Object>,
) -> Answer<Json<Value>> {
    let found = found(&app, &who, &id).await?;
    nothing_kept(&body)?;
    Ok(Json(found))
}

pub(super) async fn delete(State(app): State<Shared>, who: Principal, At(id): At<String>) -> Answer<Json<Value>> {
    found(&app, &who, &id).await?;
    Err(kept("a conversation is a session, and sessions are kept"))
}

pub(super) async fn add(State(app): State<Shared>, who: Principal, At(id): At<String>) -> Answer<Json<Value>> {
    found(&app, &who, &id).await?;
    Err(kept("nobody writes into a conversation but its runs")
        .hint("create a response in it: its input is the next item"))
}

pub(super) async fn remove(
    State(app): State<Shared>,
    who: Principal,
    At((id, _)): At<(String, String)>,
) -> Answer<Json<Value>> {
    found(&app, &who, &id).await?;
    Err(kept("an item is part of a run, and runs are kept"))
}

pub(super) async fn item(
    State(app): State<Shared>,
    who: Principal,
    At((id, name)): At<(String, String)>,
) -> Answer<Json<Value>> {
    let found = all(&app, &who, &id).await?.into_iter().find(|item| item["id"] == name.as_str());
    found.map(Json).ok_or_else(|| {
        let short: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
        Failure::not_found(format_args!("the item `{short}`"))
    })
}

pub(super) async fn items(
    State(app): State<Shared>,
    who: Principal,
    At(id): At<String>,
    Params(listed): Params<Listed>,
) -> Answer<Json<Value>> {
    let limit = match listed.limit.unwrap_or(USUAL) {
        n @ 1..=MOST => n as usize,
        n => return Err(Failure::bad_request(format!("`limit` must be 1 to {MOST}, not {n}")).about("limit")),
    };
    let mut items = all(&app, &who, &id).await?;
    match listed.order.as_deref() {
        Some("asc") => {}
        None | Some("desc") => items.reverse(),
        Some(_) => return Err(Failure::bad_request("`order` is asc or desc").about("order")),
    }
    if let Some(after) = &listed.after {
        let at = items.iter().position(|item| item["id"] == after.as_str());
        let at = at.ok_or_else(|| Failure::bad_request("`after` is no item of this conversation").about("after"))?;
        items.drain(..=at);
    }
    let more = items.len() > limit;
    items.truncate(limit);
    Ok(Json(list(items, more)))
}

/// The items of a conversation's last runs, the oldest first.
async fn all(app: &App, who: &Principal, id: &str) -> Answer<Vec<Value>> {
    let Some(row) = ask::session(app, who, id).await? else {
        found(app, who, id).await?;
        return Ok(Vec::new());
    };
    let filter =
        RunFilter { tenant: who.tenant.clone(), session: Some(row.id), limit: MAX_RUNS, ..RunFilter::default() };
    let mut items = Vec::new();
    for run in app.runtime.journal().runs(&filter).await?.into_iter().rev() {
        let (telling, writer) = replay(app, &run, Writer::new(None, None)).await?;
        items.extend(response::input(&telling));
        items.extend_from_slice(writer.output());
    }
    Ok(items)
}
