//! `/v1/runs/{run}/renew` and `/v1/introspect`: the person on whose behalf a run works lets it go on, and services ask whether a token
//! of a run still counts.

use axum::{Json as Body, extract::State};
use bytes::Bytes;
use stead_api::{identity::Introspected, right::Right, run::Run};
use stead_core::id::{Name, RunId};
use stead_identity::{
    jwk::Keys,
    token::{self, ALGORITHMS, Checks},
};

use super::views;
use crate::{
    auth::Principal,
    http::{
        app::{App, Shared},
        failure::{Answer, Failure},
        input::At,
    },
    identity::now,
};

pub(super) async fn renew(State(app): State<Shared>, who: Principal, At(run): At<RunId>) -> Answer<Body<Run>> {
    views::own_run(&app, &who, run).await?;
    app.runtime.engine().renew(run, who.subject.clone()).await?;
    Ok(Body(views::run(app.runtime.engine().view(run).await?)))
}

/// Somebody did something about a run: when it works on their behalf, it may do so for a while again.
pub(super) async fn acted(app: &App, who: &Principal, run: RunId) -> Answer<()> {
    let theirs = app.people.as_ref().is_some_and(|people| people.knows(&who.subject)) && who.may(Right::Run);
    match theirs {
        true => Ok(app.runtime.engine().renew_if_theirs(run, &who.subject).await?),
        false => Ok(()),
    }
}

/// Token introspection (RFC 7662): the token comes in a form. Whatever is wrong with it, it is only said to be inactive (section 2.2).
pub(super) async fn introspect(State(app): State<Shared>, who: Principal, form: Bytes) -> Answer<Body<Introspected>> {
    let text = std::str::from_utf8(&form).map_err(|_| Failure::bad_request("the form is no text"))?;
    let pairs = reqwest::Url::parse("http://form/").map(|mut url| {
        url.set_query(Some(text));
        url
    });
    let pairs = pairs.map_err(|_| Failure::bad_request("the form cannot be read"))?;
    let mut tokens = pairs.query_pairs().filter(|(name, _)| name == "token").map(|(_, value)| value.into_owned());
    let (Some(token), None) = (tokens.next(), tokens.next()) else {
        return Err(Failure::bad_request("the form must hold one `token`"));
    };
    Ok(Body(about(&app, &who, &token).await?.unwrap_or_default()))
}

async fn about(app: &App, who: &Principal, token: &str) -> Answer<Option<Introspected>> {
    let published = app.identity.published()?;
    let Ok(keys) = Keys::read(published.to_string().as_bytes()) else { return Ok(None) };
    let (issuer, algorithms) = (app.identity.issuer(), ALGORITHMS.map(str::to_owned));
    // The audience asks about its own tokens, and the token says which audience that is.
    let Some(audience) = token::says_audience(token) else { return Ok(None) };
    let checks = Checks { issuer, audiences: &[audience], algorithms: &algorithms, skew: 0, now: now() };
    let Ok(claims) = token::verify(token, &keys, &checks) else { return Ok(None) };
    let text = |name: &str| claims.text(name).map(str::to_owned);
    // Of another tenant nothing is told.
    let tenant = claims.text("stead.tenant").map(Name::from);
    let Some((tenant, run)) = tenant.filter(|tenant| *tenant == who.tenant).zip(claims.text("stead.run")) else {
        return Ok(None);
    };
    let engine = app.runtime.engine();
    let (Ok(run), Some(jti)) = (run.parse::<RunId>(), text("jti")) else { return Ok(None) };
    if engine.is_revoked(&tenant, &jti) || !engine.may_be_shown(run).await? {
        return Ok(None);
    }
    Ok(Some(Introspected {
        active: true,
        scope: text("scope"),
        client_id: text("client_id"),
        token_type: Some("Bearer".to_owned()),
        exp: claims.number("exp"),
        iat: claims.number("iat"),
        sub: text("sub"),
        aud: text("aud"),
        iss: text("iss"),
        jti: Some(jti),
        act: claims.value("act").cloned(),
    }))
}
