//! What stands before every handler: credentials, bounds, counting.

use std::{future::Future, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use stead_api::right::Right;
use stead_core::code;
use stead_ports::clock::Clock as _;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    app::{App, Shared},
    body,
    failure::{Answer, Failure},
    input, operate,
};
use crate::{
    auth::{self, Principal},
    clock::SystemClock,
    config::hash_token,
    openai,
    pages::{self, Credential},
};

/// Lets only known callers through; `/healthz` and `/readyz` are open, `/metrics` when the configuration says so.
pub(crate) async fn authenticate(State(app): State<Shared>, mut request: Request, next: Next) -> Response {
    if pages::is_page(request.uri().path()) {
        return pages::guarded(&app, request, next).await;
    }
    let open = match request.uri().path() {
        "/healthz" | "/readyz" | "/v1/login" => true,
        path if path.starts_with("/.well-known/") => true,
        "/metrics" => app.metrics_open,
        _ => false,
    };
    if open {
        return next.run(request).await;
    }
    let given = input::only(request.headers(), &header::AUTHORIZATION).ok().flatten();
    let given = given.and_then(|v| v.to_str().ok()).and_then(auth::bearer);
    let given = given.or_else(|| openai::key(request.uri().path(), request.headers()));
    match whose(&app, given).await {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
        }
        Err(failure) => return failure.into_response(),
    }
    next.run(request).await
}

/// Whose token that is: one of the configuration, or one that the identity provider gave somebody.
async fn whose(app: &App, token: Option<&str>) -> Answer<Principal> {
    let token = token.ok_or_else(Failure::unauthenticated)?;
    if let Some(principal) = app.tokens.find(token) {
        return Ok(principal.clone());
    }
    match &app.people {
        Some(people) if stead_identity::token::looks_like_one(token) => {
            // What the provider takes its time for is bounded like a request.
            let now = u64::try_from(SystemClock.now().0 / 1_000_000).unwrap_or(0);
            let found = people.find(token, now).await;
            // Who may have no runs any more, here or at all, has no effects either.
            let engine = app.runtime.engine();
            match &found {
                Ok(who) => {
                    let here = who.may(Right::Run).then_some(&who.tenant);
                    let issued = stead_identity::token::says_issued(token);
                    engine.may_have_runs(&who.subject, here, issued).await?;
                }
                Err(stranger) => {
                    if let Some(known) = &stranger.known {
                        engine.may_have_runs(known, None, None).await?;
                    }
                }
            }
            Ok(found?)
        }
        _ => Err(Failure::unauthenticated()),
    }
}

/// Who brought a credential, as it is now.
pub(crate) async fn of_credential(app: &App, credential: &Credential) -> Answer<Principal> {
    match credential {
        Credential::Known(digest) => app.tokens.of(digest).cloned().ok_or_else(Failure::unauthenticated),
        Credential::Provider(token) => whose(app, Some(token.as_str())).await,
    }
}

/// What the caller of a request brought, to be kept for a browser that signs in as they.
pub(crate) fn credential(app: &App, headers: &HeaderMap) -> Answer<Credential> {
    let given = input::only(headers, &header::AUTHORIZATION)?.and_then(|v| v.to_str().ok()).and_then(auth::bearer);
    let token = given.ok_or_else(Failure::unauthenticated)?;
    Ok(match app.tokens.find(token) {
        Some(_) => Credential::Known(hash_token(token)),
        None => Credential::Provider(token.to_owned().into()),
    })
}

/// Lets only those through whose token allows it, before anything that the request names is looked at, and whom policies let
/// through. A request without a caller is one that [`authenticate`] lets anyone make.
pub(crate) async fn allowed(
    State((app, needs, path)): State<(Shared, &'static [Right], &'static str)>,
    request: Request,
    next: Next,
) -> Response {
    let Some(who) = request.extensions().get::<Principal>().cloned() else { return next.run(request).await };
    let (request, answer) = match needs.iter().find(|right| !who.may(**right)) {
        Some(right) => (request, Err(Failure::forbidden(*right))),
        None if who.bound.is_some() && !openai::is_gateway(path) => {
            let why = "the token is for asking the model of its gateway, and for nothing else";
            (request, Err(Failure::new(code::FACE_TOKEN, why).hint("ask the operator for another token")))
        }
        None => match on(&app, needs, &who) {
            Ok(()) => operate::request(&app, (needs, path), &who, request).await,
            off => (request, off),
        },
    };
    match answer {
        Ok(()) => next.run(request).await,
        Err(failure) => {
            // The caller may still be sending, and is to hear why.
            let heard = bounded(&app, body::discard(request.into_body())).await;
            heard.err().unwrap_or(failure).into_response()
        }
    }
}

/// Whether operators let a person do anything. Who could write the data anyway is never locked out.
fn on(app: &App, needs: &[Right], who: &Principal) -> Answer<()> {
    if who.mends {
        return Ok(());
    }
    let sandbox = needs.contains(&Right::Sandbox);
    Ok(app.runtime.engine().may_act(&who.tenant, &who.subject, sandbox)?)
}

/// Gives a request one of the places and a bounded time.
pub(crate) async fn brief(State(app): State<Shared>, request: Request, next: Next) -> Response {
    match bounded(&app, next.run(request)).await {
        Ok(response) => response,
        Err(failure) => failure.into_response(),
    }
}

/// Runs a piece of work in one of the places for requests, for as long as a request may take.
pub(crate) async fn bounded<T>(app: &App, work: impl Future<Output = T>) -> Answer<T> {
    let Ok(_place) = app.requests.try_acquire() else {
        return Err(Failure::overloaded(format!(
            "{} requests are under way, the most there may be",
            app.limits.requests
        )));
    };
    tokio::time::timeout(app.request_timeout(), work).await.map_err(|_| {
        Failure::overloaded(format!("the request took longer than {:?}", app.request_timeout()))
            .hint("it may have been carried out; repeat it with the same Idempotency-Key")
    })
}

/// A place for a caller who stays: a follower or a waiter.
pub(crate) fn place(app: &Shared) -> Answer<OwnedSemaphorePermit> {
    app.followers.clone().try_acquire_owned().map_err(|_| {
        Failure::overloaded(format!("{} followers are connected, the most there may be", app.limits.followers))
    })
}

/// A place for an agent to be applied; there is one soon, or the caller is told to come back.
pub(crate) async fn applying(app: &Shared) -> Answer<OwnedSemaphorePermit> {
    let place = tokio::time::timeout(app.request_timeout(), app.applying.clone().acquire_owned()).await;
    place.ok().and_then(Result::ok).ok_or_else(|| Failure::overloaded("too many agents are being applied"))
}

/// A place for a body with files; there is one soon, or the caller is told to come back.
pub(crate) async fn attaching(app: &App) -> Answer<OwnedSemaphorePermit> {
    let place = tokio::time::timeout(app.request_timeout(), app.attaching.clone().acquire_owned()).await;
    place.ok().and_then(Result::ok).ok_or_else(|| Failure::overloaded("too many runs are being given files"))
}

/// Counts requests and their time, by route: never by path, which anyone may invent.
pub(crate) async fn observe(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "none".into(), |p| p.as_str().to_owned());
    let method = match request.method().as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known.to_owned(),
        _ => "other".into(),
    };
    let begun = Instant::now();
    let _under_way = app.metrics.under_way();
    let response = next.run(request).await;
    app.metrics.observe(method, route, response.status(), begun.elapsed());
    response
}
