//! Signing a browser in and out.

use axum::{
    Json as Body,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use stead_core::code;
use stead_ports::clock::Clock as _;

use crate::{
    auth::Principal,
    clock::SystemClock,
    http::{
        app::{App, Shared},
        body::Json,
        failure::{Answer, Failure},
        guard,
    },
    identity::now,
    pages::{Attempt, Credential, TIME, cookie},
    people::People,
};

/// Longest code of a link.
const MAX_CODE: usize = 64;

/// Where a page is.
#[derive(Serialize)]
pub(super) struct Where {
    origin: String,
    rp_id: String,
    /// Whether an identity provider signs people in.
    provider: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Code {
    code: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Brought {
    query: String,
}

/// The half of a session that scripts have.
#[derive(Serialize)]
struct Half {
    token: String,
}

#[derive(Serialize)]
struct Go {
    url: String,
}

pub(super) async fn place(State(app): State<Shared>) -> Body<Where> {
    let place = &app.pages.place;
    let provider = app.people.as_ref().is_some_and(|people| people.page_client().is_some());
    Body(Where { origin: place.origin.clone(), rp_id: place.rp_id.clone(), provider })
}

pub(super) async fn enter(State(app): State<Shared>, Json(Code { code }): Json<Code>) -> Answer<Response> {
    let none = || {
        Failure::new(code::PAGE_LINK, "the link was used already, or its two minutes are over")
            .hint("`stead approvals open` writes another one")
    };
    let short = Some(&*code).filter(|code| code.len() <= MAX_CODE);
    let credential = short.and_then(|code| app.pages.sessions.redeem(code, SystemClock.now())).ok_or_else(none)?;
    // What the link stands for may count no longer.
    let who = guard::of_credential(&app, &credential).await?;
    entered(&app, who, credential)
}

fn entered(app: &App, who: Principal, credential: Credential) -> Answer<Response> {
    let entered = app.pages.sessions.enter(who.tenant, who.subject, credential, SystemClock.now());
    let entered = entered.ok_or_else(|| Failure::overloaded("too many browsers are signed in"))?;
    let set = app.pages.set_cookie(&app.pages.cookie(), &entered.cookie, entered.seconds);
    Ok(with_cookie(&set, Body(Half { token: entered.token }).into_response()))
}

fn with_cookie(set: &str, mut response: Response) -> Response {
    if let Ok(value) = HeaderValue::from_str(set) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

/// The provider that signs people in, the client that the page is there, and where it sends browsers back to.
fn provider(app: &App) -> Answer<(&People, &str, String)> {
    let people = app.people.as_ref().and_then(|people| Some((people, people.page_client()?)));
    let none = || Failure::not_found("a login by browser").hint("`stead approvals open` writes a link to sign in with");
    let (people, client) = people.ok_or_else(none)?;
    Ok((people, client, format!("{}/approvals/callback", app.pages.place.origin)))
}

pub(super) async fn login(State(app): State<Shared>) -> Answer<Response> {
    let (people, client, redirect) = provider(&app)?;
    let attempt = Attempt::new();
    let url = attempt.url(people, client, &redirect).await?;
    let set = app.pages.set_cookie(&app.pages.login_cookie(), &attempt.to_cookie(), TIME);
    Ok(with_cookie(&set, Body(Go { url }).into_response()))
}

pub(super) async fn finish(
    State(app): State<Shared>,
    headers: HeaderMap,
    Json(Brought { query }): Json<Brought>,
) -> Answer<Response> {
    let (people, client, redirect) = provider(&app)?;
    let attempt = cookie(&headers, &app.pages.login_cookie()).and_then(|kept| Attempt::of_cookie(&kept));
    let none = || Failure::new(code::PAGE_LINK, "this browser has begun no login, or its ten minutes are over");
    let attempt = attempt.ok_or_else(none)?;
    let (who, token) = attempt.finish(people, client, &redirect, &query, now()).await?;
    let response = entered(&app, who, Credential::Provider(token))?;
    Ok(with_cookie(&app.pages.set_cookie(&app.pages.login_cookie(), "", 0), response))
}

/// Signs the browser out. Whoever has its session may: it needs no right.
pub(super) async fn leave(State(app): State<Shared>, _: Principal, headers: HeaderMap) -> Response {
    if let Some(cookie) = cookie(&headers, &app.pages.cookie()) {
        app.pages.sessions.leave(&cookie);
    }
    with_cookie(&app.pages.set_cookie(&app.pages.cookie(), "", 0), axum::http::StatusCode::NO_CONTENT.into_response())
}
