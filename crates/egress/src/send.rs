//! Sends a request on and its answer back, at the same time, each no faster than it is taken.

use std::{
    sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming as Answer;
use parking_lot::Mutex;
use stead_core::code::{self, Code};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::{
    answer::answer,
    audit::Event,
    converse::{After, Connection},
    dial::permitted,
    error::Refusal,
    exchange::Exchange,
    placeholder::{self, Scan},
    prepare::Allowed,
    relay,
    session::Session,
    upstream::{Broken, Outgoing, Upstream, silent},
    wire::{Incoming, Reader},
};

/// How far an exchange has come, seen from its record.
pub(crate) struct Progress {
    pub(crate) is_head: bool,
    pub(crate) v11: bool,
    pub(crate) keep_alive: bool,
    pub(crate) websocket: bool,
    /// The host's answer has begun.
    answering: AtomicBool,
    /// Bytes of the answer are on their way to the box.
    pub(crate) begun: AtomicBool,
    status: AtomicU16,
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) masked: AtomicU64,
    cut: Mutex<Option<Code>>,
}

impl Progress {
    pub(crate) fn new(is_head: bool, v11: bool, keep_alive: bool, websocket: bool) -> Self {
        Self {
            is_head,
            v11,
            keep_alive,
            websocket,
            answering: AtomicBool::new(false),
            begun: AtomicBool::new(false),
            status: AtomicU16::new(0),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            masked: AtomicU64::new(0),
            cut: Mutex::new(None),
        }
    }

    /// The host answers, with that status.
    pub(crate) fn answers(&self, status: StatusCode) {
        self.status.store(status.as_u16(), Relaxed);
    }

    pub(crate) fn cut(&self, code: Code) {
        *self.cut.lock() = Some(code);
    }

    /// The status of the answer, once there is one.
    pub(crate) fn status(&self) -> Option<u16> {
        Some(self.status.load(Relaxed)).filter(|status| *status != 0)
    }

    pub(crate) fn ended(&self) -> Event {
        Event::Ended {
            status: self.status(),
            sent: self.sent.load(Relaxed),
            received: self.received.load(Relaxed),
            masked: self.masked.load(Relaxed),
            cut: *self.cut.lock(),
        }
    }
}

/// A body that is read from the box while it is sent.
pub(crate) struct Feed {
    pub(crate) incoming: Incoming,
    pub(crate) to: mpsc::Sender<Result<Bytes, Broken>>,
}

impl Feed {
    /// Tells whether the body was read to its end.
    async fn run(mut self, reader: &mut Reader, session: &Session, sent: &AtomicU64) -> Result<bool, Refusal> {
        let done = self.pieces(reader, session, sent).await;
        if done.is_err() {
            // The host must not take the part for the whole; if it listens no more, all the better.
            let _ = self.to.send(Err(Broken)).await;
        }
        done
    }

    async fn pieces(&mut self, reader: &mut Reader, session: &Session, sent: &AtomicU64) -> Result<bool, Refusal> {
        let mut scan = Scan::default();
        while let Some(piece) = self.incoming.next(reader, &session.0.limits).await? {
            let mut clean = Vec::with_capacity(piece.len());
            let found = scan.push(&piece, |part| clean.extend_from_slice(part));
            found.map_err(|_| placeholder::misplaced("the body"))?;
            if !self.pass(clean, session, sent).await? {
                return Ok(false);
            }
        }
        self.pass(scan.end(), session, sent).await?;
        Ok(true)
    }

    /// `false` when the host takes no more: its answer says why.
    async fn pass(&mut self, piece: Vec<u8>, session: &Session, sent: &AtomicU64) -> Result<bool, Refusal> {
        if !session.spend(sent, piece.len()) {
            return Err(session.revocation());
        }
        Ok(piece.is_empty() || self.to.send(Ok(Bytes::from(piece))).await.is_ok())
    }
}

/// Sends what is ready, and writes the answer.
pub(crate) async fn send(
    connection: &mut Connection,
    exchange: &Exchange<'_>,
    allowed: &Allowed,
    request: Request<Outgoing>,
    feed: Option<Feed>,
    progress: &Progress,
) -> After {
    let session = exchange.session;
    let limits = &session.0.limits;
    let Connection { reader, out, upstream, .. } = connection;
    let Some(to) = upstream.as_mut() else { return After::Close };
    if let Outgoing::Whole(Some(body)) = request.body() {
        // What is beyond is not sent: that it is revoked is looked at first.
        session.spend(&progress.sent, body.len());
    }
    let address = to.address;
    let mut fed = feed.is_none();
    // Whether what follows in the reader is the next request, and not the rest of this one's body.
    let mut at_next = fed;
    let outcome = {
        let feeding = async {
            match feed {
                Some(feed) => feed.run(reader, session, &progress.sent).await,
                None => Ok(true),
            }
        };
        let answering = async {
            let response = ask(to, exchange, allowed, request).await?;
            progress.answering.store(true, Relaxed);
            answer(out, session, response, progress).await
        };
        let Allowed { scheme, host, port, method, target, .. } = allowed;
        let revoked = session.revoked(|rules| {
            let now = rules.request(*scheme, host, *port, method, &target.path);
            now.is_ok_and(|rule| permitted(&rule, address).is_ok())
        });
        // Armed once the request is sent whole.
        let far = if fed { limits.answer } else { Duration::from_secs(86_400) };
        let late = sleep_until(Instant::now() + far);
        tokio::pin!(feeding, answering, revoked, late);
        loop {
            tokio::select! {
                biased;
                // First of all, so that what was taken away a moment ago is not sent.
                () = &mut revoked => break Err(session.revocation()),
                outcome = &mut answering => break outcome,
                done = &mut feeding, if !fed => match done {
                    Ok(whole) => {
                        (fed, at_next) = (true, whole);
                        late.as_mut().reset(Instant::now() + limits.answer);
                    }
                    Err(refusal) => break Err(refusal),
                },
                () = &mut late, if !progress.answering.load(Relaxed) => {
                    let what = format!("{host} did not begin to answer within {} s", limits.answer.as_secs());
                    break Err(Refusal::new(code::EGRESS_TIMEOUT, what, "ask for less at once, or try again later"));
                }
            }
        }
    };
    match outcome {
        Ok(Some(socket)) => relay::socket(connection, allowed, socket, address, progress).await,
        Ok(None) if at_next && progress.keep_alive => After::Next,
        Ok(None) => After::Close,
        Err(refusal) => {
            progress.cut(refusal.code);
            connection.upstream = None;
            if !progress.begun.load(Relaxed) {
                // Whoever is gone reads no answer.
                let _ = connection.out.refuse(&refusal, progress.is_head, false).await;
            }
            After::Close
        }
    }
}

/// The host's answer. A connection that the host closed just before is replaced by a new one, for nothing of the request was sent.
async fn ask(
    upstream: &mut Upstream,
    exchange: &Exchange<'_>,
    allowed: &Allowed,
    request: Request<Outgoing>,
) -> Result<Response<Answer>, Refusal> {
    let broken = || silent(&allowed.host, "broke the connection off, or answered with something else than HTTP/1");
    let unsent = match upstream.sender.try_send_request(request).await {
        Ok(response) => return check(response, broken),
        Err(mut error) => error.take_message().ok_or_else(broken)?,
    };
    let Allowed { rule, scheme, host, port, .. } = allowed;
    *upstream = Upstream::open(exchange.session, rule, *scheme, host, *port).await.map_err(|e| e.refusal)?;
    exchange.record_allowed(upstream.address, allowed).await.map_err(|_| broken())?;
    let response = upstream.sender.send_request(unsent).await.map_err(|_| broken())?;
    check(response, broken)
}

fn check(response: Response<Answer>, broken: impl Fn() -> Refusal) -> Result<Response<Answer>, Refusal> {
    let status = response.status();
    if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS { Err(broken()) } else { Ok(response) }
}
