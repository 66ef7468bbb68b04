//! From a request of the face to a run: which agent, in which session, with what input.

use axum::http::{HeaderMap, HeaderName};
use serde_json::{Map, Value};
use stead_api::run::{StartRun, Started};
use stead_core::{
    code,
    id::{Name, RunId, SessionId},
};
use stead_engine::ApprovalView;
use stead_models::relay::{Relayed, is_meant};
use stead_ports::journal::{RunFilter, SessionRow};

use super::super::{agents::meant, runs, views};
use crate::{
    auth::{Bound, Principal},
    http::{
        app::App,
        failure::{Answer, Failure, Reach},
        guard,
        input::{idempotency_key, only},
    },
    openai::{ids, params, said, shape, telling::Question},
};

/// The session that a request without words for it names: an id, a conversation, or a key.
const SESSION: HeaderName = HeaderName::from_static("x-stead-session");

/// The gateway whose model a request without words for it asks, for tokens that are not for one alone.
const AGENT: HeaderName = HeaderName::from_static("x-stead-agent");

/// The gateway that a request is for: that of its token, or the one that a header names. An agent has no `:` in its name, as a provider's
/// model has.
///
/// # Errors
/// `ST0417` for a provider's model without a gateway.
pub(super) fn gateway(who: &Principal, headers: &HeaderMap, model: &str) -> Answer<Option<Bound>> {
    if who.bound.is_some() {
        return Ok(who.bound.clone());
    }
    let word = |name: &HeaderName| -> Answer<Option<Name>> {
        let text = only(headers, name)?.map(|value| value.to_str().map(Name::from));
        text.transpose().map_err(|_| Failure::bad_request(format!("`{name}` must be visible ASCII")))
    };
    match (word(&AGENT)?, word(&SESSION)?) {
        (Some(agent), Some(session)) => Ok(Some(Bound { agent, session })),
        (Some(_), None) => Err(Failure::bad_request("`x-stead-agent` goes with `x-stead-session`: a key")),
        (None, _) if model.contains(':') => {
            Err(Failure::new(code::FACE_TOKEN, "the token names no gateway whose model it could ask")
                .hint("a model of a provider is asked with a token for a gateway: docs/openai.md")
                .about("model"))
        }
        (None, _) => Ok(None),
    }
}

/// What is asked of a gateway and which, or nothing when an agent is asked; `read` takes a gateway's request apart.
///
/// # Errors
/// As [`first`] and [`gateway`]; `ST0410` for a parameter that is not taken there.
pub(super) fn relayed(
    who: &Principal,
    headers: &HeaderMap,
    body: &Map<String, Value>,
    kind: params::Kind,
    read: fn(&Map<String, Value>) -> Answer<Relayed>,
) -> Answer<Option<(Bound, Relayed)>> {
    first(headers)?;
    match gateway(who, headers, text(body, "model")?.unwrap_or_default())? {
        Some(bound) => {
            params::of_gateway(body, kind)?;
            Ok(Some((bound, read(body)?)))
        }
        None => params::of_agent(body, kind).map(|()| None),
    }
}

/// Starts the run that asks the model of a gateway.
pub(super) async fn relay(
    app: &App,
    who: &Principal,
    headers: &HeaderMap,
    bound: &Bound,
    relayed: &Relayed,
) -> Answer<Started> {
    let row = meant(app, who, &bound.agent).await?;
    let agent = app.runtime.load(&row.tenant, row.version).await?;
    if !agent.relays {
        return Err(Failure::new(code::FACE_TOKEN, format!("`{}` is no gateway", row.agent))
            .hint("its agent.yaml would say `gateway: true`"));
    }
    let own = agent.models.first().map(|model| model.name().clone()).unwrap_or_else(|| "".into());
    if !is_meant(&relayed.model, &own) {
        let asked: String = relayed.model.chars().filter(|c| !c.is_control()).take(80).collect();
        return Err(Failure::new(
            code::FACE_MODEL,
            format!("`{asked}` is not the model of the gateway `{}`", row.agent),
        )
        .hint(format!("its model is `{own}`"))
        .about("model"));
    }
    let input = serde_json::to_string(relayed).map_err(|e| Failure::bad_request(e.to_string()))?;
    let (agent, session_key) = (bound.agent.clone(), Some(bound.session.clone()));
    let request = StartRun { agent, session_key, input, ..StartRun::default() };
    // Roles are the client's claims: nobody here has heard who said what.
    let label = Some(stead_engine::untrusted());
    let (_, started) = Box::pin(runs::begin_labelled(app, who, headers, request, label)).await?;
    Ok(started.0)
}

/// Refuses what a client repeats by itself, without the key by which it would be known again: the try before may have begun a run, and this
/// one would begin another. Official clients count their tries in a header.
///
/// # Errors
/// `ST0201` for such a request.
pub(super) fn first(headers: &HeaderMap) -> Answer<()> {
    let first = only(headers, &shape::RETRY_COUNT)?.is_none_or(|count| count.as_bytes() == b"0");
    if first || idempotency_key(headers)?.is_some() {
        return Ok(());
    }
    let why = "the client repeats a request that has no Idempotency-Key: the try before may have begun a run, or found no room";
    Err(Failure::bad_request(why)
        .hint("send the header Idempotency-Key, or let the client repeat nothing (`max_retries`); look at the session's runs first"))
}

/// Where a run is to work.
#[derive(Debug)]
pub(super) enum Place {
    /// In a session of its own.
    Own,
    /// In the session of that key, which is made if there is none.
    Key(Name),
    /// In that session.
    Session(SessionId),
}

/// The text of a member.
///
/// # Errors
/// When it is something else.
pub(super) fn text<'b>(body: &'b Map<String, Value>, name: &str) -> Answer<Option<&'b str>> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Failure::bad_request(format!("`{name}` must be a text")).about(name)),
    }
}

/// A member that is `true` or silent.
///
/// # Errors
/// When it is something else.
pub(super) fn flag(body: &Map<String, Value>, name: &str) -> Answer<bool> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(Failure::bad_request(format!("`{name}` must be true or false")).about(name)),
    }
}

/// The session that a header names.
pub(super) async fn of_header(app: &App, who: &Principal, headers: &HeaderMap) -> Answer<Place> {
    let Some(value) = only(headers, &SESSION)? else { return Ok(Place::Own) };
    let name = value.to_str().map_err(|_| Failure::bad_request("`x-stead-session` must be visible ASCII"))?;
    if let Ok(id) = name.parse() {
        return Ok(Place::Session(id));
    }
    if ids::ulid(name).is_some() {
        return of_conversation(app, who, name).await;
    }
    Ok(Place::Key(name.into()))
}

/// The session of a conversation, if it has one.
pub(super) async fn session(app: &App, who: &Principal, conversation: &str) -> Answer<Option<SessionRow>> {
    let Some(id) = ids::ulid(conversation) else { return Ok(None) };
    let journal = app.runtime.journal();
    if let Some(row) = journal.sessions_of_key(&who.tenant, &conversation.into(), 1).await?.pop() {
        return Ok(Some(row));
    }
    Ok(journal.session(SessionId(id)).await?.filter(|row| row.tenant == who.tenant))
}

/// Where a run of a conversation works.
pub(super) async fn of_conversation(app: &App, who: &Principal, conversation: &str) -> Answer<Place> {
    if let Some(row) = session(app, who, conversation).await? {
        return Ok(Place::Session(row.id));
    }
    match ids::made(&**app.runtime.journal(), &who.tenant, conversation) {
        Some(_) => Ok(Place::Key(conversation.into())),
        None => Err(no_conversation(conversation)),
    }
}

/// The failure for a conversation that is not the caller's.
pub(super) fn no_conversation(conversation: &str) -> Failure {
    let short: String = conversation.chars().filter(|c| !c.is_control()).take(80).collect();
    Failure::not_found(format_args!("the conversation `{short}`"))
}

/// The run of a response, when it is the caller's.
pub(super) async fn response(app: &App, who: &Principal, response: &str) -> Answer<RunId> {
    let short: String = response.chars().filter(|c| !c.is_control()).take(80).collect();
    let missing = || Failure::not_found(format_args!("the response `{short}`"));
    let run = ids::run(response).ok_or_else(missing)?;
    match views::own_run(app, who, run).await {
        Ok(row) => Ok(row.id),
        Err(e) if e.is_not_found() => Err(missing()),
        Err(e) => Err(e),
    }
}

/// Where a run works that goes on after a response: a session only goes forward.
pub(super) async fn after(app: &App, who: &Principal, headers: &HeaderMap, previous: &str) -> Answer<Place> {
    let run = response(app, who, previous).await?;
    let session = views::own_run(app, who, run).await?.session;
    // A request that came before has its run already; the key says which.
    if let Some(key) = idempotency_key(headers)?
        && app.runtime.journal().by_key(&who.tenant, &key).await?.is_some()
    {
        return Ok(Place::Session(session));
    }
    let filter = RunFilter { tenant: who.tenant.clone(), session: Some(session), limit: 1, ..RunFilter::default() };
    match app.runtime.journal().runs(&filter).await?.first() {
        Some(last) if last.id != run => {
            let detail = format!("{previous} is not the last response of its session: {} is", ids::response(last.id));
            Err(Failure::new(code::FACE_ORDER, detail)
                .hint("a session goes forward: go on from its last response, or begin another")
                .about("previous_response_id"))
        }
        _ => Ok(Place::Session(session)),
    }
}

/// Starts the run of a request.
pub(super) async fn start(
    app: &App,
    who: &Principal,
    headers: &HeaderMap,
    (body, kind): (&Map<String, Value>, params::Kind),
    place: Place,
) -> Answer<Started> {
    let model = text(body, "model")?.ok_or_else(|| Failure::bad_request("`model` names the agent").about("model"))?;
    let messages = match kind {
        params::Kind::Chat => body.get("messages"),
        params::Kind::Responses | params::Kind::Messages => body.get("input"),
    };
    let said = said::read(messages.unwrap_or(&Value::Null))?;
    let (input, attachments, untrusted) = said.whole(!matches!(place, Place::Own));
    let (session, session_key) = match place {
        Place::Own => (None, None),
        Place::Key(key) => (None, Some(key)),
        Place::Session(id) => (Some(id), None),
    };
    let request = StartRun { agent: model.into(), session, session_key, input, attachments, ..StartRun::default() };
    // Nobody here has heard who said it.
    let label = untrusted.then(stead_engine::untrusted);
    let (_, started) = Box::pin(runs::begin_labelled(app, who, headers, request, label)).await?;
    Ok(started.0)
}

/// Runs what starts a run in one of the places for requests, for as long as a request may take. Clients repeat by themselves what was
/// refused for lack of room; what may have been done is not refused so.
///
/// # Errors
/// `ST0205` without a place, `ST0414` when it took too long, and what the work says.
pub(super) async fn bounded<T>(app: &App, work: impl Future<Output = Answer<T>>) -> Answer<T> {
    let begun = std::sync::atomic::AtomicBool::new(false);
    let marked = async {
        begun.store(true, std::sync::atomic::Ordering::Relaxed);
        work.await
    };
    match guard::bounded(app, marked).await {
        Ok(answer) => answer.map_err(|failure| failure.reach(Reach::Begun)),
        Err(_) if begun.load(std::sync::atomic::Ordering::Relaxed) => {
            Err(Failure::new(code::FACE_PATIENCE, "the request took too long")
                .hint("its run may have begun; repeat it with the same Idempotency-Key alone")
                .reach(Reach::Begun))
        }
        Err(full) => Err(full),
    }
}

/// The questions of a run, as they are told.
pub(super) fn questions(approvals: Vec<ApprovalView>) -> Vec<Question> {
    let question = |view: ApprovalView| Question { effect: view.effect, tool: view.tool, arguments: view.arguments };
    approvals.into_iter().map(question).collect()
}
