//! A host's answer on its way into the box: fields of the hop taken out, echoes of secrets masked.

use std::{
    pin::Pin,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use hyper::{
    body::{Body, Incoming as Answer},
    upgrade::OnUpgrade,
};
use stead_core::code;
use tokio::time::timeout;

use crate::{
    error::Refusal,
    inject::is_hop,
    limits::UNPACK_STEP,
    screen::Screen,
    scrub::{Coding, Patterns, Unpacker, unreadable},
    send::Progress,
    session::Session,
    wire::{Out, Rest},
};

/// Fields that tell what the body was before it was unpacked and masked.
const DIGESTS: &[&str] =
    &["content-encoding", "content-md5", "digest", "content-digest", "repr-digest", "etag", "accept-ranges"];

/// Writes the answer. Gives the way to the WebSocket that it may have become.
pub(crate) async fn answer(
    out: &mut Out,
    session: &Session,
    response: Response<Answer>,
    progress: &Progress,
) -> Result<Option<OnUpgrade>, Refusal> {
    let screen = Screen::new(session);
    let patterns = screen.patterns().cloned();
    let status = response.status();
    progress.answers(status);
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return switch(out, response, patterns.as_ref(), progress).await.map(Some);
    }
    let (head, body) = response.into_parts();
    let mut headers = head.headers;
    let bodiless = progress.is_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    plain_on_the_way(&headers)?;
    let coding = if patterns.is_some() && !bodiless { Coding::of(&headers)? } else { Coding::Identity };
    let _place = match coding {
        Coding::Identity => None,
        _ => session.0.unpackers.acquire().await.ok(),
    };
    let length = if progress.is_head {
        headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|text| text.parse().ok())
    } else {
        // What delimits the body, not what a field says beside it.
        body.size_hint().exact()
    };
    clean(&mut headers);
    if let Some(patterns) = &patterns {
        mask_fields(&mut headers, patterns, progress);
        if coding != Coding::Identity {
            DIGESTS.iter().for_each(|name| drop(headers.remove(*name)));
        }
    }
    let rest = match length {
        _ if bodiless && !progress.is_head => Rest::None,
        Some(length) if coding == Coding::Identity => Rest::Length(length),
        _ if bodiless => Rest::None,
        _ if progress.v11 => Rest::Chunked,
        _ => Rest::Close,
    };
    let keep_alive = progress.keep_alive && rest != Rest::Close;
    out.head(status, &headers, rest, keep_alive);
    progress.begun.store(true, Relaxed);
    if !bodiless {
        let step = if coding == Coding::Identity { usize::MAX } else { UNPACK_STEP };
        let packed = coding == Coding::Identity && Coding::of(&headers) != Ok(Coding::Identity);
        let mut search = Search { step, unpacker: Unpacker::new(coding), screen, packed };
        pass(out, session, body, &mut search, progress).await?;
        out.end().await.map_err(|_| gone())?;
    } else {
        out.flush().await.map_err(|_| gone())?;
    }
    Ok(None)
}

fn gone() -> Refusal {
    Refusal::new(
        code::EGRESS_TIMEOUT,
        "the client is gone, or takes the answer too slowly",
        "read the answer without pauses",
    )
}

/// What is done with each piece of a body.
struct Search {
    /// Bytes that are taken at once.
    step: usize,
    unpacker: Unpacker,
    screen: Screen,
    /// It goes on packed as it is, for nothing was searched for when it began.
    packed: bool,
}

impl Search {
    fn push(&mut self, piece: &[u8], out: &mut Out) -> Result<(), Refusal> {
        let Self { unpacker, screen, packed, .. } = self;
        out.piece(&screen.renew());
        if *packed && screen.patterns().is_some() {
            return Err(unreadable("is packed, and began before any secret was in use"));
        }
        unpacker.push(piece, |part| out.piece(&screen.push(part)))
    }

    fn end(&mut self, out: &mut Out) -> Result<u64, Refusal> {
        let Self { unpacker, screen, .. } = self;
        unpacker.end(|part| out.piece(&screen.push(part)))?;
        out.piece(&screen.end());
        Ok(screen.masked())
    }
}

async fn pass(
    out: &mut Out,
    session: &Session,
    mut body: Answer,
    search: &mut Search,
    progress: &Progress,
) -> Result<(), Refusal> {
    loop {
        // What is there already goes in one piece with the head.
        let next = match std::future::poll_fn(|cx| Poll::Ready(frame(&mut body, cx))).await {
            Poll::Ready(next) => next,
            Poll::Pending => {
                out.flush().await.map_err(|_| gone())?;
                let wait = std::future::poll_fn(|cx| frame(&mut body, cx));
                timeout(session.0.limits.stall, wait).await.map_err(|_| {
                    let hint = "ask again; where an answer pauses for long, have the host send something now and then";
                    Refusal::new(code::EGRESS_TIMEOUT, "the host's answer stalled", hint)
                })?
            }
        };
        match next {
            None => break,
            Some(Err(())) => {
                let hint = "ask again, if the request may be made twice";
                return Err(Refusal::new(code::EGRESS_UNREACHABLE, "the host broke its answer off", hint));
            }
            Some(Ok(piece)) => {
                if !session.spend(&progress.received, piece.len()) {
                    return Err(session.revocation());
                }
                for step in piece.chunks(search.step) {
                    search.push(step, out)?;
                    // What little bytes unpack to is handed on before more of them are.
                    out.flush().await.map_err(|_| gone())?;
                }
            }
        }
    }
    progress.masked.fetch_add(search.end(out)?, Relaxed);
    Ok(())
}

/// The next piece; trailers are left out.
fn frame(body: &mut Answer, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ()>>> {
    loop {
        let next = std::task::ready!(Pin::new(&mut *body).poll_frame(cx));
        match next.map(|frame| frame.map(hyper::body::Frame::into_data)) {
            None => return Poll::Ready(None),
            Some(Err(_)) => return Poll::Ready(Some(Err(()))),
            Some(Ok(Ok(piece))) => return Poll::Ready(Some(Ok(piece))),
            Some(Ok(Err(_trailers))) => {}
        }
    }
}

/// Refuses what is packed by the connection: hyper undoes chunks, and hands on what is packed in them as if it were not.
fn plain_on_the_way(headers: &HeaderMap) -> Result<(), Refusal> {
    let plain =
        headers.get_all(header::TRANSFER_ENCODING).iter().all(|v| v.as_bytes().eq_ignore_ascii_case(b"chunked"));
    if plain { Ok(()) } else { Err(unreadable("is packed by its transfer encoding")) }
}

/// Takes out what belongs to the host's own connection.
fn clean(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|word| word.trim().parse().ok())
        .collect();
    let hop: Vec<HeaderName> = headers.keys().filter(|n| is_hop(n)).cloned().collect();
    for name in named.into_iter().chain(hop) {
        headers.remove(name);
    }
    headers.remove(header::CONTENT_LENGTH);
    // A way around the proxy that does not exist.
    headers.remove("alt-svc");
}

fn mask_fields(headers: &mut HeaderMap, patterns: &Patterns, progress: &Progress) {
    let mut named = Vec::new();
    for (name, value) in headers.iter_mut() {
        if patterns.mask(name.as_str().as_bytes()).1 > 0 {
            named.push(name.clone());
        }
        let (masked, count) = patterns.mask(value.as_bytes());
        if count > 0 {
            progress.masked.fetch_add(count, Relaxed);
            // Stars in the place of other bytes of a value are a value.
            *value = HeaderValue::from_bytes(&masked).unwrap_or_else(|_| HeaderValue::from_static("*"));
        }
    }
    for name in named {
        headers.remove(name);
    }
}

/// The answer that makes the connection a WebSocket.
async fn switch(
    out: &mut Out,
    mut response: Response<Answer>,
    patterns: Option<&Patterns>,
    progress: &Progress,
) -> Result<OnUpgrade, Refusal> {
    let told = response.headers().get(header::UPGRADE).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let packed = response.headers().contains_key(header::SEC_WEBSOCKET_EXTENSIONS);
    if !progress.websocket || !told || packed {
        let what = "the host changed to a protocol, or to a form of it, that was not asked for";
        return Err(Refusal::new(code::EGRESS_UPGRADE, what, "ask whoever runs the host"));
    }
    let socket = hyper::upgrade::on(&mut response);
    let mut headers = std::mem::take(response.headers_mut());
    clean(&mut headers);
    if let Some(patterns) = patterns {
        mask_fields(&mut headers, patterns, progress);
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    out.head(StatusCode::SWITCHING_PROTOCOLS, &headers, Rest::None, true);
    progress.begun.store(true, Relaxed);
    out.flush().await.map_err(|_| gone())?;
    Ok(socket)
}
