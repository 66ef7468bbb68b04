//! What leads to the approval page and away from it: links with which browsers sign in, and passkeys that wait to be enrolled.

use axum::{Json as Body, extract::State, http::HeaderMap};
use stead_api::{
    approver::{PasskeyRequest, PasskeyRequests},
    login::{Link, MakeLink},
};
use stead_ports::clock::Clock as _;

use crate::{
    auth::Principal,
    clock::SystemClock,
    http::{
        app::Shared,
        body::MaybeJson,
        failure::{Answer, Failure},
        guard,
    },
    pages::LINK,
};

pub(super) async fn make(
    State(app): State<Shared>,
    who: Principal,
    headers: HeaderMap,
    MaybeJson(MakeLink { approval }): MaybeJson<MakeLink>,
) -> Answer<Body<Link>> {
    let credential = guard::credential(&app, &headers)?;
    let code = app.pages.sessions.link(who.tenant, who.subject, credential, SystemClock.now());
    let code = code.ok_or_else(|| Failure::overloaded("too many links wait for a browser"))?;
    let to = approval.map(|approval| format!(".{approval}")).unwrap_or_default();
    // Behind `#`: browsers keep it to themselves, so that it stands in no log and no referrer.
    let url = format!("{}/approvals/enter#{code}{to}", app.pages.place.origin);
    Ok(Body(Link { url, seconds: LINK.as_secs() }))
}

pub(super) async fn requests(State(app): State<Shared>, who: Principal) -> Answer<Body<PasskeyRequests>> {
    let waiting = app.pages.requests.of(&who.tenant, SystemClock.now());
    let items = waiting.into_iter().map(|p| PasskeyRequest {
        id: p.id,
        subject: p.subject.to_string(),
        request: p.receipt,
        since: u64::try_from(p.since.0 / 1_000_000).unwrap_or(0),
    });
    Ok(Body(PasskeyRequests { items: items.collect() }))
}
