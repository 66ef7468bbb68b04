//! One request: decided, prepared, put on record, sent, answered.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use stead_core::code;
use stead_ports::connect::{Ruled, To};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::{
    audit::{Asked, Event, Gone},
    converse::{After, Connection},
    dial::{NoDial, permitted},
    error::Refusal,
    limits::WHOLE_BODY,
    placeholder::Scan,
    prepare::{Allowed, without_fields},
    rules::{Name, Scheme, path::Target},
    send::{Feed, Progress, send},
    session::Session,
    upstream::{Outgoing, Upstream},
    wire::{Framing, Head, Incoming},
};

/// Where a request goes, when that could be read.
pub(crate) struct Wanted {
    pub(crate) scheme: Scheme,
    pub(crate) host: Name,
    pub(crate) port: u16,
    pub(crate) target: Target,
}

/// One request under way, with what its record needs.
pub(crate) struct Exchange<'c> {
    pub(crate) session: &'c Session,
    pub(crate) id: u64,
    pub(crate) asked: Asked,
    pub(crate) secrets: Vec<String>,
    pub(crate) stripped: Vec<String>,
    /// The policies that let it through.
    pub(crate) policies: Option<Ruled>,
    /// For a body that is held whole, until it is sent.
    place: Option<OwnedSemaphorePermit>,
}

/// What is ready to be sent.
struct Ready {
    allowed: Allowed,
    request: Request<Outgoing>,
    feed: Option<Feed>,
}

/// Does one request, whose target was read or could not be.
pub(crate) async fn exchange(
    connection: &mut Connection,
    head: Head,
    asked: Asked,
    wanted: Result<Wanted, Refusal>,
) -> After {
    let session = connection.session.clone();
    let id = session.exchange();
    let is_head = head.method == "HEAD";
    let keep_alive = head.keep_alive;
    let (v11, websocket) = (head.v11, head.websocket);
    // What follows a refused request's body is not looked for.
    let refused_keeps = keep_alive && head.framing == Framing::None;
    let mut exchange = Exchange {
        session: &session,
        id,
        asked,
        secrets: Vec::new(),
        stripped: Vec::new(),
        policies: None,
        place: None,
    };
    let ready = async {
        let ready = exchange.ready(connection, head, wanted?).await?;
        let address = exchange.reach(connection, &ready.allowed).await?;
        if !exchange.still(&ready.allowed) {
            return Err(NoDial::from(session.revocation()));
        }
        // As policies may have, which say it again.
        let Allowed { host, port, method, target, .. } = &ready.allowed;
        exchange.judged(host, *port, method, &target.path).await?;
        Ok((ready, address))
    };
    let ended = session.clone();
    let ready = tokio::select! {
        biased;
        // Nothing was sent, and nothing will be.
        () = ended.closed() => return After::Close,
        ready = ready => ready,
    };
    let (ready, address) = match ready {
        Ok(ready) => ready,
        Err(why) => {
            let told = session.record(id, &exchange.asked, why.event()).await;
            let written = connection.out.refuse(&why.refusal, is_head, refused_keeps).await;
            return if told.is_ok() && written.is_ok() && refused_keeps { After::Next } else { After::Close };
        }
    };
    let progress = Progress::new(is_head, v11, keep_alive, websocket);
    let Ready { allowed, request, feed } = ready;
    let after = match exchange.record_allowed(address, &allowed).await {
        Ok(()) => send(connection, &exchange, &allowed, request, feed, &progress).await,
        Err(Gone) => return After::Close,
    };
    if progress.status() == Some(401) {
        allowed.forget_tokens(&session).await;
    }
    let told = session.record(id, &exchange.asked, progress.ended()).await;
    if told.is_err() { After::Close } else { after }
}

impl Exchange<'_> {
    /// Decides, and makes the request for the host.
    async fn ready(&mut self, connection: &mut Connection, head: Head, wanted: Wanted) -> Result<Ready, NoDial> {
        let Wanted { scheme, host, port, target } = wanted;
        self.session.unspent()?;
        self.session.search_for_all().await?;
        let rule = self.session.rules().request(scheme, &host, port, &head.method, &target.path)?;
        if head.websocket && !rule.websocket {
            let what = format!("the rule for {host} does not let a connection become a WebSocket");
            let hint = "add `websocket: true` to the rule, if the agent should have one";
            return Err(Refusal::new(code::EGRESS_UPGRADE, what, hint).into());
        }
        self.judged(&host, port, &head.method, &target.path).await?;
        let method =
            Method::from_bytes(head.method.as_bytes()).map_err(|_| Refusal::malformed("the method is none"))?;
        let uri = target.origin().parse::<Uri>().map_err(|_| Refusal::malformed("the target is none"))?;
        let mut allowed = Allowed { rule, scheme, host, port, method: head.method, target, headers: head.headers };
        self.stripped = allowed.strip()?;
        let needs_body = allowed.needs_body()?;
        if head.expects && head.framing != Framing::None {
            let go_on = connection.out.raw(b"HTTP/1.1 100 Continue\r\n\r\n").await;
            go_on.map_err(|_| Refusal::malformed("the client is gone"))?;
        }
        let mut incoming = Incoming::new(head.framing);
        let body = if needs_body {
            self.place = Arc::clone(&self.session.0.bodies).acquire_owned().await.ok();
            Some(whole(connection, &mut incoming, &allowed).await?)
        } else {
            None
        };
        let body = allowed.inject(self.session, body).await?;
        self.secrets = allowed.rule.secrets.iter().flat_map(|b| b.names()).map(str::to_owned).collect();
        if self.session.patterns().is_some() {
            searchable(&mut allowed.headers);
        }
        if head.websocket {
            // Frames that are packed could not be searched.
            allowed.headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
            allowed.headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            allowed.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        let (body, feed) = match body {
            Some(bytes) => (Outgoing::Whole(Some(bytes)), None),
            None => streamed(head.framing, incoming),
        };
        if head.framing == Framing::Chunked && feed.is_some() {
            // Said here, or hyper would leave the body of a GET out.
            allowed.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = std::mem::take(&mut allowed.headers);
        Ok(Ready { allowed, request, feed })
    }

    /// Asks policies about the request.
    async fn judged(&mut self, host: &Name, port: u16, method: &str, path: &str) -> Result<(), NoDial> {
        self.policies = self.session.judge(To { host: host.as_str(), port, method, path }).await?;
        Ok(())
    }

    /// Whether the rules, which may have changed while the host was reached, still say of the request what they said.
    fn still(&self, allowed: &Allowed) -> bool {
        let Allowed { rule, scheme, host, port, method, target, .. } = allowed;
        let now = self.session.rules().request(*scheme, host, *port, method, &target.path);
        now.is_ok_and(|now| now.says_the_same(rule))
    }

    /// Has a connection to the host ready: the last one again, if it leads there and its address is still permitted.
    async fn reach(&self, connection: &mut Connection, allowed: &Allowed) -> Result<SocketAddr, NoDial> {
        let Allowed { rule, scheme, host, port, .. } = allowed;
        if let Some(open) = &mut connection.upstream {
            // What the last answer left is cleared away by its own task.
            let soon = std::time::Duration::from_millis(100);
            let ready = matches!(tokio::time::timeout(soon, open.sender.ready()).await, Ok(Ok(())));
            if ready && open.serves(*scheme, host, *port) && permitted(rule, open.address).is_ok() {
                return Ok(open.address);
            }
        }
        connection.upstream = None;
        let opened = Upstream::open(self.session, rule, *scheme, host, *port).await?;
        let address = opened.address;
        connection.upstream = Some(opened);
        Ok(address)
    }

    /// Puts on record that it is sent, and where to.
    pub(crate) async fn record_allowed(&self, address: SocketAddr, allowed: &Allowed) -> Result<(), Gone> {
        let event = Event::Allowed {
            rule: allowed.rule.label.clone(),
            address,
            secrets: self.secrets.clone(),
            stripped: self.stripped.clone(),
            policies: self.policies.clone(),
        };
        self.session.record(self.id, &self.asked, event).await
    }
}

/// Asks for answers that can be searched: not packed, and not in parts that are cut where the client likes.
fn searchable(headers: &mut HeaderMap) {
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.remove(header::RANGE);
    headers.remove(header::IF_RANGE);
    // Packing, and parts, by another name (RFC 3229).
    headers.remove("a-im");
}

fn streamed(framing: Framing, incoming: Incoming) -> (Outgoing, Option<Feed>) {
    let left = match framing {
        Framing::None => return (Outgoing::Empty, None),
        Framing::Length(0) => return (Outgoing::Whole(Some(Bytes::new())), None),
        Framing::Length(length) => Some(length),
        Framing::Chunked => None,
    };
    // One piece waits while the one before is sent: the client is read no faster than the host takes.
    let (to, from) = mpsc::channel(1);
    (Outgoing::Pieces { from, left }, Some(Feed { incoming, to }))
}

/// The whole body, without placeholders in it but those at their places.
async fn whole(connection: &mut Connection, incoming: &mut Incoming, allowed: &Allowed) -> Result<Bytes, Refusal> {
    let limits = &connection.session.0.limits;
    let mut body = Vec::new();
    while let Some(piece) = incoming.next(&mut connection.reader, limits).await? {
        if body.len() + piece.len() > WHOLE_BODY {
            let what = format!("a body that a secret goes into, or is signed with one, has at most {WHOLE_BODY} bytes");
            return Err(Refusal::new(code::EGRESS_LIMIT, what, "send it in smaller parts"));
        }
        body.extend_from_slice(&piece);
    }
    let rest = without_fields(&allowed.rule, &body);
    let mut scan = Scan::default();
    scan.push(&rest, |_| {}).map_err(|_| crate::placeholder::misplaced("the body"))?;
    Ok(Bytes::from(rest))
}
