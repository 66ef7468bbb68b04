//! Who is signed in, which passkeys they have here, and new ones that they ask to be enrolled.

use axum::{Json as Body, extract::State, http::HeaderMap};
use serde::{Deserialize, Serialize};
use stead_api::right::Right;
use stead_core::{code, id::Name};
use stead_engine::human;
use stead_ports::clock::Clock as _;
use stead_trust::{passkey::Request, receipt::Receipt};

use crate::{
    auth::Principal,
    clock::SystemClock,
    http::{
        app::{App, Shared},
        body::Json,
        failure::{Answer, Failure},
    },
    identity::now,
    pages::{Pending, cookie},
};

/// By how much the time of a request may differ from this server's, in seconds.
const SKEW: u64 = 300;

/// Who is signed in.
#[derive(Serialize)]
pub(super) struct Me {
    tenant: Name,
    issuer: String,
    subject: String,
    rights: Vec<Right>,
    roles: Vec<Name>,
    /// When the session ends at the latest, in seconds since 1970.
    until: Option<u64>,
    /// Whether the tenant has a directory of approvers, and whether it is one person's.
    directory: bool,
    personal: bool,
    /// Their passkeys.
    passkeys: Vec<Own>,
    /// Fingerprints of those that wait to be enrolled.
    waiting: Vec<String>,
}

/// A passkey of theirs.
#[derive(Serialize)]
struct Own {
    id: String,
    key: String,
    credential: Option<String>,
    /// Whether it signs on this page: it was made for it.
    here: bool,
    since: u64,
    revoked: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asks {
    request: String,
}

/// What became of a request.
#[derive(Serialize)]
pub(super) struct Asked {
    id: String,
}

pub(super) async fn me(State(app): State<Shared>, who: Principal, headers: HeaderMap) -> Answer<Body<Me>> {
    let directory = app.runtime.approvers().of(&who.tenant).await?;
    let place = &app.pages.place;
    let person = human(&who.subject);
    let keys = directory.iter().flat_map(|d| d.keys()).filter(|k| k.of.human == person);
    let passkeys = keys.filter_map(|k| {
        let at = k.of.passkey.as_ref()?;
        Some(Own {
            id: k.of.key.id().to_string(),
            key: k.of.key.to_string(),
            credential: at.credential.clone(),
            here: at.origin == place.origin && at.rp_id == place.rp_id,
            since: k.since,
            revoked: k.revoked,
        })
    });
    let waiting = app.pages.requests.of(&who.tenant, SystemClock.now()).into_iter();
    let known = |id: &String| directory.iter().any(|d| d.keys().iter().any(|k| k.of.key.id().to_string() == *id));
    let until = cookie(&headers, &app.pages.cookie()).and_then(|cookie| app.pages.sessions.until(&cookie));
    Ok(Body(Me {
        issuer: person.issuer.clone(),
        subject: person.subject.clone(),
        rights: who.rights.to_vec(),
        roles: who.roles.to_vec(),
        until: until.and_then(|at| u64::try_from(at.0 / 1_000_000).ok()),
        directory: directory.is_some(),
        personal: directory.as_ref().is_some_and(|d| d.root().personal),
        passkeys: passkeys.collect(),
        waiting: waiting.filter(|p| p.subject == who.subject).map(|p| p.id).filter(|id| !known(id)).collect(),
        tenant: who.tenant,
    }))
}

pub(super) async fn ask(
    State(app): State<Shared>,
    who: Principal,
    Json(Asks { request: text }): Json<Asks>,
) -> Answer<Body<Asked>> {
    let bad = |why: String| Failure::new(code::PASSKEY_REQUEST, why).hint("make the passkey anew on the approval page");
    let receipt = Receipt::from_text(&text).map_err(|e| bad(format!("the request cannot be read: {e}")))?;
    let request = Request::of(&receipt).map_err(|e| bad(e.to_string()))?;
    fits(&app, &who, &request).map_err(|why| bad(why.to_owned()))?;
    let id = request.key.id();
    let directory = app.runtime.approvers().of(&who.tenant).await?;
    if directory.is_some_and(|d| d.key(&id).is_some()) {
        return Err(bad("the key is or was in the directory already".to_owned()));
    }
    let (id, since) = (id.to_string(), SystemClock.now());
    let Principal { tenant, subject, .. } = who;
    app.pages.requests.keep(Pending { tenant, subject, id: id.clone(), receipt: receipt.to_text(), since });
    Ok(Body(Asked { id }))
}

/// Whether a request is this person's, for this page, and made now.
fn fits(app: &App, who: &Principal, request: &Request) -> Result<(), &'static str> {
    let place = &app.pages.place;
    if request.tenant != who.tenant.as_str() || request.human != human(&who.subject) {
        return Err("the request is another person's than who is signed in");
    }
    if request.passkey.origin != place.origin || request.passkey.rp_id != place.rp_id {
        return Err("the passkey was made for another page");
    }
    if request.passkey.credential.is_none() {
        return Err("the request does not say which credential it is about");
    }
    if request.at.abs_diff(now()) > SKEW {
        return Err("the clock of the browser differs from the server's by more than 5 minutes");
    }
    Ok(())
}
