//! OAuth 2.0 client credentials (RFC 6749 section 4.4): the proxy asks for the token, keeps it for its time, and the box sees
//! neither the client's secret nor the token.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Body;
use serde::Deserialize;
use stead_core::code;
use stead_ports::{connect::To, secret::Secret};
use tokio::{sync::Mutex, time::timeout};
use zeroize::Zeroizing;

use super::form::escape;
use crate::{
    audit::{Asked, Event},
    error::Refusal,
    limits::SECRET_BYTES,
    rules::{Name, Rule, Scheme, path::Target},
    session::Session,
    upstream::{Outgoing, Upstream},
};

/// Bytes of a token endpoint's answer.
const ANSWER: usize = 64 << 10;
/// How long a token is used whose time is not told, and at most.
const UNTOLD: u64 = 300;
const LONGEST: u64 = 86_400;
/// How long before its end a token counts as over, in seconds.
const MARGIN: u64 = 30;

/// Tokens of a session, by endpoint, client and scope.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<HashMap<Key, (Secret, Instant)>>);

/// What a token was given for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) token_url: String,
    pub(crate) client_id: String,
    pub(crate) scope: String,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    token_type: String,
    expires_in: Option<u64>,
}

impl Tokens {
    /// A token for that client, asked for if there is none, which is put on record. One is asked for at a time.
    pub(crate) async fn get(
        &self,
        session: &Session,
        rule: &Rule,
        key: &Key,
        client: (&str, &Secret),
    ) -> Result<Secret, Refusal> {
        let mut kept = self.0.lock().await;
        if let Some((token, until)) = kept.get(key)
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        let (token, seconds) = ask(session, rule, key, client).await?;
        let lasts = Duration::from_secs(seconds.min(LONGEST).saturating_sub(MARGIN));
        kept.insert(key.clone(), (token.clone(), Instant::now() + lasts));
        Ok(token)
    }

    /// The host did not take it: the next request asks for another.
    pub(crate) async fn forget(&self, key: &Key) {
        self.0.lock().await.remove(key);
    }
}

async fn ask(
    session: &Session,
    rule: &Rule,
    key: &Key,
    (name, client_secret): (&str, &Secret),
) -> Result<(Secret, u64), Refusal> {
    let failed = |what: &str| {
        let hint = "check token_url, client_id and the secret of the egress rule";
        Refusal::new(code::EGRESS_SECRET, format!("no token for {}: {what}", key.client_id), hint)
    };
    let (authority, target) = split(&key.token_url).ok_or_else(|| failed("token_url is no https URL"))?;
    let (host, port) = authority;
    let id = session.exchange();
    let asked = Asked {
        scheme: Some(Scheme::Https),
        method: "POST".to_owned(),
        host: host.to_string(),
        port,
        path: Some(target.path.clone()),
    };
    let told = async |event| session.record(id, &asked, event).await.map_err(|_| failed("it cannot be put on record"));
    let to = To { host: host.as_str(), port, method: "POST", path: &target.path };
    let policies = match session.judge(to).await {
        Ok(policies) => policies,
        Err(why) => {
            told(why.event()).await?;
            return Err(why.refusal);
        }
    };
    let mut upstream = match Upstream::open(session, rule, Scheme::Https, &host, port).await {
        Ok(upstream) => upstream,
        Err(why) => {
            told(why.event()).await?;
            return Err(failed(&why.refusal.detail));
        }
    };
    told(Event::Allowed {
        rule: rule.label.clone(),
        address: upstream.address,
        secrets: vec![name.to_owned()],
        stripped: Vec::new(),
        policies,
    })
    .await?;
    // RFC 6749 section 2.3.1: both are escaped as in forms before they are joined.
    let pair = Zeroizing::new(format!("{}:{}", *escape(&key.client_id), *escape(client_secret.expose())));
    let basic = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut basic = HeaderValue::from_str(&basic).map_err(|_| failed("the secret does not fit into a field"))?;
    basic.set_sensitive(true);
    let scope = if key.scope.is_empty() { String::new() } else { format!("&scope={}", *escape(&key.scope)) };
    let body = Bytes::from(format!("grant_type=client_credentials{scope}"));
    let sent = body.len() as u64;
    let (mut status, mut received) = (None, 0);
    let request = Request::post(target.origin())
        .header(header::HOST, if port == 443 { host.to_string() } else { format!("{host}:{port}") })
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .header(header::AUTHORIZATION, basic)
        .body(Outgoing::Whole(Some(body)))
        .map_err(|_| failed("the request cannot be written"))?;
    let exchange = async {
        let answer = upstream.sender.send_request(request).await.map_err(|_| failed("the endpoint does not answer"))?;
        let (head, mut body) = answer.into_parts();
        status = Some(head.status.as_u16());
        if head.status != StatusCode::OK {
            return Err(failed(&format!("the endpoint answered {}", head.status.as_u16())));
        }
        let mut text = Zeroizing::new(Vec::new());
        while let Some(frame) = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await {
            let frame = frame.map_err(|_| failed("the endpoint's answer broke off"))?;
            text.extend_from_slice(frame.data_ref().map_or(&[], |b| &b[..]));
            received = text.len() as u64;
            if text.len() > ANSWER {
                return Err(failed("the endpoint's answer is too long"));
            }
        }
        serde_json::from_slice::<Granted>(&text).map_err(|_| failed("the endpoint's answer is no token"))
    };
    let waited = timeout(session.0.limits.stall, exchange).await;
    let cut = waited.is_err().then_some(code::EGRESS_TIMEOUT);
    told(Event::Ended { status, sent, received, masked: 0, cut }).await?;
    let granted = waited.map_err(|_| failed("the endpoint took too long"))??;
    let token = Secret::new(granted.access_token);
    let sound = SECRET_BYTES.contains(&token.expose().len()) && token.expose().bytes().all(|b| b.is_ascii_graphic());
    if !granted.token_type.eq_ignore_ascii_case("bearer") || !sound {
        return Err(failed("the endpoint gave no bearer token"));
    }
    Ok((token, granted.expires_in.unwrap_or(UNTOLD)))
}

/// Whether tokens can be asked for there.
pub(super) fn is_token_url(url: &str) -> bool {
    split(url).is_some()
}

/// Host, port and target of an https URL.
fn split(url: &str) -> Option<((Name, u16), Target)> {
    let rest = url.strip_prefix("https://")?;
    let (authority, target) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, 443),
    };
    Some(((Name::parse(host).ok()?, port), Target::parse(target).ok()?))
}
